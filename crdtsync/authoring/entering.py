"""The way of a program's edit into its document: judged like a client's, and all or nothing.

Owns the order: the bytes are read, the room's judge is asked, limits and causality are looked at,
and what the caller insists on; from the last look to the admission nothing awaits. What is
refused is told to who asked, and is kept nowhere.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from crdtsync.audit import NOBODY, Caller, What
from crdtsync.batch import Editor
from crdtsync.errors import EditRefused, InvalidUpdate, StoreDamaged
from crdtsync.gate import READ_ONLY, Clearance, Principal
from crdtsync.judge import WAIT
from crdtsync.limits import Limits, naming
from crdtsync.recording import event_of
from crdtsync.structs import Scan
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.hub import Hub
    from crdtsync.room import Room

__all__ = ["enter", "read_update", "refuse_reader"]

READ_HERE_BYTES: Final = 128 * 1024
"""A larger update is read on a thread."""


def refuse_reader(hub: "Hub", document: str, principal: Principal, caller: Caller) -> None:
    """Refuse, before anything is worked out, whoever may write nothing at all.

    Raises ``EditRefused``.
    """
    if Clearance(principal).nothing or (principal.read_only and hub.goes_by_roles):
        _refused(hub, document, principal, READ_ONLY, caller)
        raise EditRefused(READ_ONLY)


async def enter(
    hub: "Hub",
    room: "Room",
    update: bytes,
    principal: Principal,
    *,
    caller: Caller = NOBODY,
    insist: Callable[[], None] = lambda: None,
) -> bool:
    """Let an update into an open room, as this principal's; return whether it brings anything.

    It is not committed yet. ``insist`` is called right before it enters, and may raise. Raises
    ``EditRefused`` where the principal may not write so, ``InvalidUpdate`` where the update is
    damaged or refers to something that the document lacks, ``MessageTooLarge`` where the document
    would be, ``StoreDamaged`` where it is read-only, and what ``hub.sessions`` has against it.
    """
    detailed = room.document.detailed
    limits = naming(hub.limits, len(room.document.clocks))
    found = await read_update(update, limits, detailed=detailed)
    clearance = room.judge.clear(principal)
    try:
        while True:
            hub.sessions.check(room.name, principal)
            if room.damage:
                raise StoreDamaged(room.damage, document=room.name)
            if room.document.knows(found):
                return False
            denial = room.judge.ruling(clearance, update, found, address=caller.address)
            if denial is not WAIT:
                break
            made = anyio.Event()
            room.judge.keeper.when_made(made.set)
            await made.wait()
        if denial is not None:
            _refused(hub, room.name, principal, denial.reason, caller)
            raise EditRefused(denial.reason)
        if room.document.lacks(update, found):  # nobody is there to be asked for it
            raise InvalidUpdate("the update refers to something the document lacks")
        insist()
        room.fill.check(update, found, room.document.knows)
        if hub.history is not None:
            hub.history.automatic.met(principal)
        room.submit(update, found, Editor(principal))
        return True
    finally:
        room.judge.left()  # who asked by content has gone, as it were


async def read_update(update: bytes, limits: Limits, *, detailed: bool = False) -> Scan:
    """Return what an update's bytes say. Raises ``InvalidUpdate``."""
    if len(update) <= READ_HERE_BYTES:
        return scan(update, limits, structs=detailed)
    return await anyio.to_thread.run_sync(_scan, update, limits, detailed)


def _scan(update: bytes, limits: Limits, detailed: bool) -> Scan:
    return scan(update, limits, structs=detailed)


def _refused(hub: "Hub", document: str, principal: Principal, reason: str, caller: Caller) -> None:
    """Count and record a refusal."""
    kind = "read-only" if principal.reads_only else "gate"
    hub.stats.rejected["denied"] += 1
    hub.stats.updates_refused[kind] += 1
    event = event_of(principal, What.DENIED, caller, document=document, reason=reason)
    hub.audit.record(event)
