"""From pending updates to what the store and the fan-out get.

Owns the joining of neighbours: those of one source become one record, for they share author and
time; those of any source become one entry for the document and the connections.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

from crdtsync.connection import Connection
from crdtsync.fanout import Committed
from crdtsync.gate import Principal
from crdtsync.joining import join_updates
from crdtsync.limits import Limits
from crdtsync.store.base import Record
from crdtsync.structs import Layout

__all__ = ["Batch", "Editor", "Pending", "Source", "make_batch"]


MAX_JOINED_BYTES: Final = 64 * 1024
"""Larger updates are not joined: what integrates as one can't be interrupted."""


_tuple: Final = tuple.__new__
"""Makes a named tuple without the call that is its constructor."""


class Editor(NamedTuple):
    """A source of updates that is no connection: the library, REST."""

    principal: Principal


Source = Connection | Editor
Pending = tuple[bytes, Layout, Source]


class Batch(NamedTuple):
    """What one room puts into one commit."""

    records: list[Record]
    entries: list[Committed]


def make_batch(
    pending: list[Pending], limits: Limits, *, document: str, sequence: int, time_ms: int
) -> Batch:
    """Join pending updates; the records' sequences follow on ``sequence``."""
    if len(pending) == 1:  # as people type
        update, layout, source = pending[0]
        record = _tuple(Record, (document, sequence + 1, time_ms, source.principal.id, update))
        entry = _tuple(Committed, (update, layout, 1, source))
        return _tuple(Batch, ([record], [entry]))
    batch = Batch([], [])
    for group in _groups(pending, limits):
        joined = join_updates(group)
        if joined is not None:
            _add(batch, group, joined, document, sequence, time_ms)
        else:  # they overlap: rare, and never worth a detour
            for one in group:
                _add(batch, [one], one[:2], document, sequence, time_ms)
    return batch


def _groups(pending: list[Pending], limits: Limits) -> Iterator[list[Pending]]:
    """Cut into groups of at most ``max_merge`` updates and about ``MAX_JOINED_BYTES``."""
    most = min(MAX_JOINED_BYTES, limits.max_frame_bytes)
    start = 0
    while start < len(pending):
        group = pending[start : start + limits.max_merge]
        size = 0
        for index, each in enumerate(group):
            size += len(each[0])
            if size > most:
                del group[max(1, index) :]
                break
        start += len(group)
        yield group


def _add(
    batch: Batch,
    group: list[Pending],
    joined: tuple[bytes, Layout],
    document: str,
    sequence: int,
    time_ms: int,
) -> None:
    """Add the records of one group, a run of one source each, and its entry."""
    sources = [source for _, _, source in group]
    if sources.count(sources[0]) == len(sources):
        runs = [group]
    else:
        runs = [list(run) for _, run in groupby(group, key=_source)]
    for run in runs:
        part = joined if len(runs) == 1 else join_updates(run)
        updates = [part[0]] if part is not None else [update for update, _, _ in run]
        author = run[0][2].principal.id
        for update in updates:
            number = sequence + len(batch.records) + 1
            batch.records.append(Record(document, number, time_ms, author, update))
    source = sources[0] if len(runs) == 1 else None
    batch.entries.append(Committed(*joined, len(group), source))


def _source(pending: Pending) -> int:
    return id(pending[2])
