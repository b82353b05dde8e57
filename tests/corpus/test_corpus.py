"""The update reader reads real Yjs updates as Yjs itself does."""

import itertools

import pytest

from crdtsync.limits import Limits
from crdtsync.update import scan

from .corpus import FOLDER, NAMES, SKIP, joined, load

every_case = pytest.mark.parametrize("name", NAMES)


def test_the_corpus_is_there_and_small() -> None:
    """All cases are recorded, and together they stay below 1.5 MB."""
    assert len(NAMES) >= 28
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


@every_case
def test_ranges_deletes_and_roots_are_what_yjs_reports(name: str) -> None:
    """Struct ranges without Skips, deleted ranges and named roots equal `Y.decodeUpdate`'s."""
    for recorded in load(name).all:
        seen = scan(recorded.data, Limits())
        assert joined(seen.ranges) == recorded.ranges
        assert joined(seen.deletes) == joined(recorded.deletes)
        assert seen.roots == recorded.roots


@every_case
def test_first_and_end_clocks_are_what_yjs_reports(name: str) -> None:
    """The outermost clocks of each client equal `Y.parseUpdateMeta`'s."""
    for recorded in load(name).all:
        if not recorded.start:
            continue
        structs = scan(recorded.data, Limits(), structs=True).structs
        assert structs is not None
        start = {struct.client: struct.clock for struct in reversed(structs)}
        end = {struct.client: struct.clock + struct.length for struct in structs}
        assert start == recorded.start
        assert end == recorded.end


@every_case
def test_every_struct_is_what_yjs_reports(name: str) -> None:
    """Id, length, kind, origins, parent and key of each struct equal `Y.decodeUpdate`'s."""
    for recorded in load(name).all:
        structs = scan(recorded.data, Limits(), structs=True).structs
        assert structs is not None
        assert [
            (s.client, s.clock, s.length, s.kind, s.origin, s.right, s.parent, s.key)
            for s in structs
        ] == [
            (s.client, s.clock, s.length, s.kind, s.origin, s.right, s.parent, s.key)
            for s in recorded.structs
        ]


@every_case
def test_struct_offsets_cover_the_bytes(name: str) -> None:
    """Within a client the structs' bytes follow one another without a gap."""
    for recorded in load(name).all:
        structs = scan(recorded.data, Limits(), structs=True).structs
        assert structs is not None
        for before, after in itertools.pairwise(structs):
            assert before.start < before.end
            assert before.end <= after.start
            if before.client == after.client:
                assert before.end == after.start


@every_case
def test_needs_are_the_clocks_that_structs_refer_to(name: str) -> None:
    """Per other client, the highest clock of any origin, right origin or parent, plus one."""
    for recorded in load(name).all:
        needs: dict[int, int] = {}
        for struct in recorded.structs:
            for other in (struct.origin, struct.right, struct.parent):
                if isinstance(other, tuple) and other[0] != struct.client:
                    needs[other[0]] = max(needs.get(other[0], 0), other[1] + 1)
        assert scan(recorded.data, Limits()).needs == needs


@every_case
def test_every_case_brings_something(name: str) -> None:
    """Each case has updates, and says whether they hold Skips as Yjs does."""
    case = load(name)
    assert case.updates
    for recorded in case.all:
        seen = scan(recorded.data, Limits())
        assert seen.empty == (recorded.data == b"\x00\x00")
        assert seen.skips == any(struct.kind == SKIP for struct in recorded.structs)
