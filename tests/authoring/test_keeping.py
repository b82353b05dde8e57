"""Answers to requests that may come twice: one contract, in memory and on disk."""

from pathlib import Path
from typing import Any

import pytest

from crdtsync.authoring.answers import Answers, Kept, MemoryAnswers, Scope
from crdtsync.authoring.keeping import FILE, StoredAnswers
from crdtsync.clock import ManualClock
from crdtsync.errors import StoreError
from crdtsync.limits import Limits

pytestmark = pytest.mark.anyio

ONE = Scope("doc", "ada", "k")
OTHERS = [Scope("doc", "ada", "l"), Scope("doc", "bob", "k"), Scope("other", "ada", "k")]


@pytest.fixture(params=["memory", "side", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return what makes answers of limits and a clock."""

    def answers(limits: Limits, clock: ManualClock) -> Answers:
        if request.param == "memory":
            return MemoryAnswers(limits, clock)
        return StoredAnswers(tmp_path if request.param == "disk" else None, limits, clock)

    return answers


async def test_the_life_of_an_answer(make: Any) -> None:
    """First the update is kept, then the answer in its place; each key is one's own."""
    async with make(Limits(), ManualClock()) as answers:
        assert await answers.find(ONE) is None
        await answers.keep(ONE, b"request", b"update")
        assert await answers.find(ONE) == Kept(b"request", b"update", None)
        for other in OTHERS:
            assert await answers.find(other) is None
        await answers.done(ONE, b"answer")
        assert await answers.find(ONE) == Kept(b"request", None, b"answer")
        await answers.keep(ONE, b"again", b"update")
        assert await answers.find(ONE) == Kept(b"again", b"update", None)
        await answers.drop(ONE)
        assert await answers.find(ONE) is None
        await answers.done(ONE, b"late")
        assert await answers.find(ONE) is None


async def test_a_document_is_forgotten(make: Any) -> None:
    """With a document go the answers about it, and no others."""
    async with make(Limits(), ManualClock()) as answers:
        for scope in (ONE, *OTHERS):
            await answers.keep(scope, b"r", b"u")
        await answers.forget("doc")
        found = [await answers.find(scope) for scope in (ONE, *OTHERS)]
        assert found == [None, None, None, Kept(b"r", b"u", None)]


async def test_idempotency_keep_s(make: Any) -> None:
    """After its time a request is as if it had never been."""
    clock = ManualClock()
    async with make(Limits(idempotency_keep_s=60), clock) as answers:
        await answers.keep(ONE, b"r", b"u")
        clock.advance(59)
        assert await answers.find(ONE) is not None
        clock.advance(2)
        assert await answers.find(ONE) is None


async def test_max_idempotency_keys(make: Any) -> None:
    """Of too many the oldest are forgotten."""
    clock = ManualClock()
    async with make(Limits(max_idempotency_keys=3), clock) as answers:
        scopes = [Scope("doc", "ada", str(number)) for number in range(5)]
        for scope in scopes:
            await answers.keep(scope, b"r", b"u")
            clock.advance(0.5)
        found = [await answers.find(scope) is not None for scope in scopes]
        assert found == [False, False, True, True, True]


def written_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def test_on_disk(tmp_path: Path) -> None:
    """Answers outlive the process, and their file holds no name."""
    clock = ManualClock()
    async with StoredAnswers(tmp_path, Limits(), clock) as answers:
        await answers.keep(Scope("secret-doc", "secret-ada", "secret-k"), b"r", b"u")
    async with StoredAnswers(tmp_path, Limits(), clock) as answers:
        assert await answers.find(Scope("secret-doc", "secret-ada", "secret-k")) is not None
    assert (tmp_path / FILE).exists()
    assert b"secret" not in written_in(tmp_path)


async def test_a_file_that_is_none(tmp_path: Path) -> None:
    """What can't be opened is an operator's error."""
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        async with StoredAnswers(tmp_path):
            pass
