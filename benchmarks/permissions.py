"""What rules about content cost: ``python -m benchmarks.permissions``.

One process, no sockets, no store: frames go through session and room, and are committed by hand.
Typing is what a person does in one text, nested is a text in a map, maps are values set under keys.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import pycrdt

from crdtsync.audit import NO_AUDIT
from crdtsync.clock import ManualClock
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.edit import index_update
from crdtsync.engine import Pressure
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.places import PlaceIndex
from crdtsync.protocol import update_frame
from crdtsync.refused.base import NO_QUARANTINE
from crdtsync.refusing import Refusals
from crdtsync.roles import Role, Rule
from crdtsync.room import Room
from crdtsync.stats import Stats
from crdtsync.update import scan

LIMITS = Limits()
UPDATES = 4_000
ROUNDS = 9
RULES = Role(name="rules", write=(Rule(root="text"), Rule(root="map")))


class _Nobody:
    """Engine and link in one: nothing happens by itself, nothing is kept."""

    def __init__(self) -> None:
        self.pressure = Pressure(LIMITS.max_pending_bytes)
        self.audit = NO_AUDIT
        self.refusals = Refusals(LIMITS, ManualClock(), Stats(), NO_QUARANTINE)

    def schedule_commit(self, room: Room) -> None:
        room.dirty = True

    def schedule_awareness(self, room: Room) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def throttle(self, connection: Connection) -> None: ...

    def read_apart(self, connection: Connection, frame: bytes) -> None:
        connection.was_read(frame, connection.read(frame))

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        call()

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def abort(self) -> None: ...

    def ping(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _recorded(change: Callable[["pycrdt.Doc[Any]", random.Random], None]) -> list[bytes]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=77_777_777)
    dice = random.Random(1)
    updates: list[bytes] = []
    doc.get("text", type=pycrdt.Text)
    subscription = doc.observe(lambda event: updates.append(event.update))
    while len(updates) < UPDATES:
        with doc.transaction():
            change(doc, dice)
    doc.unobserve(subscription)
    return updates


def _typing(nested: bool) -> list[bytes]:
    position = 0

    def change(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
        nonlocal position
        text = doc.get("text", type=pycrdt.Text)
        if nested:
            top = doc.get("map", type=pycrdt.Map)
            if "body" not in top:
                top["body"] = pycrdt.Text()
            text = top["body"]
        size = len(str(text))
        if dice.random() < 0.03:
            position = dice.randrange(size + 1)
        if dice.random() < 0.1 and position:
            del text[position - 1 : position]
            position -= 1
        else:
            text.insert(position, "x")
            position += 1

    return _recorded(change)


def _maps() -> list[bytes]:
    def change(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
        doc.get("map", type=pycrdt.Map)[f"key {dice.randrange(20)}"] = dice.random()

    return _recorded(change)


def _best_us(run: Callable[[], float], count: int) -> float:
    return min(run() for _ in range(ROUNDS)) / count * 1e6


def _scanned(updates: list[bytes]) -> float:
    start = time.process_time()
    for update in updates:
        scan(update, LIMITS, structs=True)
    return time.process_time() - start


def _sent(updates: list[bytes], principal: Principal) -> float:
    engine = _Nobody()
    room = Room("doc", engine=engine, gate=None, limits=LIMITS, stats=Stats(), clock=ManualClock())
    room.opened(Document(LIMITS), 0)
    connection = Connection(engine, room, principal, acknowledge=False)
    room.attach(connection)
    frames = [update_frame(update) for update in updates]
    start = time.process_time()
    for frame in frames:
        connection.receive(frame)
        room.take_batch(0)
        room.committed()
    took = time.process_time() - start
    assert not connection.denials
    return took


def main() -> None:
    """Print the figures as a table, in microseconds an update."""
    print("| Updates | Scan | Open room | With rules | Rules cost | Of the scan |")
    print("|---|---|---|---|---|---|")
    for name, updates in (
        ("typing", _typing(nested=False)),
        ("typing, nested", _typing(nested=True)),
        ("maps", _maps()),
    ):
        count = len(updates)
        scanned = _best_us(lambda u=updates: _scanned(u), count)  # type: ignore[misc]
        free = _best_us(lambda u=updates: _sent(u, Principal()), count)  # type: ignore[misc]
        ruled = _best_us(lambda u=updates: _sent(u, Principal(role=RULES)), count)  # type: ignore[misc]
        cost = ruled - free
        print(
            f"| {name} | {scanned:.1f} | {free:.1f} | {ruled:.1f} | {cost:.1f} "
            f"| {cost / scanned:.1f} |"
        )
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in _typing(nested=True) + _maps():
        doc.apply_update(update)
    paragraphs = doc.get("xml", type=pycrdt.XmlFragment)
    for number in range(5_000):
        element = paragraphs.children.append(pycrdt.XmlElement("p", {"n": str(number)}))
        element.children.append(pycrdt.XmlText("some forty characters, as in a paragraph"))
    state = doc.get_update()
    found = scan(state, LIMITS, structs=True)
    start = time.process_time()
    index = PlaceIndex()
    index_update(found, index)
    took = time.process_time() - start
    start = time.process_time()
    scan(state, LIMITS, structs=True)
    print(
        f"\nIndex of {len(state) / 1e6:.2f} MB, {len(found.structs or ()):,} structs: "
        f"{took * 1e3:.0f} ms beside {(time.process_time() - start) * 1e3:.0f} ms for the scan, "
        f"{index.runs:,} entries, {index.size_bytes / 1e3:.1f} kB"
    )


if __name__ == "__main__":
    main()
