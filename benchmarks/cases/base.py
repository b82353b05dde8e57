"""What every case is: a name, a sentence, servers, columns, targets, and one run on one server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from benchmarks.load import Setting
from benchmarks.servers import Kind

Metrics = Mapping[str, float]


class Better(Enum):
    """Say which of two figures is the better one."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a case's table."""

    key: str
    title: str
    decimals: int = 0
    better: Better | None = None

    def show(self, value: float) -> str:
        """Format a figure of this column."""
        return f"{value:,.{self.decimals}f}"


BUSY = (
    Column("server_cpu", "server CPU %"),
    Column("load_cpu", "load CPU %"),
    Column("others_cpu", "others' CPU %"),
    Column("peak_rss_mb", "peak RSS MB"),
)

DELIVERY = (
    Column("updates_per_s", "updates/s", better=Better.HIGHER),
    Column("updates_per_cpu_s", "updates per CPU second", better=Better.HIGHER),
    Column("updates_per_message", "updates per message", 1),
    *BUSY,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A promise about crdtsync's median against a peer's, or against a fixed figure.

    With `peer`, the ratio crdtsync / peer must be at least (`Better.HIGHER`) or at most
    (`Better.LOWER`) `limit`; where `difference` is set it is crdtsync minus peer instead. Without
    a peer it is crdtsync's own figure.
    """

    key: str
    better: Better
    limit: float
    peer: str | None = None
    difference: bool = False
    subject: str = "crdtsync"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    name: str
    what: str
    """A sentence or two for the report: the load, and what is counted."""
    columns: tuple[Column, ...]
    run: Callable[[Kind, Setting], Awaitable[Metrics]]
    servers: tuple[str, ...] = ("crdtsync", "hocuspocus", "y-websocket", "pycrdt-websocket")
    targets: tuple[Target, ...] = ()
