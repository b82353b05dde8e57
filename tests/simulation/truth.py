"""What was committed, record by record, and that histories say the same.

Owns the memory of all records: those whose commit was acknowledged, and those that a life has
left behind. What a history says is compared with them, replayed by pycrdt one after another.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pycrdt

from crdtsync.channels.names import PRESENCE
from crdtsync.history.log import plain_checkpoint, plain_records
from crdtsync.history.model import HistoryDamaged
from crdtsync.history.past import Past
from crdtsync.history.sieve import NOBODY
from crdtsync.state_vector import read_state_vector
from crdtsync.store.base import Loaded, Record
from crdtsync.structs import Range
from crdtsync.update import scan
from tests.properties.edits import content
from tests.properties.replica import READER

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Truth", "histories_are_whole", "shown"]

RESTORER = "restorer"
"""How those are called who restore."""
MOMENTS = 3
"""So many moments of a document are replayed at the end of a story, beside the last."""
OFTEN = 0.3
"""How often one is when a life has ended."""


class Truth:
    """The records of all documents."""

    def __init__(self) -> None:
        self.records: dict[str, dict[int, Record]] = {}
        self.acknowledged: dict[str, int] = {}
        """The last record of each document of whose commit the hub was told."""
        self.life_of: dict[tuple[str, int], int] = {}
        """In which life each was."""
        self._scans: dict[bytes, tuple[Range, ...]] = {}

    def committed(self, life: int, batch: Iterable[Record]) -> None:
        """Take note of a commit in a life."""
        for record in batch:
            self.records.setdefault(record.document, {})[record.sequence] = record
            self.acknowledged[record.document] = record.sequence
            self.life_of[record.document, record.sequence] = life

    def last(self, document: str) -> int:
        """Return the last record's sequence."""
        return max(self.records.get(document, {}), default=0)

    def found(self, document: str, loaded: Loaded) -> str:
        """Take note of what a life has left; return what is wrong with it."""
        known = self.records.setdefault(document, {})
        last, told = _last(loaded), self.acknowledged.get(document, 0)
        if last < told:
            return f"{told} records were acknowledged, there are {last}"
        for record in loaded.records:
            before = known.setdefault(record.sequence, record)
            if (before.update, before.author) != (record.update, record.author):
                if record.sequence <= told:
                    return f"record {record.sequence} was {before}, and is {record}"
                known[record.sequence] = record  # nobody was told of the other one
        for sequence in [each for each in known if each > last]:
            del known[sequence]
        if sorted(known) != list(range(1, last + 1)):
            return f"of {document} the records {sorted(known)} were seen, of {last}"
        return ""

    def brought(self, update: bytes) -> tuple[Range, ...]:
        """Return what an update brings."""
        known = self._scans.get(update)
        if known is None:
            known = self._scans[update] = tuple(scan(update, READER).ranges)
        return known

    def presence(self, document: str, sequence: int) -> set[tuple[int, int]]:
        """Return what of a moment lies in presence: ids that have its root for a parent."""
        found: set[tuple[int, int]] = set()
        for at in range(1, sequence + 1):
            structs = scan(self.records[document][at].update, READER, structs=True).structs or []
            before = -1
            while before < len(found):
                before = len(found)
                for each in structs:
                    beside = each.parent or each.origin or each.right
                    if beside == PRESENCE or beside in found:
                        found |= {(each.client, each.clock + at) for at in range(each.length)}
        return found

    def replay(self, document: str, moments: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Iterate over what a document showed at moments, in their order."""
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        records = self.records.get(document, {})
        at = 0
        for moment in moments:
            while at < moment:
                at += 1
                doc.apply_update(records[at].update)
            yield moment, shown(doc)

    def clocks_at(self, document: str, sequence: int) -> dict[int, int]:
        """Return a moment's clocks."""
        clocks: dict[int, int] = {}
        for at in range(1, sequence + 1):
            for client, _, end in self.brought(self.records[document][at].update):
                clocks[client] = max(end, clocks.get(client, 0))
        return clocks

    def content_at(self, document: str, sequence: int, *updates: bytes) -> Any:
        """Return a moment's content, with more edits behind it."""
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        records = self.records.get(document, {})
        for at in range(1, sequence + 1):
            doc.apply_update(records[at].update)
        for update in updates:
            doc.apply_update(update)
        return _joined(content(doc))


def shown(doc: "pycrdt.Doc[Any]") -> Any:
    """Return what two equal documents have in common."""
    found = scan(doc.get_update(), READER)
    gone = {(client, at) for client, start, end in found.deletes for at in range(start, end)}
    return read_state_vector(doc.get_state(), READER), gone, _joined(content(doc))


def _joined(value: Any) -> Any:
    """Return content in which runs of text don't end where nothing changes."""
    if isinstance(value, dict):
        return {key: _joined(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_joined(each) for each in value)
    if not isinstance(value, list):
        return value
    out: list[Any] = []
    for each in value:
        run = _joined(each)
        if out and _is_run(run) and _is_run(out[-1]) and run[1] == out[-1][1]:
            out[-1] = (out[-1][0] + run[0], run[1])
        else:
            out.append(run)
    return out


def _is_run(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def _last(loaded: Loaded) -> int:
    if loaded.records:
        return loaded.records[-1].sequence
    return loaded.checkpoint.sequence if loaded.checkpoint else 0


def histories_are_whole(world: "World", loaded: dict[str, Loaded], *, deep: bool = False) -> None:
    """Each record is in a history or the log, once, as it was committed; versions are there."""
    archive, truth = world.archive, world.truth
    if archive is None:
        return
    for name, reason in archive.aside():
        if name not in archive.damaged:
            world.fail(f"the history of {name} was set aside: {reason}")
    for name, document in loaded.items():
        if name not in world.shown:
            continue  # others are deleted, too
        problem = truth.found(name, document) or _history(world, name, document, deep)
        problem = problem or _versions(world, name, deep)
        if problem:
            world.fail(f"in the history of {name}: {problem}")


def _history(world: "World", name: str, loaded: Loaded, deep: bool) -> str:
    archive, truth = world.archive, world.truth
    assert archive is not None
    damaged = name in archive.damaged
    last = _last(loaded)
    try:
        kept = archive.kept(name)
    except HistoryDamaged as error:
        return "" if damaged else str(error)
    stored = kept.stored if kept is not None and kept.stored.sequence else None
    known = 0 if stored is None else stored.sequence
    if known > last:
        return f"it goes up to {known}, the document to {last}"
    checkpoint = plain_checkpoint(loaded.checkpoint, known)
    if checkpoint is not None and not damaged:
        return f"the log up to {checkpoint.sequence} is gone, it goes up to {known}"
    try:
        sifted = world.talk is not None and world.talk.rules.present(name)
        records = plain_records(loaded.records, known, sifted=sifted)
        past = Past.open(stored, checkpoint, records)
    except HistoryDamaged as error:
        return str(error)
    moments = [sequence for sequence, _ in past.timeline.moments()]
    first = moments[0] if damaged and moments else 1
    if moments != list(range(first, last + 1)):
        return f"it has the moments {moments} of {last}"
    aside = truth.presence(name, last) if sifted else set()
    return _changes(truth, name, past, first if damaged else 0, aside) or _moments(
        world, name, past, moments, deep, aside
    )


def _changes(truth: Truth, name: str, past: Past, begun: int, aside: set[tuple[int, int]]) -> str:
    """Compare who did what, and when; ``begun`` is where history may have begun anew.

    Of what lies ``aside`` nobody may be told to have done it.
    """
    clocks: dict[int, int] = {}
    inserts: dict[int, set[tuple[int, int]]] = {}
    told: dict[int, set[tuple[int, int]]] = {}
    for sequence, record in sorted(truth.records[name].items()):
        new = inserts.setdefault(sequence, set())
        for client, _, end in truth.brought(record.update):
            known = clocks.get(client, 0)
            if end > known:
                new |= {(client, clock) for clock in range(known, end)}
                clocks[client] = end
    for change in past.timeline.changes():
        if change.sequence == begun and not change.author:
            continue  # a state, as by nobody known
        record = truth.records[name][change.sequence]
        brought = {(each, at) for each, start, end in change.inserts for at in range(start, end)}
        nobody = aside and change.author == NOBODY
        if not (brought <= aside if nobody else brought.isdisjoint(aside)):
            return f"record {change.sequence} brings {brought} by {change.author!r}"
        told.setdefault(0 if nobody else change.sequence, set()).update(brought)
        if not nobody and (change.author, change.time_ms) != (record.author, record.time_ms):
            return (
                f"record {change.sequence} is by {change.author!r} at {change.time_ms},"
                f" it was by {record.author!r} at {record.time_ms}"
            )
    if not begun and told.pop(0, set()) != aside:  # nobody's records are one step
        return "not everything that lies in presence is nobody's"
    for sequence, found in told.items():
        if sequence and found != inserts[sequence] - aside:
            return f"record {sequence} brings {found}, it brought {inserts[sequence] - aside}"
    return ""


def _moments(
    world: "World",
    name: str,
    past: Past,
    moments: list[int],
    deep: bool,
    aside: set[tuple[int, int]],
) -> str:
    """Compare what there was with what the records make; of what lies ``aside``, nothing is."""
    if not moments or not (deep or world.looking.random() < OFTEN):
        return ""
    count = min(len(moments), MOMENTS if deep else 1)
    picked = sorted({*world.looking.sample(moments, count), *moments[-1:] * deep})
    for sequence, wanted in world.truth.replay(name, picked):
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        doc.apply_update(past.update_at(sequence))
        (clocks, gone, there), (*others, more) = shown(doc), wanted
        if (clocks, gone | aside, there) != (others[0], others[1] | aside, more):
            return f"at {sequence} there is {shown(doc)}, there was {wanted}"
        if aside and len(doc.get(PRESENCE, type=pycrdt.Map)):
            return f"at {sequence} it has presence"
    return ""


def _versions(world: "World", name: str, deep: bool) -> str:
    archive, truth = world.archive, world.truth
    assert archive is not None
    rows = {each.id: each for each in archive.rows(name)}
    if list(rows) != sorted(rows):
        return f"its versions are in the order {list(rows)}"
    last = truth.last(name)
    for version in rows.values():
        if not 0 < version.sequence <= last:
            return f"a version is of record {version.sequence} of {last}"
    if name in archive.damaged:
        return ""
    for number, version in archive.versions.items():
        if version.document == name and number not in archive.doubtful:
            if number not in rows:
                return f"{version.kind} version {number} was made, and is not there"
            if rows[number] != version:
                return f"version {number} was {version}, and is {rows[number]}"
    versioned = {each.sequence for each in rows.values()}
    edited = last if world.talk is None else world.talk.last_edit(truth, name)
    life = truth.life_of.get((name, edited))
    if deep and life == world.server.lives and max(versioned, default=0) < edited:
        return f"there is no version of its end at {edited}, only {list(rows.values())}"
    before = {each.author: each.sequence for each in rows.values() if each.kind == "restore"}
    for record in truth.records[name].values():
        if record.author.startswith(RESTORER):
            sequence = before.get(record.author, record.sequence)
            if sequence >= record.sequence:
                return f"nothing was kept of what was before {record.author} restored"
    return ""
