"""Documents with presence, and their twins: what the same people did without it."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pycrdt

from crdtsync.history.log import Records, plain_records
from crdtsync.store.base import Record
from tests.history.kit import START_MS
from tests.properties.edits import Dice, edit

__all__ = ["CHATS", "THREAD", "Twins", "set_presence", "sifted", "twins"]

NUMBERS = (1, 300, 4_000_000_000)
AUTHORS = ("ada", "ben", "")
SECRET = "SECRET"
CHATS = ("chat", "chat-reactions", "chat-receipts", "chat-archives")
THREAD = "chat/0192f0c4-4a5b-7000-8000-000000000001"


@dataclass
class Twins:
    """Two logs, and which moments of theirs are the same."""

    mixed: list[Record] = field(default_factory=list)
    plain: list[Record] = field(default_factory=list)
    same: list[int] = field(default_factory=lambda: [0])
    """By a sequence of the mixed one: the plain one's."""
    docs: list["pycrdt.Doc[Any]"] = field(default_factory=list)
    """The mixed one's authors."""

    def state(self) -> bytes:
        """Return the mixed document's collected state."""
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        for record in self.mixed:
            doc.apply_update(record.update)
        return doc.get_update()


def sifted(records: list[Record], after: int = 0) -> Records:
    """Return records of a document with presence, as history takes them."""
    return plain_records(records, after, sifted=True)


def set_presence(doc: "pycrdt.Doc[Any]", random: Random, *, odd: bool = True) -> None:
    """Do something to presence: as it should be; and, where that is ``odd``, as nobody should.

    What is made and replaced in one transaction arrives as collected, of no place.
    """
    people = doc.get("presence", type=pycrdt.Map)
    key = random.choice(["ada", "ben", "guest-1"])
    match random.randrange(8 if odd else 5):
        case 0 if key in people:
            del people[key]
        case 6:
            people[key] = pycrdt.Map({SECRET: pycrdt.Text(SECRET)})
        case 7 if isinstance(people.get(key), pycrdt.Map):
            people[key]["more"] = SECRET
        case _:
            people[key] = {"status": SECRET, "lastSeen": random.randrange(1 << 40)}


def set_chat(doc: "pycrdt.Doc[Any]", random: Random) -> None:
    """Say something, or take it back."""
    said = doc.get(random.choice([*CHATS, THREAD]), type=pycrdt.Map)
    key = f"message {random.randrange(3)}"
    if random.randrange(3) or key not in said:
        said[key] = {"author": "ada", "text": str(random.random())}
    else:
        del said[key]


def twins(seed: int, *, edits: int = 24) -> Twins:
    """Return the histories that a seed stands for."""
    random = Random(seed)
    found = Twins()
    pairs = [
        (pycrdt.Doc[Any](client_id=number), pycrdt.Doc[Any](client_id=number)) for number in NUMBERS
    ]
    found.docs = [mixed for mixed, _ in pairs]
    for _ in range(2 + random.randrange(edits)):
        who = random.randrange(len(pairs))
        docs = pairs[who]
        if random.random() < 0.3:
            others = random.choice(pairs)
            for doc, other in zip(docs, others, strict=True):
                doc.apply_update(other.get_update(doc.get_state()))
            continue
        how = random.choice(["presence", "edit", "edit", "both", "both"])
        bytes_of_dice = [random.randbytes(24) for _ in range(1 + random.randrange(2))]
        order = random.getrandbits(len(bytes_of_dice) + 1)
        updates: list[bytes] = []
        for doc in docs:
            got: list[bytes] = []
            mixed = doc is docs[0]
            subscription = doc.observe(lambda event, got=got: got.append(event.update))
            presence = Random(order)
            with doc.transaction():
                for number, dice in enumerate(bytes_of_dice):
                    if mixed and how != "edit" and (order >> number & 1):
                        set_presence(doc, presence, odd=False)
                    if how != "presence":
                        edit(doc, Dice(dice))
                if how != "presence" and order & 1:
                    set_chat(doc, Random(order + len(found.mixed)))
                if mixed and how != "edit":
                    set_presence(doc, presence)
            doc.unobserve(subscription)
            updates.append(got[0] if got else b"")
        _log(found, AUTHORS[who], *updates)
    return found


def _log(found: Twins, author: str, mixed: bytes, plain: bytes) -> None:
    if not mixed:
        return
    number = len(found.mixed) + 1
    time_ms = START_MS + 10_000 * number
    found.mixed.append(Record("doc", number, time_ms, author, mixed))
    if plain:
        found.plain.append(Record("doc", len(found.plain) + 1, time_ms, author, plain))
    found.same.append(len(found.plain))
