"""What must be true, whatever happened.

Owns the invariants, each with the sentence that says how it was broken. Those that only hold
after a while return the sentence; those that always hold end the run.
"""

import asyncio
from typing import TYPE_CHECKING

import pycrdt

from crdtsync.store.base import Finding, Loaded, Store
from crdtsync.update import scan
from tests.properties.edits import content
from tests.properties.replica import READER
from tests.simulation.attendance import nobody_is_there
from tests.simulation.client import Client
from tests.simulation.kernel import Kernel
from tests.simulation.loop import SimLoop
from tests.simulation.truth import histories_are_whole

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = [
    "bounded",
    "converged",
    "everybody_sees_everybody",
    "nothing_is_held",
    "nothing_is_left",
    "nothing_said_is_missing",
    "nothing_shown_is_missing",
    "the_store_is_sound",
]


def converged(world: "World") -> str:
    """All clients of a room, and the server, have the same; what was refused is nowhere."""
    hub = world.server.hub
    if hub is None or hub.draining:
        return "the server is not there"
    if world.archive is not None and world.server.life in world.archive.asking.values():
        return "somebody waits for a restore"
    if world.asking.waits():
        return "somebody waits for an answer"
    if hub.channels.archiving.busy:
        return "messages are on their way to an archive"
    for client in world.clients:
        if client.wire is None or not client.synced:
            return f"{client.name} is not in sync"
        if client.wire.half_open or client.wire.dead:
            return f"{client.name} has not noticed yet that nobody hears it"
    for name in world.shown:
        clients = [each for each in world.clients if each.room == name]
        room = hub.rooms.get(name)
        if room is None or not room.loaded:
            return f"{name} is not open"
        if room.uncommitted:
            return f"{name} has edits that are not stored"
        clocks = dict(room.document.clocks)
        for client in clients:
            problem = _same(client, clocks)
            if problem:
                return problem
        problem = _same_content(name, room.state(), clients)
        if problem:
            return problem
    return ""


def _same(client: Client, clocks: dict[int, int]) -> str:
    own = dict(client.clocks)
    if not client.may_write:
        if client.number in clocks:
            return f"what {client.name} was refused is there"
        own.pop(client.number, None)
    if own != clocks:
        return f"{client.name} has {own}, the server {clocks}"
    return ""


def _same_content(name: str, state: bytes, clients: list[Client]) -> str:
    server = _integrated([state])
    wanted = content(server)
    deletes = _deletes(server.get_update())
    for client in clients:
        if client.strayed:
            continue  # its refused edits stay with it
        if content(client.doc) != wanted:
            return f"{client.name} reads {content(client.doc)}, the server {wanted}"
        if _deletes(client.doc.get_update()) != deletes:
            return f"{client.name} has deleted otherwise than the server, in {name}"
    return ""


def _integrated(updates: list[bytes]) -> "pycrdt.Doc[object]":
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    with doc.transaction():
        for update in updates:
            doc.apply_update(update)
    return doc


def _deletes(update: bytes) -> set[tuple[int, int]]:
    found = scan(update, READER)
    return {(client, clock) for client, start, end in found.deletes for clock in range(start, end)}


def everybody_sees_everybody(world: "World") -> str:
    """Each client has the present state of each other client of its room, and nobody else's."""
    for client in world.clients:
        others = {
            each.number: each.presence.states[each.number]
            for each in world.clients
            if each.room == client.room and each is not client
        }
        seen = client.presence.others
        for victim in world.victims:
            others.pop(victim, None)
            seen.pop(victim, None)
        if seen != others:
            return f"{client.name} sees {seen}, there are {others}"
    return ""


def bounded(world: "World") -> None:
    """What the server keeps is within its limits."""
    hub = world.server.hub
    if hub is None:
        return
    limits = world.limits
    attached = 0
    for room in hub.rooms.values():
        attached += len(room.connections)
        fanout = room.fanout
        if fanout._log_bytes > limits.max_backlog_log_bytes:
            world.fail(f"{room.name} keeps {fanout._log_bytes} bytes for laggards")
        if fanout._log and not fanout.lagging:
            world.fail(f"{room.name} keeps a log, and nobody lags")
        if room.loaded and len(room.document.waiting) > limits.max_held_updates:
            world.fail(f"{room.name} holds {len(room.document.waiting)} updates")
        owners = {id(each) for each in room.connections}
        if any(id(owner) not in owners for owner in fanout.awareness._owned):
            world.fail(f"{room.name} keeps the presence of a connection that is gone")
    if not hub.draining and attached != hub.connections:
        world.fail(f"{attached} connections are in rooms, {hub.connections} are counted")


def nothing_is_held(world: "World") -> None:
    """Where all have everything nothing waits for more, but behind gaps that somebody made."""
    hub = world.server.hub
    assert hub is not None
    gaps = {hostile.room for hostile in world.hostiles}
    for name, room in hub.rooms.items():
        if name not in gaps and room.document.waiting:
            world.fail(f"{name} still holds {len(room.document.waiting)} updates")


def nothing_is_left(world: "World") -> None:
    """When all have gone, and some time, nothing of them is kept."""
    hub, loop = world.server.hub, world.server.loop
    assert hub is not None
    assert loop is not None
    if hub.connections:
        world.fail(f"{hub.connections} connections are left")
    if hub.rooms:
        world.fail(f"rooms are left: {sorted(hub.rooms)}")
    if hub.pressure.pending_bytes or hub.committer._throttled or hub.committer._stalled:
        world.fail("edits are still counted as waiting")
    tasks = len(asyncio.all_tasks(loop))
    if tasks != world.server.base_tasks:
        world.fail(f"{tasks} tasks run, where {world.server.base_tasks} did at the start")
    if loop.timers > tasks:
        world.fail(f"{loop.timers} timers are set")


def nothing_shown_is_missing(world: "World") -> tuple[dict[str, Loaded], list[Finding]]:
    """What any client was ever shown is in the store; return what is there, and its findings."""
    loaded, findings = look_into(world.medium.copy(), list(world.shown))
    for name, shown in world.shown.items():
        clocks, deletes = _ids(loaded[name])
        for client, end in shown.clocks.items():
            if clocks.get(client, 0) < end:
                world.fail(
                    f"{name}: edits of {client} up to {end} were shown, "
                    f"the store has them up to {clocks.get(client, 0)}"
                )
        missing = shown.deletes - deletes
        if missing:  # perhaps what follows from others: of two values of one key, one is deleted
            missing -= _deletes(_integrated(_updates(loaded[name])).get_update())
        if missing:
            world.fail(f"{name}: deletions were shown the store does not have: {sorted(missing)}")
    return loaded, findings


def nothing_said_is_missing(
    world: "World", loaded: dict[str, Loaded], *, settled: bool = False
) -> None:
    """What people and programs were told that they have said, made or deleted is so."""
    talk, programs = world.talk, world.programs
    if talk is None and programs is None:
        return
    docs = {name: _integrated(_updates(each)) for name, each in loaded.items()}
    if talk is not None:
        talk.kept(docs, settled=settled)
        if world.server.orderly:
            nobody_is_there(world, talk, docs)
    if programs is not None:
        programs.kept(docs)


def the_store_is_sound(world: "World") -> None:
    """Its check finds nothing, no sequence is missing, and it has what all clients have."""
    loaded, findings = nothing_shown_is_missing(world)
    histories_are_whole(world, loaded, deep=True)
    nothing_said_is_missing(world, loaded, settled=True)
    for finding in findings:
        if finding.level != "ok":
            world.fail(f"check says: {finding}")
    for name, document in loaded.items():
        after = document.checkpoint.sequence if document.checkpoint else 0
        numbers = [record.sequence for record in document.records]
        if numbers != list(range(after + 1, after + 1 + len(numbers))):
            world.fail(f"{name}: the sequences behind {after} are {numbers}")
        if document.damage is not None:
            world.fail(f"{name} is damaged: {document.damage}")
        clocks, _ = _ids(document)
        for client in world.clients:
            shown = clocks
            if world.talk is not None and world.talk.rules.present(name):
                shown = {each: client.clocks[each] for each in clocks if each in client.clocks} | {
                    each.number: clocks[each.number]
                    for each in world.clients
                    if each.number in clocks
                }  # who has gone was written down when all had gone
            if client.room == name and (problem := _same(client, shown)):
                world.fail(f"in the store: {problem}")
    if world.failure:
        from tests.simulation.world import Failure

        raise Failure(world.failure)


def _updates(loaded: Loaded) -> list[bytes]:
    updates = [record.update for record in loaded.records]
    if loaded.checkpoint is not None:
        updates.insert(0, loaded.checkpoint.state)
    return updates


def _ids(loaded: Loaded) -> tuple[dict[int, int], set[tuple[int, int]]]:
    clocks: dict[int, int] = {}
    deletes: set[tuple[int, int]] = set()
    for update in _updates(loaded):
        found = scan(update, READER)
        for client, _, end in found.ranges:
            clocks[client] = max(end, clocks.get(client, 0))
        for client, start, end in found.deletes:
            deletes.update((client, clock) for clock in range(start, end))
    return clocks, deletes


def look_into(store: Store, names: list[str]) -> tuple[dict[str, Loaded], list[Finding]]:
    """Read some documents, and all that a store has, in a moment of its own beside the story."""
    outer = asyncio._get_running_loop()
    kernel: Kernel = getattr(store, "kernel", None) or Kernel(0)
    failures: list[str] = []
    loop = SimLoop(kernel, kernel.stream("look"), failures.append)
    loop.enter()

    async def look() -> tuple[dict[str, Loaded], list[Finding]]:
        async with store:
            there = [each.name for each in await store.documents()]
            loaded = {name: await store.load(name) for name in dict.fromkeys(names + there)}
            return loaded, [finding async for finding in store.check()]

    try:
        task = loop.create_task(look())
        while not task.done():
            kernel.now_s = max(kernel.now_s, min(loop.next_s(), kernel.next_s()))
            if loop.next_s() <= kernel.now_s:
                loop.step()
            else:
                kernel.step()
        assert not failures, failures
        return task.result()
    finally:
        loop.close()
        asyncio._set_running_loop(outer)
