"""The saturated cases: every writer keeps a window of edits in flight, the readers are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks import proc
from benchmarks.cases.base import BUSY, DELIVERY, Better, Case, Column, Metrics, Target
from benchmarks.clients import Inbox
from benchmarks.edits import FIRST_CLIENT, writers_edits
from benchmarks.load import Group, Setting, make_group, running, saturate
from benchmarks.servers import Kind

_READERS = 100
_DOCUMENTS = 100
_ROOM_WRITERS = 50
_ROOM_READERS = 50

# Edits a second that no server here reaches, so that the supply outlasts the measurement.
_FANOUT_SUPPLY = 120_000
_DOCUMENT_SUPPLY = 2_000
_ROOM_SUPPLY = 1_500

# Edits in flight per writer. All together they are some thousand, whatever the case.
_FANOUT_WINDOW = 1_024
_DOCUMENT_WINDOW = 64
_ROOM_WINDOW = 64


def _supply(per_s: int, setting: Setting) -> int:
    return int(per_s * (setting.seconds + setting.warm_up_s))


async def _measure(
    kind: Kind, setting: Setting, make: Callable[[], list[Group]], window: int
) -> Metrics:
    groups = make()
    async with running(kind, setting) as server:
        flow = await saturate(server, groups, setting, window)
        return {**flow.metrics(), "peak_rss_mb": proc.peak_rss_kb(server.serving_pid) / 1024}


async def _fanout(kind: Kind, setting: Setting) -> Metrics:
    def make() -> list[Group]:
        edits = writers_edits(1, _supply(_FANOUT_SUPPLY, setting))
        return [make_group(kind, "fanout", edits, _READERS, Inbox())]

    return await _measure(kind, setting, make, _FANOUT_WINDOW)


async def _documents(kind: Kind, setting: Setting) -> Metrics:
    def make() -> list[Group]:
        edits = writers_edits(_DOCUMENTS, _supply(_DOCUMENT_SUPPLY, setting))
        inbox = Inbox()
        return [
            make_group(
                kind, f"document-{number}", [mine], 1, inbox, first_client=FIRST_CLIENT + number
            )
            for number, mine in enumerate(edits)
        ]

    return await _measure(kind, setting, make, _DOCUMENT_WINDOW)


async def _room(kind: Kind, setting: Setting) -> Metrics:
    def make() -> list[Group]:
        edits = writers_edits(_ROOM_WRITERS, _supply(_ROOM_SUPPLY, setting))
        return [make_group(kind, "room", edits, _ROOM_READERS, Inbox())]

    return await _measure(kind, setting, make, _ROOM_WINDOW)


FANOUT = Case(
    "fanout",
    f"One document, 1 writer, {_READERS} readers, saturated.",
    DELIVERY,
    _fanout,
    targets=(
        Target("updates_per_s", Better.HIGHER, 3.5, "hocuspocus"),
        Target("updates_per_s", Better.HIGHER, 7, "y-websocket"),
    ),
)

DOCUMENTS = Case(
    "documents",
    f"{_DOCUMENTS} documents with 1 writer and 1 reader each, saturated.",
    DELIVERY,
    _documents,
    targets=(
        Target("updates_per_s", Better.HIGHER, 2, "y-websocket"),
        Target("updates_per_s", Better.HIGHER, 2.5, "hocuspocus"),
    ),
)

ROOM = Case(
    "room",
    f"One document, {_ROOM_WRITERS} writers and {_ROOM_READERS} readers, saturated; "
    "counted at the readers, the writers receive as much again.",
    DELIVERY,
    _room,
    targets=(
        Target("updates_per_s", Better.HIGHER, 2, "hocuspocus"),
        Target("updates_per_s", Better.HIGHER, 15, "y-websocket"),
    ),
)

RELAY = Case(
    "relay",
    f"1 writer to {_READERS} readers, one message per update: crdtsync without durability and "
    "without merging against a relay that does not look at what it sends.",
    (
        Column("cpu_us_per_message", "server CPU µs per message", 2, Better.LOWER),
        Column("updates_per_s", "messages/s", better=Better.HIGHER),
        Column("updates_per_message", "updates per message", 1),
        *BUSY,
    ),
    _fanout,
    servers=("crdtsync-relay", "relay"),
    targets=(Target("cpu_us_per_message", Better.LOWER, 1.25, "relay", subject="crdtsync-relay"),),
)

_WINDOWS = (1, 8, 64, 256, 1_024, 4_096)
_WINDOW_SECONDS = 2.0


async def _windows(kind: Kind, setting: Setting) -> Metrics:
    found: dict[str, float] = {}
    for window in _WINDOWS:
        short = replace(setting, window=window, seconds=min(setting.seconds, _WINDOW_SECONDS))
        found[f"window_{window}"] = (await _fanout(kind, short))["updates_per_s"]
    return found


WINDOWS = Case(
    "windows",
    f"The fanout case with different numbers of edits in flight, updates/s: 1 writer, {_READERS} "
    "readers. Servers that merge what waits gain from more of it.",
    tuple(
        Column(f"window_{window}", f"{window:,} in flight", better=Better.HIGHER)
        for window in _WINDOWS
    ),
    _windows,
    servers=("crdtsync", "hocuspocus", "y-websocket"),
)
