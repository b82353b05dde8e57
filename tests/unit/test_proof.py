"""The proof of a state before anything older is let go, here and in a process of its own."""

import subprocess
import sys

import pytest

from crdtsync import housekeeping
from crdtsync.crdt import IntegrationError
from crdtsync.hub import Hub
from crdtsync.proof import UNPROVEN, pack, prove_state
from crdtsync.state_vector import encode_state_vector

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


def run(state: bytes, vector: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "crdtsync.proof"]
    return subprocess.run(command, input=pack(state, vector), capture_output=True, check=False)


def test_a_sound_state_is_proven() -> None:
    """A state that reloads to the same document passes, here and there."""
    prove_state(WHOLE.get_update(), WHOLE.get_state())
    assert run(WHOLE.get_update(), WHOLE.get_state()).returncode == 0


@pytest.mark.parametrize(("state", "vector", "reason"), BAD)
def test_an_unsound_state_is_not(state: bytes, vector: bytes, reason: str) -> None:
    """Damage and a document that is another one are named."""
    with pytest.raises(IntegrationError, match=reason):
        prove_state(state, vector)


def test_an_unsound_state_is_not_proven_elsewhere() -> None:
    """The process says with its exit code that a state is not proven, and why on its stderr."""
    state, vector, reason = BAD[1]
    result = run(state, vector)
    assert result.returncode == UNPROVEN
    assert reason in result.stderr.decode()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove even the smallest state in a process of its own."""
    monkeypatch.setattr(housekeeping, "PROVE_HERE_BYTES", 0)


@pytest.mark.anyio
@pytest.mark.usefixtures("elsewhere")
async def test_a_large_state_is_proven_elsewhere() -> None:
    """A checkpoint that is proven in another process stands for the records up to its start."""
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
    monkeypatch.setattr(housekeeping, "PROOF_TIMEOUT_S", 0.05)
    store = TestStore()
    async with Hub(store, limits=FAST) as hub:
        await hub.edit("doc", MADE[0])
        assert await hub.housekeeping.checkpoint(hub.rooms["doc"])
        assert "takes over" in hub.rooms["doc"].document.verbatim
    assert len(store.checkpoints) == 1
