"""Restoring and undoing, worked out and proven: from a document's past to one update.

Owns the proof: before anybody gets to see it, the update is tried on a copy of the present, and
what comes of it is compared with what it should be. That is done by pycrdt, which knows nothing
of how the update was made; where pycrdt can't carry the document, by its own order of items.
What is not exact is ``NotRestorable``.

Synchronous, and picklable at both ends: it runs in a process of its own.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from crdtsync.channels.names import is_chat
from crdtsync.crdt import IntegrationError, read_shown
from crdtsync.history.cutting import cut_update
from crdtsync.history.lately import open_past
from crdtsync.history.model import (
    LoggedCheckpoint,
    LoggedRecord,
    NotRestorable,
    Snapshot,
    Stored,
    UnknownRoot,
)
from crdtsync.history.past import Past
from crdtsync.history.reading import at_work
from crdtsync.history.restoring import Moment, Target, restoring_update
from crdtsync.history.shape import shape
from crdtsync.history.undoing import Deeds, Without
from crdtsync.history.weave import Weave, weave
from crdtsync.idset import IdSet
from crdtsync.joining import write_deletes
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import borders_of, weave_updates
from crdtsync.state_vector import fresh_client
from crdtsync.structs import EMPTY_UPDATE, STRING, Scan
from crdtsync.update import scan

__all__ = ["restore_from", "restore_update", "undo_from", "undo_update"]

_UNLIMITED = trusting(Limits())
_TEXT_TYPES = (2, 6)
_INEXACT = "the way back was not exact, and nothing was changed"


def restore_update(
    past: Past,
    sequence: int,
    *,
    root: str | None = None,
    client: int | None = None,
    chat: bool = False,
) -> bytes:
    """Return the edit that makes the present document, or one root of it, that of a moment.

    It builds on the last record of ``past``, and is the empty update where nothing has to
    change. ``client`` makes it; a random one by default. In a document with a ``chat`` that
    stays what it is. Raises ``UnknownMoment``,
    ``UnknownRoot``, ``NotRestorable``, ``HistoryDamaged``, ``HistoryUnavailable``.
    """
    with at_work():
        return _restore_update(past, sequence, root, client, chat)


def _restore_update(
    past: Past, sequence: int, root: str | None, client: int | None, chat: bool
) -> bytes:
    timeline = past.timeline
    then, now = timeline.snapshot(sequence), timeline.end
    woven = past.woven
    if root is not None and root not in woven.roots:
        raise UnknownRoot(f"the document has no root {root!r}", hint="Name one that it has")
    target, present = Moment(woven, then), Moment(woven, now)
    roots = _roots(woven, chat) if root is None else [root]
    wanted, current = cut_update(past.structs, past.found, then), _with_deletes(past, now)

    def prove(update: bytes, roots: list[str]) -> set[str]:
        return _prove(past.found, target, present, update, wanted, current, roots)

    client = fresh_client(now.clocks) if client is None else client
    return _least(target, present, roots, client, bool(past.found.pairs), prove)


def restore_from(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    sequence: int,
    root: str | None,
    chat: bool = False,
) -> bytes:
    """Return ``restore_update`` of what is stored and the log behind it."""
    past = open_past(stored, checkpoint, records)
    return restore_update(past, sequence, root=root, chat=chat)


def undo_update(
    past: Past,
    *,
    author: str,
    after: int,
    upto: int | None = None,
    client: int | None = None,
    chat: bool = False,
) -> bytes:
    """Return the edit that undoes what one author did behind one moment, up to another.

    What others did stays. Otherwise as ``restore_update``.
    """
    with at_work():
        return _undo_update(past, author, after, upto, client, chat)


def undo_from(
    stored: Stored | None,
    checkpoint: LoggedCheckpoint | None,
    records: Sequence[LoggedRecord],
    author: str,
    after: int,
    upto: int | None,
    chat: bool = False,
) -> bytes:
    """Return ``undo_update`` of what is stored and the log behind it."""
    past = open_past(stored, checkpoint, records)
    return undo_update(past, author=author, after=after, upto=upto, chat=chat)


def _undo_update(
    past: Past, author: str, after: int, upto: int | None, client: int | None, chat: bool
) -> bytes:
    timeline = past.timeline
    upto = timeline.sequence if upto is None else upto
    since, now = timeline.snapshot(after), timeline.end
    timeline.snapshot(upto)  # there has to be such a moment
    woven = past.woven
    target = Without(woven, Deeds(author, upto, since, now, timeline.changes(after)))
    present = Moment(woven, now)
    current = _with_deletes(past, now)

    def prove(update: bytes, roots: list[str]) -> set[str]:
        return _prove_by_order(target, present, update, current, roots)

    client = fresh_client(now.clocks) if client is None else client
    return _least(target, present, _roots(woven, chat), client, bool(past.found.pairs), prove)


def _roots(woven: Weave, chat: bool) -> list[str]:
    """Return the roots that may be changed: not what people said to one another."""
    return [name for name in woven.roots if not (chat and is_chat(name))]


def _least(
    target: Target,
    present: Moment,
    roots: list[str],
    client: int,
    pairs: bool,
    prove: Callable[[bytes, list[str]], set[str]],
) -> bytes:
    """Return the proven update of the roots that show anything else than they should.

    A root that shows the same by other items, as after an earlier restore, stays as it is.
    """
    while True:
        update, touched = restoring_update(
            target.weave, target, present, roots, client=client, pairs=pairs
        )
        if update == EMPTY_UPDATE:
            return update
        same = prove(update, roots)
        if not same & touched:
            return update
        roots = [name for name in roots if name not in same]


def _with_deletes(past: Past, now: Snapshot) -> bytes:
    """Return the update that makes the present document."""
    return past.structs[:-1] + write_deletes(now.deletes)


def _prove(
    found: Scan,
    target: Moment,
    present: Moment,
    update: bytes,
    wanted: bytes,
    now: bytes,
    roots: list[str],
) -> set[str]:
    """Try an update on the present; raise ``NotRestorable`` where it does not make ``wanted``.

    Returns the roots that were the same before.
    """
    kinds = {name: kind for name, kind in present.roots().items() if name in roots}
    carried = _carried(found, present.weave, kinds)
    if not carried or not _undivided(found, [wanted, now, update]):
        return _prove_by_order(target, present, update, now, roots)
    try:
        (before, there), (should,) = read_shown([now, update], kinds), read_shown([wanted], kinds)
    except IntegrationError as error:
        raise NotRestorable(f"the restored document can't be read: {error}") from error
    if _text(there) != _text(should):
        raise NotRestorable(_INEXACT)
    return {name for name in kinds if _text(before[name]) == _text(should[name])}


def _prove_by_order(
    target: Target, present: Moment, update: bytes, now: bytes, roots: list[str]
) -> set[str]:
    """The same without pycrdt."""
    should = shape(target, roots, present)
    if shape(_woven([now, update]), roots) != should:
        raise NotRestorable(_INEXACT)
    before = shape(present, roots)
    return {name for name in roots if before.get(name) == should.get(name)}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _carried(found: Scan, woven: Weave, kinds: dict[str, Any]) -> bool:
    """Return whether pycrdt carries all values exactly, and can read all types."""
    if found.verbatim:
        return False
    texts = {id(woven.roots[name]) for name, kind in kinds.items() if kind == "text"}
    for item in woven.items.values():
        line = item.line
        if line is None or item.struct.kind != STRING:
            continue
        is_text = line.owner.type_ref in _TEXT_TYPES or id(line.owner) in texts
        if line.key is not None or not (is_text or line.owner.type_ref < 0):
            return False
    return True


def _undivided(found: Scan, updates: list[bytes]) -> bool:
    """Return whether no surrogate pair is divided: pycrdt can't do that."""
    if not found.pairs:
        return True
    pairs = set(found.pairs)
    scans = (scan(each, _UNLIMITED, structs=True) for each in updates)
    return all(pairs.isdisjoint(borders_of(each, {})) for each in scans)


# Without pycrdt


def _woven(updates: list[bytes]) -> Moment:
    data, layout = weave_updates(updates, _UNLIMITED)
    deletes = IdSet()
    deletes.add(layout.deletes)
    clocks = {client: end for client, _, end in layout.ranges}
    return Moment(weave(data), Snapshot(clocks, deletes))
