"""A checkpoint's state and its proof, here and in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO

import pytest

from crdtsync import elsewhere as apart
from crdtsync import housekeeping
from crdtsync.condensing import UNPROVEN, condense, read_condensed, write_parts
from crdtsync.crdt import IntegrationError
from crdtsync.document import Document
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.proof import prove_state
from crdtsync.state_vector import encode_state_vector
from crdtsync.update import scan

from .documents import content, history, replay
from .engine import FAST, TestStore, join, quick, until
from .wire import one

MADE = history(1)
WHOLE = replay(*MADE)
BAD = [
    (WHOLE.get_update()[:-1], WHOLE.get_state(), "can't be read back"),
    (WHOLE.get_update(), encode_state_vector({1: 2}), "another state vector"),
    (one(1, 1, "x", origin=(1, 0)), encode_state_vector({1: 2}), "another state vector"),
]
FRAME = 200


def run(parts: list[bytes]) -> subprocess.CompletedProcess[bytes]:
    question = BytesIO()
    write_parts(question, parts, FRAME)
    command = [sys.executable, "-m", "crdtsync.condensing"]
    return subprocess.run(command, input=question.getvalue(), capture_output=True, check=False)


def test_a_sound_state_is_proven() -> None:
    """A state that reloads to the same document passes."""
    prove_state(WHOLE.get_update(), WHOLE.get_state())


@pytest.mark.parametrize(("state", "vector", "reason"), BAD)
def test_an_unsound_state_is_not(state: bytes, vector: bytes, reason: str) -> None:
    """Damage and a document that is another one are named."""
    with pytest.raises(IntegrationError, match=reason):
        prove_state(state, vector)


def test_a_state_is_made_elsewhere() -> None:
    """The process makes one state of all updates, and cuts it into frames of the same content."""
    result = run(MADE)
    assert result.returncode == 0
    state, frames = read_condensed(BytesIO(result.stdout))
    assert (state, frames) == condense(MADE, FRAME)
    assert content(replay(state)) == content(WHOLE)
    assert len(frames) > 1
    assert content(replay(*frames)) == content(WHOLE)
    whole = state, [state]
    assert condense(MADE, len(state)) == whole


def test_an_unsound_state_is_not_made_elsewhere() -> None:
    """The process says with its exit code that there is no proven state, and why on its stderr."""
    result = run([one(1, 1, "x", origin=(1, 0))])
    assert result.returncode == UNPROVEN
    assert "another" in result.stderr.decode()
    assert not result.stdout


def a_document(updates: list[bytes]) -> Document:
    document = Document(Limits())
    for update in updates:
        found = scan(update, Limits())
        document.admit(update, found)
        document.commit(update, found)
    return document


def nothing(document: Document) -> None:
    pass


def joined(document: Document) -> None:
    document.diff(b"\x00")


@pytest.mark.parametrize("before", [nothing, Document.integrate, joined, Document.state])
@pytest.mark.parametrize(
    "meanwhile", [nothing, Document.integrate, joined, Document.state, Document.rest]
)
@pytest.mark.parametrize("half", [0, len(MADE) // 2, len(MADE)])
def test_what_happens_to_a_document_while_its_state_is_made(
    before: Callable[[Document], object], meanwhile: Callable[[Document], object], half: int
) -> None:
    """Whatever that is, it goes on from the state with what has come since, and with no more."""
    document = a_document(MADE[:half])
    before(document)
    for update in MADE[half : half + 3]:
        found = scan(update, Limits())
        document.admit(update, found)
        document.commit(update, found)
    rest = MADE[half + 3 :]
    draft = document.draft()
    state, frames = condense(draft.parts, FRAME)
    for update in rest:
        found = scan(update, Limits())
        document.admit(update, found)
        document.commit(update, found)
    meanwhile(document)
    assert document.adopt(draft, state, frames)
    assert not document.adopt(draft, state, frames)  # once
    waiting = (len(rest),) if meanwhile in (nothing, joined) else (0, len(rest))
    assert document.tail_updates in waiting
    for known in ((), MADE[:5], MADE):
        reader = replay(*known)
        for update in document.diff(reader.get_state()):
            reader.apply_update(update)
        assert content(reader) == content(WHOLE)
    assert content(replay(*document.parts())) == content(WHOLE)
    assert content(replay(document.checkpoint())) == content(WHOLE)


def test_a_document_that_is_kept_verbatim_meanwhile() -> None:
    """It does not go on from the state that was made of it."""
    document = a_document(MADE)
    draft = document.draft()
    document.keep_verbatim("for a test")
    assert not document.adopt(draft, *condense(draft.parts, FRAME))
    assert content(replay(document.state())) == content(WHOLE)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make even the smallest state in a process of its own."""
    monkeypatch.setattr(housekeeping, "CONDENSE_HERE_BYTES", 0)


@pytest.mark.anyio
@pytest.mark.usefixtures("elsewhere")
async def test_a_large_document_s_state_is_made_elsewhere() -> None:
    """A checkpoint that is made in another process stands for the records up to its start."""
    store = TestStore()
    async with Hub(store, limits=quick(max_log_records=10)) as hub:
        client = await join(hub)
        for data in MADE:
            await hub.edit("doc", data)
        client.type("while it goes on")
        await until(lambda: store.checkpoints)
        (early,) = store.checkpoints
        loaded = await store.load("doc")
        assert loaded.checkpoint == early
        assert [each.sequence for each in loaded.records][:1] in ([], [early.sequence + 1])
        updates = [each.update for each in loaded.records]
        client.read()
        assert content(replay(early.state, *updates)) == content(client.doc)
    assert "while it goes on" in str(replay(store.checkpoints[-1].state)["text"])


@pytest.mark.anyio
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("script", "verbatim"),
    [
        ("import sys; sys.exit(3)", True),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", True),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", False),
        ("import sys; sys.exit(1)", False),
    ],
    ids=["unproven", "crash", "interrupted", "broken"],
)
async def test_what_a_proof_that_fails_means(
    monkeypatch: pytest.MonkeyPatch, script: str, verbatim: bool
) -> None:
    """Unproven or crashed: the document stays as it came. A proof that was not to be had is made
    here instead."""
    real = subprocess.Popen

    def replaced(command: list[str], **options: object) -> object:
        return real([command[0], "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", replaced)
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        for data in MADE:
            await hub.edit("doc", data)
        room = hub.rooms["doc"]
        assert await hub.housekeeping.checkpoint(room)
        assert bool(room.document.verbatim) == verbatim
        (checkpoint,) = store.checkpoints
        assert content(replay(checkpoint.state)) == content(WHOLE)


@pytest.mark.anyio
@pytest.mark.usefixtures("elsewhere")
async def test_a_proof_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that takes too long counts as none."""
    real = subprocess.Popen

    def endless(command: list[str], **options: object) -> object:
        code = "import time; time.sleep(60)"
        return real([command[0], "-c", code], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", endless)
    monkeypatch.setattr(apart, "TIMEOUT_S", 0.05)
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        await hub.edit("doc", MADE[0])
        assert await hub.housekeeping.checkpoint(hub.rooms["doc"])
        assert "takes over" in hub.rooms["doc"].document.verbatim
    assert len(store.checkpoints) == 1
