"""A process that is killed in the middle of an edit.

``python -m tests.authoring.dying FOLDER WHEN``: ``kept`` is behind the keeping of the update and
before its commit; ``committed`` is behind that, before there is an answer.
"""

import os
import signal
import sys
from pathlib import Path

import anyio

from crdtsync.authoring.answers import Scope
from crdtsync.authoring.keeping import StoredAnswers
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.store.sqlite import SQLiteStore

__all__ = ["EDIT", "KEY", "WHO", "hub_in"]

WHO = Principal(id="ada")
KEY = "once"
EDIT = [{"op": "insert", "path": ["text"], "text": "!"}]


def hub_in(folder: Path, answers: StoredAnswers | None = None) -> Hub:
    """Return a hub with its store and its answers on disk."""
    hub = Hub(SQLiteStore(folder / "notes.db"))
    hub.documents.remember_in(answers or StoredAnswers(folder / "guard"))
    return hub


class Dying(StoredAnswers):
    """Answers whose process dies."""

    when = ""

    async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
        await super().keep(scope, request, update)
        if self.when == "kept":
            os.kill(os.getpid(), signal.SIGKILL)

    async def done(self, scope: Scope, answer: bytes) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path, when: str) -> None:
    answers = Dying(folder / "guard")
    answers.when = when
    async with hub_in(folder, answers) as hub:
        await hub.documents.edit("doc", EDIT, WHO, idempotency_key=KEY)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
