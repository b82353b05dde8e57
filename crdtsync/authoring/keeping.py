"""The answers to requests with idempotency keys, on disk: beside the store, in a file of its own.

Keys, documents and authors are there as digests: who has the file learns no name from it.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from sqlite_utils import Database

from crdtsync.authoring.answers import Kept, Scope
from crdtsync.clock import Clock, SystemClock
from crdtsync.limits import Limits
from crdtsync.store.side import SideDatabase

__all__ = ["FILE", "StoredAnswers"]

FILE: Final = "answers.db"
"""The database's name in the folder beside the store."""

_MIGRATIONS: Final = (
    """
    CREATE TABLE answers (
        scope BLOB PRIMARY KEY,
        document BLOB NOT NULL,
        request BLOB NOT NULL,
        "update" BLOB,
        answer BLOB,
        time_ms INTEGER NOT NULL
    );
    CREATE INDEX answers_by_time ON answers (time_ms);
    CREATE INDEX answers_by_document ON answers (document)
    """,
)


class StoredAnswers:
    """Keeps answers in ``folder``, in memory where that is ``None``. Use it as ``async with``."""

    def __init__(
        self, folder: Path | None, limits: Limits | None = None, clock: Clock | None = None
    ) -> None:
        self._side = SideDatabase(None if folder is None else folder / FILE, _MIGRATIONS)
        self._limits = limits or Limits()
        self._clock = clock or SystemClock()

    async def __aenter__(self) -> Self:
        await self._side.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._side.__aexit__(None, None, None)

    async def find(self, scope: Scope) -> Kept | None:
        """Return what is known of a request. Raises ``StoreError``."""
        return await self._side.read(_find, _digest(scope), self._oldest_ms())

    async def keep(self, scope: Scope, request: bytes, update: bytes) -> None:
        """Keep what is about to be committed; when it returns, a crash won't lose it."""
        now_ms = self._clock.time_ms()
        row = (_digest(scope), _document(scope.document), request, update, now_ms)
        most = self._limits.max_idempotency_keys
        await self._side.call(_keep, row, self._oldest_ms(), most)

    async def done(self, scope: Scope, answer: bytes) -> None:
        """Keep the answer in the place of the update."""
        await self._side.call(_done, _digest(scope), answer)

    async def drop(self, scope: Scope) -> None:
        """Forget a request: nothing was done."""
        await self._side.call(_delete, "scope", _digest(scope))

    async def forget(self, document: str) -> None:
        """Forget all requests about a document."""
        await self._side.call(_delete, "document", _document(document))

    def _oldest_ms(self) -> int:
        return self._clock.time_ms() - int(self._limits.idempotency_keep_s * 1000)


def _document(name: str) -> bytes:
    return sha256(name.encode()).digest()


def _digest(scope: Scope) -> bytes:
    parts = (scope.document, scope.author, scope.key)
    return sha256(b"".join(_document(each) for each in parts)).digest()


def _find(database: Database, scope: bytes, oldest_ms: int) -> Kept | None:
    row = database.execute(
        'SELECT request, "update", answer FROM answers WHERE scope = ? AND time_ms > ?',
        (scope, oldest_ms),
    ).fetchone()
    return None if row is None else Kept(*row)


def _keep(
    database: Database, row: tuple[bytes, bytes, bytes, bytes, int], oldest_ms: int, most: int
) -> None:
    database.execute("DELETE FROM answers WHERE time_ms <= ?", (oldest_ms,))
    database.execute(
        'INSERT OR REPLACE INTO answers (scope, document, request, "update", time_ms)'
        " VALUES (?, ?, ?, ?, ?)",
        row,
    )
    (there,) = database.execute("SELECT count(*) FROM answers").fetchone()
    if there > most:
        database.execute(
            "DELETE FROM answers WHERE scope IN"
            " (SELECT scope FROM answers ORDER BY time_ms, rowid LIMIT ?)",
            (there - most,),
        )


def _done(database: Database, scope: bytes, answer: bytes) -> None:
    database.execute(
        'UPDATE answers SET answer = ?, "update" = NULL WHERE scope = ?', (answer, scope)
    )


def _delete(database: Database, column: str, value: bytes) -> None:
    database.execute(f"DELETE FROM answers WHERE {column} = ?", (value,))
