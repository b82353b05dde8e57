"""Opening the history of the configured store for a command, and moments as options."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from crdtsync.config import Config

if TYPE_CHECKING:
    from crdtsync.history.retention import Retention
    from crdtsync.history.service import Histories
    from crdtsync.store.base import Store

__all__ = ["AGES", "AT", "MOMENT", "ROOT", "told", "with_history"]

T = TypeVar("T")

Needs = Literal["nothing", "process", "store", "hub"]


class Moment(click.ParamType[str]):
    """A moment as it is written everywhere."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return it; whether there is one is found out later."""
        from crdtsync.history.words import FORMS, is_moment

        text = str(value)
        if not is_moment(text):
            self.fail(f"{text!r} is no moment: write {FORMS}", param, ctx)
        return text


class Ages(click.ParamType["Retention"]):
    """How long moments are kept, as the option ``history_retention`` has it."""

    name = "ages"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Retention":
        """Return the rule."""
        from crdtsync.config.history import read_retention

        try:
            return read_retention(f"*={value}")[1]
        except ValueError:
            self.fail("write 30d/90d/730d, or fewer ages", param, ctx)


MOMENT: Final = Moment()
AGES: Final = Ages()
AT: Final = click.option(
    "--at",
    type=MOMENT,
    default="now",
    metavar="MOMENT",
    help="now, v12 (a version), s345 (a sequence), or a time.  [default: now]",
)
ROOT: Final = click.option("--root", metavar="ROOT", help="This root only.")


def with_history(
    config: Config,
    work: "Callable[[Histories], Awaitable[T]]",
    *,
    document: str = "",
    doing: str = "",
    needs: Needs = "nothing",
    writes: bool = False,
) -> T:
    """Run ``work`` on the history of the configured store; unless it ``writes``, by reading alone.

    Works beside a running server, unless it needs the store for itself, to edit a document, or a
    hub on it. What needs the CRDT library needs a process, which that may end; reading doesn't, and
    starting one would take longer than most answers. ``doing`` is shown where somebody looks on.
    Whatever is wrong with a moment of ``document`` is told with a hint.
    """
    from crdtsync.errors import StoreLocked
    from crdtsync.history.model import HistoryError

    try:
        with told(doing):
            return _run(config, work, needs=needs, writes=writes or needs in ("store", "hub"))
    except HistoryError as error:
        error.hint = _hint(error, document) or error.hint
        raise
    except StoreLocked as error:
        error.hint = "Stop the server, or have it do this over HTTP: see /api/v1/history"
        raise


def _run(
    config: Config, work: "Callable[[Histories], Awaitable[T]]", *, needs: Needs, writes: bool
) -> T:
    import anyio

    from crdtsync.audit import NO_AUDIT
    from crdtsync.audit_log import STANDARD_OUTPUT, AuditLog
    from crdtsync.channels.rules import ChannelRules
    from crdtsync.cli.stores import exists, with_store
    from crdtsync.config.history import history_rules
    from crdtsync.guarding import guard_folder, guard_of
    from crdtsync.history.database import HistoryDatabase
    from crdtsync.history.service import Histories
    from crdtsync.history.tables import FILE
    from crdtsync.history.worker import Workers

    to = config.audit_log if needs == "store" else None
    # Standard output is the command's here.
    audit = AuditLog(to) if to and to != STANDARD_OUTPUT else NO_AUDIT
    guard = guard_of(config.store)

    def histories(store: "Store") -> Histories:
        folder = guard_folder(config.store)
        if not writes and folder is not None and not exists(folder / FILE):
            folder = None
        kept = HistoryDatabase(folder, insist=True, read_only=not writes)
        rules = history_rules(config.history_except, config.history_retention)
        return Histories(
            store,
            kept,
            rules=rules,
            limits=config.limits,
            guard=guard,
            workers=Workers(config.limits, here=needs == "nothing"),
            audit=audit,
            channels=ChannelRules(chat=config.chat, presence=config.presence),
        )

    async def run(store: "Store") -> T:
        audit.open()
        try:
            async with histories(store) as history:
                return await work(history)
        finally:
            audit.close()

    async def run_hub() -> T:
        from crdtsync.hub import Hub
        from crdtsync.store import open_store

        store = open_store(config.store, durability=config.durability)
        history = histories(store)
        async with Hub(store, limits=config.limits, guard=guard, history=history):
            return await work(history)

    if needs == "hub":
        with_store(config, _look)  # it is there
        return anyio.run(run_hub)
    return with_store(config, run, read_only=needs in ("nothing", "process"))


async def _look(store: "Store") -> None:
    """Do nothing with a store."""


def _hint(error: Exception, document: str) -> str:
    from crdtsync.history.model import (
        HistoryDamaged,
        HistoryOff,
        UnknownDocument,
        UnknownMoment,
    )

    match error:
        case UnknownMoment(pruned=True):
            return f"crdtsync versions activity {document} shows what is kept"
        case UnknownDocument():
            return "See crdtsync documents list"
        case UnknownMoment():
            return f"See crdtsync versions list {document}"
        case HistoryOff():
            return "The option history_except says of which documents none is kept"
        case HistoryDamaged():
            return "The document itself is served on; see crdtsync check"
    return ""


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Show that work goes on, to whom looks on; what is printed elsewhere is left alone."""
    if not doing or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        progress.add_task(doing, total=None)
        yield
