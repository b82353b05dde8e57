"""Applying refused updates: on the store where that is free, through its server where it runs."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from crdtsync.cli.stores import histories_of, with_store
from crdtsync.config import Config
from crdtsync.errors import OperatorError, StoreLocked
from crdtsync.guard import Guard

if TYPE_CHECKING:
    from crdtsync.documents.refused import Applied
    from crdtsync.refused.base import Entry
    from crdtsync.store.base import Store

__all__ = ["apply_entries"]

TIMEOUT_S: Final = 60.0


class _Straight(HTTPRedirectHandler):
    """Follows no redirection: the token is for this server."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = build_opener(ProxyHandler({}), _Straight)
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def apply_entries(
    config: Config,
    entries: "Sequence[Entry]",
    guard: Guard,
    server: str | None,
    token_file: str | None,
) -> "Applied":
    """Apply entries, document by document. Raises ``OperatorError`` where that is not possible."""
    from crdtsync.documents.refused import Applied, apply_refused

    ordered = sorted(entries, key=lambda each: (each.document, each.id))
    documents = [list(group) for _, group in groupby(ordered, key=lambda each: each.document)]

    async def work(store: "Store") -> "list[Applied]":
        async with histories_of(config) as history:
            return [
                await apply_refused(
                    store,
                    group[0].document,
                    group,
                    limits=config.limits,
                    guard=guard,
                    history=history,
                )
                for group in documents
            ]

    if server is None:
        try:
            done = with_store(config, work, read_only=False)
            return Applied(
                tuple(entry for each in done for entry in each.applied),
                tuple(pair for each in done for pair in each.left),
            )
        except (StoreLocked, BaseExceptionGroup) as error:
            if not any(isinstance(leaf, StoreLocked) for leaf in _leaves(error)):
                raise
    return _ask(_address(config, server), _token(token_file), entries)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _address(config: Config, server: str | None) -> str:
    if server is not None:
        if not server.startswith(("http://", "https://")):
            raise OperatorError(f"{server} is no address", hint="Say http://HOST:PORT")
        return server.rstrip("/")
    if config.unix_socket is not None or config.port == 0:
        raise OperatorError(
            "a server has the store", hint="Name it with --server http://HOST:PORT, or stop it"
        )
    host = _ANY.get(config.host, config.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if config.tls else 'http'}://{host}:{config.port}"


def _token(file: str | None) -> str:
    if file is None:
        return ""
    try:
        if file == "-":
            return sys.stdin.readline().strip()
        with open(file, encoding="utf-8") as source:
            return source.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"can't read {file}: {error}") from None


def _ask(address: str, token: str, entries: "Sequence[Entry]") -> "Applied":
    """Let the server apply entries one by one, again while that brings something on."""
    from crdtsync.documents.refused import MISSING, Applied

    applied: list[Entry] = []
    left = {entry.id: (entry, MISSING) for entry in entries}
    progress = True
    while left and progress:
        progress = False
        for entry, _ in list(left.values()):
            problem = _post(f"{address}/api/v1/quarantine/{entry.id}/apply", token)
            if problem is not None:
                left[entry.id] = entry, problem
                continue
            del left[entry.id]
            applied.append(entry)
            progress = True
    return Applied(tuple(applied), tuple(left.values()))


def _post(url: str, token: str) -> str | None:
    """Return why the server could not apply an entry; ``None`` where it did."""
    from crdtsync.documents.refused import MISSING

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with _OPENER.open(Request(url, method="POST", headers=headers), timeout=TIMEOUT_S):
            return None
    except HTTPError as error:
        body = _problem(error)
        if error.code == 409:
            return MISSING if MISSING in body else body
        if error.code in (401, 403):
            raise OperatorError(
                f"the server at {url.partition('/api/')[0]} refuses: {body}",
                hint="Name a file with an admin's token (--token-file), or stop the server",
            ) from None
        return body
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        address = url.partition("/api/")[0]
        raise OperatorError(
            f"a server has the store, and can't be reached at {address}: {reason}",
            hint="Name it with --server http://HOST:PORT, or stop it",
        ) from None


def _problem(error: HTTPError) -> str:
    try:
        body: dict[str, Any] = json.loads(error.read())
        return str(body["detail"]).rstrip(".")
    except (ValueError, KeyError, TypeError, OSError):
        return f"status {error.code}"
