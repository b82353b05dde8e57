"""The fuzzer itself: it finds what is there, whoever dies of it."""

import os
import signal
from pathlib import Path

import pytest

from crdtsync.protocol import update_frame
from crdtsync.room import Room
from fuzz.conversation import Conversation
from fuzz.examine import Examiner, signature
from fuzz.minimise import minimise
from fuzz.play import LIMITS, play, play_seed
from fuzz.script import Action, dump, parse
from fuzz.server import Server
from tests.unit.wire import one


def recorded(seed: int) -> list[Action]:
    server = Server(LIMITS)
    actions = []
    for action in Conversation(seed).actions(server):
        actions.append(action)
        server.perform(action)
    return actions


def test_a_seed_is_a_conversation() -> None:
    """The same seed gives the same messages and the same document; its text can be played."""
    first, again = play_seed(7), play_seed(7)
    assert first.log == again.log != []
    assert (first.clocks, first.exported) == (again.clocks, again.exported)
    actions = recorded(7)
    assert parse(dump(actions, "a remark\nof two lines")) == actions
    assert play(actions).log == first.log
    with pytest.raises(ValueError, match="no action"):
        parse("explode 1")


def test_minimising_keeps_what_fails() -> None:
    """Of a conversation in which one byte matters, the message with that byte stays."""
    actions = recorded(11)
    poison = Action("frame", 0, update_frame(one(77, 0, "poison")))
    actions.insert(len(actions) // 2, poison)

    def fails(fewer: object) -> bool:
        return any(b"poison" in action.data for action in fewer)  # type: ignore[attr-defined]

    assert minimise(actions, fails) == [poison]


def test_what_breaks_the_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is no refusal, and a state that is no update, are findings."""

    def bug(room: Room, *args: object) -> None:
        raise KeyError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(Room, "receive_update", bug)
        assert "KeyError" in play_seed(7).broken
    with monkeypatch.context() as patch:
        patch.setattr("crdtsync.document.Document.diff", lambda *_: [b"\x01"])
        assert "no update" in play_seed(7).broken


@pytest.mark.node
def test_a_disagreement_is_found(examiner: Examiner) -> None:
    """A letter more or less in the log, the answer or the export is a finding."""
    actions = [
        Action("open"),
        Action("frame", 0, update_frame(one(1, 0, "ab"))),
        Action("commit"),
    ]
    assert examiner.examine(actions) == ""
    good = play(actions)
    for name, value in (
        ("log", [one(1, 0, "xb")]),
        ("answer", [one(1, 0, "ax")]),
        ("reader", [one(1, 0, "a")]),
        ("reloaded", one(1, 0, "abc")),
        ("exported", {"text": "ba"}),
        ("clocks", {1: 3}),
    ):
        bad = play(actions)
        setattr(bad, name, value)
        findings = examiner.judge([(1, good.as_json()), (2, bad.as_json())])
        assert [finding.seed for finding in findings] == [2], name


@pytest.mark.node
def test_a_death_is_found(examiner: Examiner, tmp_path: Path) -> None:
    """A process that dies of a conversation costs that conversation, and is named with it."""
    ended, findings = examiner.play([1])
    assert (len(ended), findings) == (1, [])
    process = examiner._worker._process
    assert process is not None
    os.kill(process.pid, signal.SIGSEGV)
    process.wait()
    ended, findings = examiner.play([2, 3])
    assert [seed for seed, _ in ended] == [3]
    assert [finding.seed for finding in findings] == [2]
    assert findings[0].problem == f"the process ended with {-signal.SIGSEGV}"


def test_signatures_leave_numbers_out() -> None:
    """Two problems that differ in numbers have one cause, most likely."""
    assert signature("it grows to 1200 MiB") == signature("it grows to 1300 MiB")
