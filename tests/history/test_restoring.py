"""Restoring: the edit that brings a moment back is exact, ordinary, and proven beforehand."""

import base64
from typing import Any

import pycrdt
import pytest

from crdtsync import state_vector
from crdtsync.history import forward
from crdtsync.history.forward import restore_update
from crdtsync.history.model import NotRestorable, UnknownMoment, UnknownRoot
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan
from tests.corpus.corpus import NAMES, load
from tests.history.restoring import check_library, check_yjs, node, past_of
from tests.interop.conftest import require
from tests.interop.harness import NODE_MODULES
from tests.properties.authors import doc_of
from tests.properties.edits import content
from tests.unit.wire import any_, block, deleted, gc, item, update

LIBRARY_SEEDS = range(250)
YJS_SEEDS = range(10_000, 10_100)
ONE, TWO = b"\x7d\x01", b"\x7d\x02"


def text_of(*updates: bytes) -> str:
    return str(doc_of(*updates).get("text", type=pycrdt.Text))


def test_random_histories() -> None:
    """Whole documents and roots, collected, edited meanwhile, and back again: all is exact."""
    for seed in LIBRARY_SEEDS:
        try:
            check_library(seed)
        except (AssertionError, NotRestorable) as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.node
def test_histories_of_yjs() -> None:
    """The same of what Yjs clients do, as Yjs shows it: divided characters, big integers, hooks."""
    require(NODE_MODULES.exists(), "npm packages are missing: run npm ci in tests/interop")
    assert list(check_yjs(YJS_SEEDS)) == []


@pytest.mark.node
def test_recorded_documents() -> None:
    """Recorded histories of real editors are restored at any moment, as Yjs shows it."""
    require(NODE_MODULES.exists(), "npm packages are missing: run npm ci in tests/interop")
    asked: list[list[str]] = []
    for name in NAMES:
        if name == "holes":
            continue
        updates = [each.data for each in load(name).updates]
        past = past_of(updates)
        for moment in {0, len(updates) // 3, len(updates) // 2, len(updates) - 1}:
            after = [*updates, restore_update(past, moment)]
            asked += [
                [base64.b64encode(e).decode() for e in log] for log in (updates[:moment], after)
            ]
    shown = node("show", asked)
    for number in range(0, len(shown), 2):
        assert shown[number] == shown[number + 1], asked[number + 1]


def test_only_what_differs() -> None:
    """What is as it should be is not touched: a letter back is a letter's edit."""
    before = update(block(7, 0, item("a long text that stays")))
    later = update(deletes=[(7, 3, 4)])
    restored = restore_update(past_of([before, later]), 1, client=9)
    found = scan(restored, Limits(), structs=True)
    assert found.ranges == ((9, 0, 1),)
    assert not found.deletes
    assert text_of(before, later, restored) == "a long text that stays"


def test_nothing_to_do() -> None:
    """The present is restored by no edit at all."""
    log = [update(block(7, 0, item("ab"))), update(block(7, 2, item("c", origin=(7, 1))))]
    assert restore_update(past_of(log), 2) == EMPTY_UPDATE
    away = [*log, update(deletes=[(7, 2, 3)])]
    assert restore_update(past_of(away), 1) == EMPTY_UPDATE


def test_a_root_that_came_later() -> None:
    """A root that was not there then is empty, and its kind doesn't matter."""
    log = [
        update(block(7, 0, item("ab"))),
        update(
            block(
                8, 0, item(any_(ONE), parent="map", key="k"), item(any_(ONE, TWO), parent="array")
            )
        ),
    ]
    restored = restore_update(past_of(log), 1)
    shown = content(doc_of(*log, restored))
    assert shown["map"] == {}
    assert shown["array"] == []
    assert text_of(*log, restored) == "ab"


def test_the_empty_document() -> None:
    """The moment before the first record is the empty document."""
    log = [update(block(7, 0, item("ab"), item(any_(ONE), parent="map", key="k")))]
    assert content(doc_of(*log, restore_update(past_of(log), 0))) == content(pycrdt.Doc[Any]())


def test_what_a_client_let_go_of() -> None:
    """Collected structs that a client sent are in no one's way."""
    log = [
        update(block(7, 0, item("ab"), gc(3), item(deleted(2), origin=(7, 1)))),
        update(deletes=[(7, 0, 2)]),
        update(block(8, 0, item("x"), item("in what is gone", parent=(7, 2)))),
    ]
    assert text_of(*log, restore_update(past_of(log), 1)) == "ab"


@pytest.mark.parametrize("divided", ["then", "since"])
def test_a_divided_character(divided: str) -> None:
    """A character that an edit has divided since is whole again; one that was so then is not."""
    smile = update(block(7, 0, item("a\U0001f600b")))
    halved = update(block(8, 0, item("!", origin=(7, 1), right=(7, 2))))
    gone = update(deletes=[(7, 0, 4)])
    log = [smile, halved, gone] if divided == "then" else [smile, halved]
    past = past_of(log)
    restored = restore_update(past, 2 if divided == "then" else 1, client=9)
    found = scan(restored, Limits(), structs=True)
    text = b"".join(restored[each.start : each.end] for each in found.structs or ()).decode(
        errors="ignore"
    )
    if divided == "then":
        assert "a\ufffd" in text
        assert "\U0001f600" not in text
    else:
        assert "\U0001f600" in text
        assert set(found.deletes) == {(7, 1, 3), (8, 0, 1)}


def test_unknown_moments_and_roots() -> None:
    """A moment that never was, and a root that the document doesn't have, are refused."""
    past = past_of([update(block(7, 0, item("ab")))])
    with pytest.raises(UnknownMoment):
        restore_update(past, 2)
    with pytest.raises(UnknownRoot, match="no root 'other'"):
        restore_update(past, 0, root="other")


def test_clients_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client id of a restore is a new one each time, and none that the document knows."""
    log = [update(block(7, 0, item("ab"))), update(deletes=[(7, 0, 2)])]
    used = set()
    for _ in range(20):
        ranges = scan(restore_update(past_of(log), 1), Limits()).ranges
        used.add(ranges[0][0])
    assert len(used) == 20
    drawn = iter([7, 7, 8])

    class Dice:
        def randrange(self, *_: int) -> int:
            return next(drawn)

    monkeypatch.setattr(state_vector.random, "SystemRandom", Dice)
    assert state_vector.fresh_client({7: 2}) == 8


@pytest.mark.parametrize("emoji", [False, True])
def test_what_is_not_exact_is_refused(monkeypatch: pytest.MonkeyPatch, *, emoji: bool) -> None:
    """An edit that would not bring the moment back is found before anybody gets it."""
    log = [update(block(7, 0, item("a\U0001f600bc"))), update(deletes=[(7, 0, 1), (7, 3, 4)])]
    if emoji:  # pycrdt can't carry it: the other proof has to see it
        log.append(update(block(8, 0, item("!", origin=(7, 1), right=(7, 2)))))
    real = forward.restoring_update

    def broken(*args: Any, **options: Any) -> tuple[bytes, set[str]]:
        made, touched = real(*args, **options)
        return made.replace(b"b", b"B"), touched

    monkeypatch.setattr(forward, "restoring_update", broken)
    with pytest.raises(NotRestorable, match="not exact"):
        restore_update(past_of(log), 1)


def test_letters_where_no_text_is() -> None:
    """Characters in an array, which pycrdt reads for ever, are restored without it."""
    log = [
        update(block(7, 0, item(any_(ONE), parent="array"), item("\u00e9\u00e9", origin=(7, 0)))),
        update(deletes=[(7, 0, 3)]),
    ]
    restored = scan(restore_update(past_of(log), 1, client=9), Limits())
    assert restored.ranges == ((9, 0, 3),)


def test_twice_is_once() -> None:
    """What shows the same already is left alone, root by root, also where pycrdt is not asked."""
    for emoji in (False, True):
        log = [update(block(7, 0, item("a\U0001f600bc"))), update(deletes=[(7, 0, 1), (7, 3, 4)])]
        if emoji:
            log.append(update(block(8, 0, item("!", origin=(7, 1), right=(7, 2)))))
        log.append(restore_update(past_of(log), 1, client=9))
        assert log[-1] != EMPTY_UPDATE
        assert restore_update(past_of(log), 1) == EMPTY_UPDATE
        log.append(update(block(10, 0, item(any_(ONE), parent="other"))))
        again = scan(restore_update(past_of(log), 1, client=11), Limits())
        assert again.ranges == ()
        assert again.deletes == ((10, 0, 1),)
