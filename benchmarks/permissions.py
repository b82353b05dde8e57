"""What rules about content cost: ``python -m benchmarks.permissions``.

One process, no sockets, no store: frames go through session and room, and are committed by hand,
outside of what is timed. The same frames are read alone by the reader that the open room uses for
them, sent into an open room, and into one whose writer has a role. What the rules cost is the
difference of the two rooms; the ratio is reading and rules together to reading alone.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pycrdt

from crdtsync.apart import divide_here, read_here
from crdtsync.audit import NO_AUDIT
from crdtsync.channels.model import Message, message_id
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import ManualClock
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.engine import Pressure
from crdtsync.gate import Principal
from crdtsync.indexing import Making
from crdtsync.judge import Judge
from crdtsync.limits import Limits
from crdtsync.protocol import short_update, update_frame
from crdtsync.refused.base import NO_QUARANTINE
from crdtsync.refusing import Refusals
from crdtsync.roles import COMMENT, Role, Rule
from crdtsync.room import Room
from crdtsync.session import Session, UpdateReceived
from crdtsync.stats import Stats
from crdtsync.update import scan

LIMITS = Limits(chat_messages_per_minute=0)
NONE = ChannelRules()
CHANNELS = ChannelRules(chat=("*",), presence=("*",))
UPDATES = 4_000
ROUNDS = 9
BATCH = 50
"""Updates between two commits."""
Change = Callable[["pycrdt.Doc[Any]", random.Random], None]


class _Nobody:
    """Engine and link in one: nothing happens by itself, nothing is kept."""

    def __init__(self, channels: ChannelRules) -> None:
        self.pressure = Pressure(LIMITS.max_pending_bytes)
        self.audit = NO_AUDIT
        self.channels = Channels(channels)
        self.refusals = Refusals(LIMITS, ManualClock(), Stats(), NO_QUARANTINE)

    def schedule_commit(self, room: Room) -> None:
        room.dirty = True

    def schedule_awareness(self, room: Room) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def throttle(self, connection: Connection) -> None: ...

    def read_apart(self, connection: Connection) -> None:
        read_here(connection)

    def divide_apart(self, connection: Connection, event: UpdateReceived) -> None:
        divide_here(connection, event)

    def index_apart(self, judge: Judge, making: Making) -> None:
        making.put(making.take())
        judge.made(making)
        for connection in making.waiting:
            connection.was_read(connection.events)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        call()

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def abort(self) -> None: ...

    def ping(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _recorded(change: Change, *, people: int = 1) -> list[bytes]:
    """Return the updates of some people who take turns in changing one document."""
    docs: list[pycrdt.Doc[Any]] = [pycrdt.Doc(client_id=70_000_000 + n) for n in range(people)]
    dice = random.Random(1)
    updates: list[bytes] = []
    for doc in docs:
        doc.get("chat", type=pycrdt.Text)
        doc.get("comments", type=pycrdt.Map)
    subscriptions = [doc.observe(lambda event: updates.append(event.update)) for doc in docs]
    turn = 0
    while len(updates) < UPDATES:
        doc = docs[turn % people]
        turn += dice.random() < 0.2
        before = len(updates)
        with doc.transaction():
            change(doc, dice)
        new = updates[before:]
        for other in docs:
            if other is not doc:
                for update in new:
                    other.apply_update(update)
        del updates[before + len(new) :]  # what the others noticed
    for doc, subscription in zip(docs, subscriptions, strict=True):
        doc.unobserve(subscription)
    return updates


class _Person:
    """Types in a text, moves elsewhere now and then."""

    def __init__(
        self,
        *,
        words: Sequence[str] = ("x",),
        deletes: float = 0.1,
        moves: float = 0.03,
        nested: bool = False,
        formats: bool = False,
        root: str = "chat",
        beside: bool = False,
    ) -> None:
        self.root, self.beside = root, beside
        self.words, self.deletes, self.moves = words, deletes, moves
        self.nested, self.formats = nested, formats
        self.position = 0

    def __call__(self, doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
        text: Any = doc.get(self.root, type=pycrdt.Text)
        if self.beside and not len(str(text)):
            doc.get("comments", type=pycrdt.Map)["beside"] = 1
        if self.nested:
            top = doc.get("comments", type=pycrdt.Map)
            if "body" not in top:
                top["body"] = pycrdt.Text()
            text = top["body"]
        size = len(str(text).encode())  # pycrdt counts in bytes
        self.position = min(self.position, size)
        if dice.random() < self.moves:
            self.position = dice.randrange(size + 1)
        if self.formats and size > 20:
            start = dice.randrange(size - 10)
            text.format(start, start + 1 + dice.randrange(9), {"bold": dice.choice([True, None])})
        elif dice.random() < self.deletes and self.position:
            del text[self.position - 1 : self.position]
            self.position -= 1
        else:
            word = dice.choice(self.words)
            text.insert(self.position, word)
            self.position += len(word.encode())


def _deleting(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
    text = doc.get("chat", type=pycrdt.Text)
    size = len(str(text))
    if size < 10:
        text.insert(0, "word " * 2_000)
    else:
        at = dice.randrange(size - 1)
        del text[at : at + 1]


def _set(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
    doc.get("comments", type=pycrdt.Map)[f"key {dice.randrange(20)}"] = dice.random()


def _nest(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
    """Set a key of a map in the map: a comment, such as editors keep them."""
    key = f"key {dice.randrange(20)}"
    comment = {"by": pycrdt.Text("somebody"), "at": dice.random()}
    doc.get("comments", type=pycrdt.Map)[key] = pycrdt.Map(comment)


PASTE = "some forty characters, as people paste them"
ROWS: dict[str, Callable[[], list[bytes]]] = {
    "typing": lambda: _recorded(_Person()),
    "typing, three people in one text": lambda: _recorded(_Person(), people=3),
    "deletions": lambda: _recorded(_deleting),
    "pastes": lambda: _recorded(_Person(words=(PASTE,), deletes=0.0, moves=0.8)),
    "pastes beyond ASCII": lambda: _recorded(
        _Person(words=(PASTE + " \u2026",), deletes=0.0, moves=0.0)
    ),
    "format changes": lambda: _recorded(_Person(words=(PASTE,), formats=True)),
    "map sets": lambda: _recorded(_set),
    "maps in a map": lambda: _recorded(_nest),
    "typing, nested": lambda: _recorded(_Person(nested=True)),
    "format changes, nested": lambda: _recorded(_Person(words=(PASTE,), nested=True, formats=True)),
}
KEYS = frozenset({"body", *(f"key {number}" for number in range(20))})
ROLES = {
    "comment": COMMENT,
    "keys": Role(name="keys", write=(Rule(root="chat"), Rule(root="comments", keys=KEYS))),
    "size": Role(name="size", write=(Rule(max_update_bytes=20_000),)),
}


class _Run:
    """Frames that go into a room, in rounds of which the best counts."""

    def __init__(
        self, frames: list[bytes], principal: Principal, *, channels: ChannelRules = NONE
    ) -> None:
        self.frames = frames
        self.principal = principal
        self.channels = channels
        self.best_s = float("inf")
        self.detailed: list[bool] = []

    def round(self) -> None:
        engine = _Nobody(self.channels)
        room = Room(
            "doc", engine=engine, gate=None, limits=LIMITS, stats=Stats(), clock=ManualClock()
        )
        room.opened(Document(LIMITS), 0)
        connection = Connection(engine, room, self.principal, acknowledge=False)
        room.attach(connection)
        took = 0.0
        detailed: list[bool] = []
        receive = connection.receive
        for at in range(0, len(self.frames), BATCH):
            some = self.frames[at : at + BATCH]
            detailed.append(room.detailed)
            start = time.process_time()
            for frame in some:
                receive(frame)
            took += time.process_time() - start
            room.take_batch(0)
            room.committed()
        assert not connection.denials
        assert not connection.closed
        self.detailed = detailed
        self.best_s = min(self.best_s, took)


class _Reading:
    """The same frames, read as the open room has them read, and thrown away."""

    def __init__(self, frames: list[bytes], room: _Run) -> None:
        self.frames = frames
        self.room = room
        self.best_s = float("inf")

    def round(self) -> None:
        session = Session(LIMITS)
        took = 0.0
        for place, at in enumerate(range(0, len(self.frames), BATCH)):
            some = self.frames[at : at + BATCH]
            short = [short_update(frame) for frame in some]
            structs = self.room.detailed[place]
            start = time.process_time()
            for frame, update in zip(some, short, strict=True):
                if update is not None:
                    session.read_update(update, structs=structs)
                else:
                    session.receive(frame, structs=structs)
            took += time.process_time() - start
        self.best_s = min(self.best_s, took)


def main() -> None:
    """Print the figures as a table, in microseconds an update."""
    named = " | ".join(f"Rules: {name} | Ratio" for name in ROLES)
    print(f"| Updates | Reading | Open room | {named} |")
    print("|---|---|---|" + "---|---|" * len(ROLES))
    for name, recorded in ROWS.items():
        frames = [update_frame(update) for update in recorded()]
        free = _Run(frames, Principal())
        reading = _Reading(frames, free)
        ruled = [_Run(frames, Principal(role=role)) for role in ROLES.values()]
        for _ in range(ROUNDS):
            runs: list[_Run | _Reading] = [free, reading, *ruled]
            for run in runs:
                run.round()
        us = 1e6 / len(frames)
        cells = [f"{reading.best_s * us:.2f}", f"{free.best_s * us:.2f}"]
        for each in ruled:
            cost = each.best_s - free.best_s
            cells += [f"{cost * us:.2f}", f"{1 + cost / reading.best_s:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    _channels()
    _index()


def _channels() -> None:
    """Print what a chat costs those who type beside it, and whoever says something."""
    print("\n| Updates | Open room | Room with chat |")
    print("|---|---|---|")
    for name, recorded in (
        ("typing in a document of one text", _recorded(_Person(root="body"))),
        ("typing, another root beside it", _recorded(_Person(root="body", beside=True))),
        ("setting keys of a map", _recorded(_set)),
        ("messages", _recorded(_say)),
    ):
        frames = [update_frame(update) for update in recorded]
        runs = [_Run(frames, Principal(id="ann"), channels=each) for each in (NONE, CHANNELS)]
        for _ in range(ROUNDS):
            for run in runs:
                run.round()
        cells = [f"{run.best_s * 1e6 / len(frames):.2f}" for run in runs]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _say(doc: "pycrdt.Doc[Any]", dice: random.Random) -> None:
    now = ManualClock().time_ms()
    said = Message(id=message_id(now), author="ann", text=PASTE, time_ms=now)
    doc.get("chat", type=pycrdt.Map)[said.id] = said.value()


def _index() -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in ROWS["typing, nested"]() + ROWS["map sets"]():
        doc.apply_update(update)
    paragraphs = doc.get("xml", type=pycrdt.XmlFragment)
    for number in range(5_000):
        element = paragraphs.children.append(pycrdt.XmlElement("p", {"n": str(number)}))
        element.children.append(pycrdt.XmlText("some forty characters, as in a paragraph"))
    state = doc.get_update()
    start = time.process_time()
    count = len(scan(state, LIMITS, structs=True).structs or ())
    scanned = time.process_time() - start
    start = time.process_time()
    making = Making(LIMITS, [state], values=False)
    making.put(making.take())
    took = time.process_time() - start
    index = making.index
    print(
        f"\nIndex of {len(state) / 1e6:.2f} MB, {count:,} structs: {took * 1e3:.0f} ms, "
        f"a scan {scanned * 1e3:.0f} ms; {index.runs:,} entries, {index.size_bytes / 1e3:.1f} kB"
    )


if __name__ == "__main__":
    main()
