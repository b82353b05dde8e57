"""Programs that write documents without a replica, ask again until they are answered, and delete.

Owns what each was told. Every request brings one word of its own: how often that is in the
document says how often the request was done.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pycrdt

from crdtsync.authoring import keeping
from crdtsync.authoring.keeping import StoredAnswers
from crdtsync.authoring.model import AuthoringError, ConditionFailed, KeyBusy
from crdtsync.documents.model import DocumentExists, DocumentNotFound
from crdtsync.errors import CrdtsyncError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.store.side import SideDatabase
from tests.simulation.archive import _connected, _Side
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, SimClock

if TYPE_CHECKING:
    from tests.simulation.story import Story
    from tests.simulation.world import World

__all__ = ["Notes", "Programs"]

ROOT = "words"
REFUSED = (ConditionFailed, DocumentExists, DocumentNotFound)


class Notes:
    """Where answers to requests are kept, life after life."""

    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        self.kernel = kernel
        self.faults = faults
        self.connection = _connected(_empty())
        self._life: _Side | None = None

    def store(self, limits: Limits, clock: SimClock) -> StoredAnswers:
        """Return what a new life keeps them by."""
        answers = StoredAnswers(None, limits, clock)
        answers._side = self._life = _Side(self, self.connection)  # type: ignore[arg-type]
        return answers

    def crash(self) -> None:
        """Go on with a copy of what is there."""
        self.connection = _connected(self.connection.serialize())
        if self._life is not None:
            self._life.die()

    def close(self) -> None:
        self.connection.close()


@cache
def _empty() -> bytes:
    side = SideDatabase(None, keeping._MIGRATIONS)
    side._open()
    connection: sqlite3.Connection = side._open_database().conn
    return connection.serialize()


@dataclass(slots=True)
class _Request:
    document: str
    word: str
    key: str
    creates: bool = False
    match: str = ""
    """The mark of the document that it has to be."""
    tries: int = 0
    answered: bool = False
    refused: bool = False
    """Whether it was told that nothing was done, and nothing will be."""
    doubtful: bool = False
    """Whether somebody has tried to delete the document since it was first sent."""
    gone: bool = False
    """Whether it was answered, and then the document was deleted."""


class Programs:
    """One story's programs."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.chance = world.kernel.stream("programs")
        self.papers = [f"paper/{number}" for number in range(self.chance.choice([1, 2]))]
        rooms = [] if world.archive is not None else list(world.shown)  # where nobody restores
        self.documents = self.papers + rooms
        self.requests: list[_Request] = []
        self._deleting: set[str] = set()  # asked for, and not answered: it may happen any time
        self._open: dict[str, _Request | None] = {}
        self._marks: dict[str, str] = {}
        self._count = 0

    def begin(self, story: "Story") -> None:
        for number in range(self.chance.choice([1, 2, 3])):
            story.often(f"program-{number}", 25, self.act)

    def act(self, who: str) -> None:
        """Do a program's next thing."""
        chance = self.chance
        request = self._open.get(who)
        if request is not None:
            self._send(who, request)
            return
        document = chance.choice(self.documents)
        paper = document in self.papers
        match chance.randrange(16):
            case 0 if paper:
                self._delete(who, document)
            case 1 | 2:
                self._read(who, document)
            case 3 if any(each.answered for each in self.requests):
                self._send(who, chance.choice([each for each in self.requests if each.answered]))
            case _:
                self._count += 1
                word = f"w{self._count}"
                creates = paper and chance.random() < 0.3
                match_ = self._marks.get(document, "") if chance.random() < 0.3 else ""
                request = _Request(
                    document, word, f"key-{word}", creates, "" if creates else match_
                )
                self.requests.append(request)
                self._open[who] = request
                self._send(who, request)

    def _send(self, who: str, request: _Request) -> None:
        document, word, again = request.document, request.word, request.answered
        owner = Principal(id=f"owner-of-{request.key}")

        async def work(hub: Hub) -> Any:
            request.tries += 1
            request.gone = False
            if request.creates:
                content = {ROOT: {"kind": "array", "value": [word]}}
                return await hub.documents.create(
                    document, content, owner, idempotency_key=request.key
                )
            edit = {"op": "insert", "path": [ROOT], "values": [word]}
            return await hub.documents.edit(
                document,
                [edit],
                owner,
                idempotency_key=request.key,
                if_match=[request.match] if request.match else None,
            )

        doubtful = request.doubtful

        def done(edited: Any) -> None:
            self.world.kernel.tell(who, f"is answered: {word} in {document}, {edited.sequence}")
            if again and not request.doubtful and not edited.replayed:
                self.world.fail(f"{word} was done in {document} a second time")
            if not doubtful:
                request.answered = True
            if edited.mark:
                self._marks[document] = edited.mark
            self._open[who] = None

        def refused(error: CrdtsyncError) -> None:
            if isinstance(error, REFUSED):
                if again and not request.doubtful:
                    self.world.fail(f"{word} was done in {document}, and is refused: {error!r}")
                request.refused = not again
                self._open[who] = None
            elif isinstance(error, AuthoringError) and not isinstance(error, KeyBusy):
                self.world.fail(f"{who} is refused {word}: {error!r}")

        self.world.asking.ask(who, f"writes {word} to {document}", work, done, refused)

    def _read(self, who: str, document: str) -> None:
        async def read(hub: Hub) -> Any:
            return await hub.documents.read(document)

        def done(content: Any) -> None:
            self._marks[document] = content.mark
            counts = Counter(content.value.get(ROOT, ()))
            for each in self.requests:
                if each.document == document and counts[each.word] > 1:
                    self.world.fail(f"{each.word} is in {document} {counts[each.word]} times")

        self.world.asking.ask(who, f"reads {document}", read, done)

    def _delete(self, who: str, document: str) -> None:
        before = [each for each in self.requests if each.document == document]

        async def delete(hub: Hub) -> bool:
            for each in self.requests:
                if each.document == document:
                    each.doubtful = True
            return await hub.documents.delete(document)

        ended = [(each, each.tries) for each in before if each.answered or each.refused]

        self._deleting.add(document)

        def done(_: bool) -> None:
            self._deleting.discard(document)
            self.world.kernel.tell(who, f"has deleted {document}")
            for each, tries in ended:
                each.gone = each.tries == tries  # and was not sent again
            for each in self.requests:  # sent meanwhile
                each.doubtful |= each.document == document

        self.world.asking.ask(who, f"deletes {document}", delete, done)

    def kept(self, documents: Mapping[str, "pycrdt.Doc[Any]"]) -> None:
        """Compare with what is stored: each word there once, or not at all."""
        for name in self.documents:
            doc = documents.get(name)
            found = Counter([] if doc is None else list(doc.get(ROOT, type=pycrdt.Array)))
            for each in self.requests:
                count = found.pop(each.word, 0) if each.document == name else 0
                if each.document != name:
                    continue
                if count > 1:
                    self.world.fail(f"{each.word} is in {name} {count} times")
                elif not count and each.answered and not (each.doubtful or name in self._deleting):
                    self.world.fail(f"{each.word} was done, and is not in {name}")
                elif count and (each.gone or (each.refused and not each.answered)):
                    self.world.fail(f"{each.word} is in {name}, and was refused or deleted")
            if found:
                self.world.fail(f"nobody wrote {list(found)} to {name}")
