"""The tables of the access database, and the rows of share links and revocations in them.

Each function runs within one transaction of ``SideDatabase.call``. Secrets are here as digests,
passwords as what scrypt made of them.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from sqlite_utils import Database

from crdtsync.access.links import Share, Visitor

__all__ = ["FILE", "MIGRATIONS", "Revocation", "StoredShare"]

FILE: Final = "access.db"
"""The database's name in the folder beside the store."""

MIGRATIONS: Final = (
    """
    CREATE TABLE shares (
        id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        role TEXT NOT NULL,
        label TEXT NOT NULL,
        owner TEXT NOT NULL,
        secret BLOB NOT NULL,
        password BLOB,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        max_uses INTEGER,
        uses INTEGER NOT NULL DEFAULT 0,
        revoked_ms INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX shares_of_document ON shares (document, id);
    CREATE TABLE joins (
        share TEXT NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
        visitor TEXT NOT NULL,
        PRIMARY KEY (share, visitor)
    ) WITHOUT ROWID;
    CREATE TABLE visitors (
        share TEXT NOT NULL,
        principal TEXT NOT NULL,
        name TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        connections INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL,
        PRIMARY KEY (share, principal)
    ) WITHOUT ROWID;
    CREATE TABLE revocations (
        principal TEXT PRIMARY KEY,
        before_ms INTEGER NOT NULL,
        until_ms INTEGER,
        created_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

_SHARE: Final = (
    "SELECT id, document, role, label, owner, password, created_ms, expires_ms, max_uses, uses,"
    " revoked_ms, secret FROM shares"
)


@dataclass(frozen=True, slots=True)
class StoredShare:
    """A link with what is kept of its secrets."""

    share: Share
    secret: bytes = field(repr=False)
    password: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a principal proved before a moment counts no more."""

    principal: str
    before_ms: int
    until_ms: int | None
    """When it ends by itself; ``None``: never."""
    created_ms: int


def _stored(row: Any) -> StoredShare:
    share = Share(
        id=row[0],
        document=row[1],
        role=row[2],
        label=row[3],
        owner=row[4],
        password=row[5] is not None,
        created_ms=row[6],
        expires_ms=row[7],
        max_uses=row[8],
        uses=row[9],
        revoked_ms=row[10],
    )
    return StoredShare(share, row[11], row[5])


# Share links


def add_share(database: Database, stored: StoredShare, limit: int) -> bool:
    """Keep a new link, unless its document has ``limit`` that can be joined by already."""
    share = stored.share
    (count,) = database.execute(
        "SELECT count(*) FROM shares WHERE document = ? AND revoked_ms IS NULL"
        " AND (expires_ms IS NULL OR expires_ms > ?)"
        " AND (max_uses IS NULL OR uses < max_uses)",
        [share.document, share.created_ms],
    ).fetchone()
    if count >= limit:
        return False
    database.execute(
        "INSERT INTO shares (id, document, role, label, owner, secret, password, created_ms,"
        " expires_ms, max_uses) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            share.id,
            share.document,
            share.role,
            share.label,
            share.owner,
            stored.secret,
            stored.password,
            share.created_ms,
            share.expires_ms,
            share.max_uses,
        ],
    )
    return True


def find_share(database: Database, share: str) -> StoredShare | None:
    """Return one link."""
    row = database.execute(f"{_SHARE} WHERE id = ?", [share]).fetchone()
    return None if row is None else _stored(row)


def list_shares(database: Database, document: str | None, after: str, limit: int) -> list[Share]:
    """Return links by id: a document's, or all."""
    where, values = ("", []) if document is None else (" AND document = ?", [document])
    rows = database.execute(
        f"{_SHARE} WHERE id > ?{where} ORDER BY id LIMIT ?", [after, *values, limit]
    )
    return [_stored(row).share for row in rows.fetchall()]


def revoke_share(database: Database, share: str, now_ms: int) -> bool:
    """Revoke a link; return whether there is one that wasn't."""
    done = database.execute(
        "UPDATE shares SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL", [now_ms, share]
    )
    return bool(done.rowcount)


def reinstate_share(database: Database, share: str) -> bool:
    """Undo a link's revocation; return whether there was one."""
    done = database.execute(
        "UPDATE shares SET revoked_ms = NULL WHERE id = ? AND revoked_ms IS NOT NULL", [share]
    )
    return bool(done.rowcount)


def shares_of_owner(database: Database, owner: str) -> list[str]:
    """Return the ids of the links that somebody made and nobody revoked."""
    rows = database.execute("SELECT id FROM shares WHERE owner = ? AND revoked_ms IS NULL", [owner])
    return [row[0] for row in rows.fetchall()]


def use_share(database: Database, share: str, visitor: str | None, now_ms: int) -> str:
    """Let one more visitor in, where a link still can; return its state as it was found.

    A visitor who is known has been counted before.
    """
    stored = find_share(database, share)
    if stored is None:
        return "revoked"
    state = stored.share.state(now_ms)
    limited = stored.share.max_uses is not None
    if limited and visitor is not None and state in ("open", "used up"):
        known = database.execute(
            "SELECT 1 FROM joins WHERE share = ? AND visitor = ?", [share, visitor]
        ).fetchone()
        if known is not None:
            return "open"
    if limited and state == "open":
        database.execute("UPDATE shares SET uses = uses + 1 WHERE id = ?", [share])
        if visitor is not None:
            database.execute("INSERT INTO joins (share, visitor) VALUES (?, ?)", [share, visitor])
    return state


def ended_shares(database: Database, shares: list[str]) -> set[str]:
    """Return which of these links are revoked, or gone."""
    found = set()
    for share in shares:
        row = database.execute("SELECT revoked_ms FROM shares WHERE id = ?", [share]).fetchone()
        if row is None or row[0] is not None:
            found.add(share)
    return found


def purge_shares(database: Database, before_ms: int) -> int:
    """Forget links that ended before a moment."""
    ended = "revoked_ms < ? OR expires_ms < ?"
    database.execute(
        f"DELETE FROM joins WHERE share IN (SELECT id FROM shares WHERE {ended})",
        [before_ms, before_ms],
    )
    return int(database.execute(f"DELETE FROM shares WHERE {ended}", [before_ms] * 2).rowcount)


# Who is there


def keep_visitors(database: Database, visitors: list[Visitor], now_ms: int) -> None:
    """Write down who is there by links, for the command line."""
    database.execute("DELETE FROM visitors")
    for each in visitors:
        database.execute(
            "INSERT INTO visitors VALUES (?, ?, ?, ?, ?, ?)",
            [each.share, each.principal, each.name, each.since_ms, each.connections, now_ms],
        )


def kept_visitors(database: Database, since_ms: int) -> list[Visitor]:
    """Return who was there at or after a moment."""
    rows = database.execute(
        "SELECT share, principal, name, since_ms, connections FROM visitors"
        " WHERE seen_ms >= ? ORDER BY share, since_ms, principal",
        [since_ms],
    )
    return [Visitor(*row) for row in rows.fetchall()]


# Revocations


def put_revocation(database: Database, revocation: Revocation) -> None:
    """Keep a revocation; one that reaches further than the last takes its place."""
    database.execute(
        "INSERT INTO revocations VALUES (?, ?, ?, ?) ON CONFLICT (principal) DO UPDATE SET"
        " before_ms = max(before_ms, excluded.before_ms),"
        " until_ms = CASE WHEN until_ms IS NULL OR excluded.until_ms IS NULL THEN NULL"
        " ELSE max(until_ms, excluded.until_ms) END,"
        " created_ms = excluded.created_ms",
        [
            revocation.principal,
            revocation.before_ms,
            revocation.until_ms,
            revocation.created_ms,
        ],
    )


def take_revocation(database: Database, principal: str) -> bool:
    """Undo a revocation; return whether there was one."""
    done = database.execute("DELETE FROM revocations WHERE principal = ?", [principal])
    return bool(done.rowcount)


def list_revocations(database: Database) -> list[Revocation]:
    """Return all revocations, by principal."""
    rows = database.execute(
        "SELECT principal, before_ms, until_ms, created_ms FROM revocations ORDER BY principal"
    )
    return [Revocation(*row) for row in rows.fetchall()]


def purge_revocations(database: Database, now_ms: int) -> int:
    """Forget revocations that have ended."""
    done = database.execute("DELETE FROM revocations WHERE until_ms <= ?", [now_ms])
    return int(done.rowcount)
