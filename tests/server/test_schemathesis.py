"""Requests made of the description, right and wrong ones: every answer is one that it promises.

Schemathesis makes them for each operation that the description has, and calls the application
in this process. The same seed makes the same requests.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import BaseSchema, Case, HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import shutdown_lifespans
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from crdtsync.access.service import Access
from crdtsync.auth import Authenticator, ConnectRequest, OpenAuthenticator
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.guard import Work
from crdtsync.guarding import DocumentGuard
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.refused.base import Filter, RefusedUpdate, Run
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import ADMIN, Grants
from crdtsync.server import (
    openapi_access,
    openapi_chat,
    openapi_history,
    openapi_presence,
    openapi_quarantine,
    openapi_tokens,
)
from crdtsync.server.asgi import create_app
from crdtsync.server.openapi import describe
from crdtsync.server.representations import FORMATS
from crdtsync.server.rest import DOCUMENTS
from crdtsync.server.rest_access import SHARES
from crdtsync.server.rest_chat import MESSAGES, REACTIONS
from crdtsync.server.rest_history import HISTORY
from crdtsync.server.rest_quarantine import REFUSED
from crdtsync.server.rest_versions import VERSIONS
from crdtsync.store.memory import MemoryStore
from tests.store.kit import rec

from .conftest import make_desk, sample

EXAMPLES = 30
TOKEN = "an-admin-s"
NAMES = ["a", "a/b", "ü ?#%2F", "bad"]
"""Documents that are there whenever a request comes; the last one is quarantined."""
ENTRY = 7
"""Stands for a refused update, or a version, that is there whenever a request comes."""
MOMENTS = ["now", "s1", "s0", "2030-01-31T12:00:00Z"]
"""Moments that each document has."""


class Keys:
    """Takes one token."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.token != TOKEN:
            raise Unauthenticated("sign in first")
        return Principal(id=TOKEN, role=ADMIN, grants=Grants({"*": "admin"}))


class Application:
    """The whole application, with what there is to be asked for there again before each request.

    Its hub lives from the first request on, on the one event loop that Schemathesis has.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._hub: Hub
        self._app: Starlette
        self._outer = Starlette(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serve = self._outer if scope["type"] == "lifespan" else self._refilled
        await serve(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        with TemporaryDirectory() as folder:
            guard, quarantine = DocumentGuard(Path(folder)), RefusedUpdates(None)
            store = MemoryStore()
            history = Histories(store, HistoryDatabase(None))
            channels = Channels(ChannelRules(chat=("*",), presence=("a*", "bad")))
            async with Hub(
                store,
                limits=Limits(chat_messages_per_minute=0),
                guard=guard,
                quarantine=quarantine,
                history=history,
                channels=channels,
            ) as hub:
                self._hub = hub
                async with Access(hub) as self._access:
                    self._app = create_app(
                        hub,
                        authenticator=self._access.wrap(self._authenticator),
                        access=self._access,
                        tokens=make_desk(Path(folder)),
                        lifespan=False,
                    )
                    yield

    async def _refilled(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name in NAMES:
            if await self._hub.store.info(name) is None:
                await self._hub.store.append([rec(name, 1, update=sample().get_update())])
        while self._hub.guard.quarantined(NAMES[-1]) is None:
            self._hub.guard.suspect(NAMES[-1], Work.INTEGRATING, 11)
        await self._access.revocations.undo(TOKEN)  # who may revoke may revoke himself
        path = scope["path"]
        if path.startswith(REFUSED):
            path = path.replace(f"/{ENTRY}", f"/{await self._entry()}", 1)
        elif path.startswith(VERSIONS):
            path = path.replace(f"/{ENTRY}", f"/{await self._version()}", 1)
        elif path.startswith(MESSAGES):
            path = path.replace(f"/{ENTRY}", f"/{await self._said()}", 1)
        elif re.fullmatch(f"{SHARES}/[0-7][0-9a-f]+", path):
            path = f"{SHARES}/{await self._share()}"
        if path != scope["path"]:
            scope |= {"path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)

    async def _entry(self) -> int:
        """Return the number of a refused update, of the first document."""
        quarantine = self._hub.quarantine
        found = await quarantine.entries(Filter(document=NAMES[0]), limit=1)
        if not found:
            update = sample().get_update()
            about: Any = {"author": "", "name": "", "kind": "gate", "reason": "no", "time_ms": 1}
            quarantine.keep(RefusedUpdate(document=NAMES[0], **about, update=update, run=Run()))
            kept = anyio.Event()
            quarantine.when_kept(kept.set)
            await kept.wait()
            found = await quarantine.entries(Filter(document=NAMES[0]), limit=1)
        return found[0].id

    async def _said(self) -> str:
        """Return the id of a message of the first document's chat."""
        said = await self._hub.channels.chat(NAMES[0]).send("hello", Principal(id=TOKEN))
        return said.id

    async def _version(self) -> int:
        """Return the number of a version, of the first document."""
        assert self._hub.history is not None
        made = await self._hub.history.create(NAMES[0], label="x", principal=Principal())
        return made.id

    async def _share(self) -> str:
        """Return the id of a share link that nobody has revoked; half of all ids stand for it."""
        made = await self._access.shares.create(NAMES[0], "read")
        return made.share.id


def described(authenticator: Authenticator, *, expected: list[str], **config: Any) -> BaseSchema:
    """Return the description of an application, with the application behind it.

    ``expected`` is what may become of a sound request.
    """
    options = {
        "seed": 4,
        "cache": {"enabled": False},
        "dictionaries": {
            "names": {"values": NAMES},
            "formats": {"values": list(FORMATS)},
            "entries": {"values": [ENTRY]},
            "roles": {"values": ["read", "write", "admin"]},
            "moments": {"values": MOMENTS},
        },
        "parameters": {
            "path.name": {"dictionary": "names"},
            "query.format": {"dictionary": "formats"},
            "path.id": {"dictionary": "entries", "probability": 0.9},
            "query.document": {"dictionary": "names"},
            "body.document": {"dictionary": "names", "probability": 0.8},
            "body.role": {"dictionary": "roles", "probability": 0.8},
            "query.at": {"dictionary": "moments", "probability": 0.8},
            "query.from": {"dictionary": "moments", "probability": 0.8},
            "body.at": {"dictionary": "moments", "probability": 0.8},
            "body.since": {"dictionary": "moments", "probability": 0.8},
        },
        "checks": {
            "positive_data_acceptance": {"expected-statuses": expected},
            "negative_data_rejection": {"expected-statuses": REJECTED},
        },
    }
    schema = schemathesis.openapi.from_dict(
        describe(
            version="1",
            authenticated=not isinstance(authenticator, OpenAuthenticator),
            more=[
                openapi_quarantine.PARTS,
                openapi_history.PARTS,
                openapi_presence.PARTS,
                openapi_chat.PARTS,
                openapi_access.PARTS,
                openapi_tokens.EXPLAINING,
                openapi_tokens.ISSUING,
            ],
        ),
        config=SchemathesisConfig.from_dict(options | config),
    )
    schema.app = Application(authenticator)

    @schema.hook
    def filter_case(context: HookContext, case: Case) -> bool:
        """Leave out what breaks the two rules between parameters, which OpenAPI can't express."""
        query = case.query if isinstance(case.query, dict) else {}
        positive = case.meta is not None and case.meta.generation.mode.is_positive
        shapes = ("json", "text", "rich", "delta", "xml")
        if case.operation.path.startswith(HISTORY):
            shapes = (None, "json", "rich", "delta", "text", "xml")
        ruled_out = "root" in query and query.get("format") not in shapes
        ruled_out = ruled_out and case.method in ("GET", "HEAD")
        if (case.method, case.operation.path) == ("DELETE", REFUSED):
            ruled_out = not {"document", "author"} & set(query)
        return not (positive and ruled_out)

    return schema


def call(case: Case) -> int:
    """Make the request and all checks, and one that every header is described; tell the status."""
    response = case.call_and_validate()
    responses = case.operation.definition.raw["responses"]
    if case.method == case.operation.method.upper():
        told = {name.lower() for name in responses[str(response.status_code)].get("headers", {})}
        assert set(response.headers) <= told | {"content-type", "content-length"}
    return response.status_code


SOUND = ["2xx", "304", "404", "406", "409", "412", "410", "422", "423"]
"""What is asked for may not be there, nor be had or made in this way, or be quarantined."""
REJECTED = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "423"]
"""What an unsound request may hear: of a quarantined document nothing else is looked at."""
with_token = described(Keys(), expected=SOUND, auth={"openapi": {"bearer": {"bearer": TOKEN}}})
without_token = described(Keys(), expected=["401"])
open_to_all = described(OpenAuthenticator(), expected=[*SOUND, "403"])


def takes_a_token(context: HookContext) -> bool:
    """Whether an operation asks the authenticator."""
    assert context.operation is not None
    return "security" in context.operation.definition.raw


def bounded(examples: int) -> settings:
    """Return settings that make the same requests each time."""
    quick = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=examples, derandomize=True, deadline=None, suppress_health_check=quick
    )


@with_token.parametrize()
@bounded(EXAMPLES)
def test_who_administers(case: Case) -> None:
    """Every operation, for somebody who may do all; a check shows that it takes the token."""
    assert call(case) != 403


@without_token.include(func=takes_a_token).parametrize()
@bounded(EXAMPLES // 4)
def test_a_stranger(case: Case) -> None:
    """Every operation that takes a token, without one: nothing is to be had."""
    assert call(case) in (400, 401, 405)


@open_to_all.parametrize()
@bounded(EXAMPLES // 2)
def test_anyone(case: Case) -> None:
    """Every operation where nobody asks for a token: no administration."""
    status = call(case)
    reads = case.method in ("GET", "HEAD")
    written = (VERSIONS, HISTORY, DOCUMENTS, MESSAGES, REACTIONS)
    writes = case.operation.path.startswith(written) and case.method != "DELETE"
    assert reads or writes or status >= 400


@pytest.fixture(scope="module", autouse=True)
def applications() -> Iterator[None]:
    """End the applications' hubs with this module."""
    yield
    shutdown_lifespans()
