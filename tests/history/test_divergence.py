"""Where a history and a document part: found exactly where that can be, and never in between."""

from collections.abc import Sequence

import pycrdt
import pytest
from hypothesis import strategies as st

from crdtsync.history.divergence import Dated, common, cut_back, ends_alike
from crdtsync.history.erasing import stored_with
from crdtsync.history.log import LogCheckpoint, LogRecord
from crdtsync.history.model import HistoryDamaged, Stored, VersionKind
from crdtsync.history.past import Past
from crdtsync.history.timeline import Timeline
from tests.history.test_past import START_MS, logged, replayed
from tests.properties.authors import History, histories
from tests.properties.edits import content
from tests.properties.profile import checked
from tests.unit.documents import fresh

LATER_MS = START_MS + 10_000_000


def plain(updates: list[bytes]) -> list[LogRecord]:
    return [LogRecord(*each[1:]) for each in logged(updates)]


def stored_of(records: Sequence[LogRecord], kept: set[int] | None = None) -> Stored:
    """Return the history of a log, with all moments or some."""
    stored = Past.open(None, None, records).stored()
    if kept is None:
        return stored
    timeline = Timeline(stored.head, stored.blocks).thinned(lambda each, _: each in kept)
    return stored_with(stored, *timeline.write())


def checkpoint_at(records: Sequence[LogRecord], sequence: int) -> LogCheckpoint | None:
    state = replayed([each.update for each in records[:sequence]]).get_update()
    return LogCheckpoint(sequence, LATER_MS, state) if sequence else None


def others(records: list[LogRecord], border: int, word: str) -> list[LogRecord]:
    """Return another future: all that was lost comes back at once, and somebody types."""
    rest = [each.update for each in records[border:]]
    base = replayed([each.update for each in records[:border]])
    doc = replayed([each.update for each in records])
    doc_before = base.get_state()
    updates = [doc.get_update(doc_before)] if rest else []
    for letter in word:
        before = doc.get_state()
        doc.get("more", type=pycrdt.Text).insert(0, letter)
        updates.append(doc.get_update(before))
    new = [
        LogRecord(border + n, LATER_MS + n, "new", update) for n, update in enumerate(updates, 1)
    ]
    return records[:border] + new


@checked(
    150,
    history=histories,
    end=st.integers(0, 30),
    folded=st.integers(0, 30),
    kept=st.none() | st.sets(st.integers(1, 30)),
)
def test_a_history_that_fits(
    history: History, end: int, folded: int, kept: set[int] | None
) -> None:
    """What was folded of a document's own log fits, wherever its checkpoint is."""
    records = plain(history.updates)
    count = len(records)
    if not count:
        return
    end = 1 + end % count
    stored = stored_of(records[:end], kept)
    for base in {0, folded % (count + 1), end, count}:
        found = common(stored, (), checkpoint_at(records, base), records[base:], count)
        assert found.sequence == end
        assert not found.strangers
    assert ends_alike(stored, end, records[end - 1].time_ms)
    assert not ends_alike(stored, end, LATER_MS)
    assert not ends_alike(stored, end + 1, records[end - 1].time_ms)


@checked(
    150,
    history=histories,
    border=st.integers(0, 30),
    base=st.integers(0, 30),
    word=st.text("abc", max_size=6),
    kept=st.none() | st.sets(st.integers(1, 30)),
)
def test_another_future(
    history: History, border: int, base: int, word: str, kept: set[int] | None
) -> None:
    """What is left of a history is the document's own; all of that where the log goes so far."""
    lost = plain(history.updates)
    count = len(lost)
    if not count:
        return
    border %= count  # something is lost
    own = others(lost, border, word)
    last = len(own)
    base %= last + 1
    stored = stored_of(lost, kept)
    moments = [sequence for sequence, _ in Timeline(stored.head, stored.blocks).moments()]
    checkpoint = checkpoint_at(own, base)
    found = common(stored, (), checkpoint, own[base:], last)
    if base <= border:
        assert found.sequence == max((each for each in moments if each <= border), default=0)
    assert found.sequence <= last
    left = cut_back(stored, found.sequence)
    assert left.sequence == found.sequence
    past = Past.open(left)
    assert [each for each, _ in past.timeline.moments()] == [
        each for each in moments if each <= found.sequence
    ]
    for each, _ in past.timeline.moments():
        assert content(replayed([past.update_at(each)])) == content(
            replayed([record.update for record in lost[:each]])
        )
    whole = [record.update for record in own]
    assert content(replayed([*whole, past.update_at(found.sequence)])) == content(replayed(whole))
    behind = Past.open(
        left, checkpoint, [each for each in own if each.sequence > max(base, left.sequence)]
    )
    assert content(replayed([behind.update_at(last)])) == content(replayed(whole))


def typed(*words: str) -> list[bytes]:
    """Return what somebody sends who types words."""
    doc = fresh()
    found = []
    for word in words:
        before = doc.get_state()
        doc["text"] += word  # type: ignore[operator]
        found.append(doc.get_update(before))
    return found


def version(id: int, record: LogRecord, kind: VersionKind = "named", late_ms: int = 0) -> Dated:
    return Dated(id, record.sequence, record.time_ms + late_ms, kind)


@pytest.mark.parametrize("base", [0, 1, 2])
def test_versions_of_both_futures(base: int) -> None:
    """A version is of the future in whose time it was made; what is beyond the end is of none."""
    lost = plain(typed("a", "b", "c", "d", "e"))
    own = others(lost[:2], 2, "xy")
    stored = stored_of(lost[:3])
    marks = [
        *(version(number, each) for number, each in enumerate(lost)),
        *(version(10 + number, each) for number, each in enumerate(own)),
        version(20, lost[3], "auto", 900),
        version(21, own[3], "auto", 900),
    ]
    found = common(stored, marks, checkpoint_at(own, base), own[base:], 4)
    assert found.sequence == 2
    assert found.strangers == {2, 3, 4, 20}


def test_versions_below_a_checkpoint() -> None:
    """Where the log is gone, one made behind what the lost future knew of stays."""
    lost = plain(typed("a", "b", "c", "d"))
    own = others(lost[:1], 1, "xyzw")
    stored = stored_of(lost[:3])
    marks = [
        *(version(number, each) for number, each in enumerate(lost)),
        *(version(10 + number, each) for number, each in enumerate(own)),
        version(20, lost[1], "auto", 100_000),
    ]
    found = common(stored, marks, checkpoint_at(own, 5), (), 5)
    assert found.sequence == 1
    assert found.strangers == {1, 2, 20}  # the fourth is behind what is known of the lost


def test_deletions_tell_futures_apart() -> None:
    """A future that only deleted something is another one, too."""
    doc = fresh()
    updates = []
    for change in ("abc", ""):
        before = doc.get_state()
        text = doc.get("text", type=pycrdt.Text)
        if change:
            text += change
        else:
            del text[0:2]
        updates.append(doc.get_update(before))
    lost = plain(updates)
    own = [lost[0]._replace(sequence=n, time_ms=LATER_MS) for n in (1, 2)]
    found = common(stored_of(lost), (), checkpoint_at(own, 2), (), 2)
    assert found.sequence == 1


def test_bytes_that_mean_nothing() -> None:
    """A checkpoint or a record that can't be read is damage."""
    lost = plain(typed("a", "b"))
    stored = stored_of(lost)
    with pytest.raises(HistoryDamaged, match="checkpoint"):
        common(stored, (), LogCheckpoint(1, 1, b"\xff"), lost[1:], 2)
    with pytest.raises(HistoryDamaged, match="record 2"):
        common(stored, (), None, [lost[0], lost[1]._replace(update=b"\xff")], 2)
