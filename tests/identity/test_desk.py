"""Tokens over HTTP: who may issue which, what they say, and what is told of others."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.access.ranks import covers, exceeds
from crdtsync.access.service import Access
from crdtsync.audit import Audit, Event
from crdtsync.auth import ConnectRequest
from crdtsync.clock import SystemClock
from crdtsync.config import Config
from crdtsync.errors import ConfigError
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.configured import configured_authenticator, configured_desk
from crdtsync.identity.desk import TokenDesk
from crdtsync.roles import BUILT_IN, Grants, Role, Rule
from crdtsync.server.asgi import create_app
from crdtsync.server.rest_tokens import EXPLAIN, MAX_LIFETIME_S, TOKENS
from crdtsync.store.memory import MemoryStore
from tests.native.kit import Server
from tests.server.conftest import asgi_client, is_problem

from .making import OTHER_SECRET, SECRET, ec_key, issue, private_pem, public_pem, rsa_key

pytestmark = pytest.mark.anyio

ROLES = {
    **BUILT_IN,
    "auditor": Role(name="auditor", admin=True),
    "clerk": Role(name="clerk", admin=True, write=(Rule(root="forms"),)),
}


class Notes(Audit):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def open(self) -> None:
        """Need nothing."""

    def close(self) -> None:
        """Hold nothing."""

    def record(self, event: Event, /) -> None:
        """Remember it."""
        self.events.append(event)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the server's keys."""
    (tmp_path / "public").write_bytes(public_pem(ec_key()))
    (tmp_path / "private").write_bytes(private_pem(ec_key()))
    return tmp_path


@pytest.fixture
def authenticator(folder: Path) -> JWTAuthenticator:
    """Takes tokens that the private key has signed."""
    return JWTAuthenticator(
        key_file=folder / "public", audience=["crdtsync"], issuer=["here"], roles=ROLES
    )


@pytest.fixture
def notes() -> Notes:
    """The audit log."""
    return Notes()


@pytest.fixture
async def http(
    authenticator: JWTAuthenticator, folder: Path, notes: Notes
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that issues tokens."""
    desk = TokenDesk(authenticator, key_file=folder / "private", issuer="here", audience="crdtsync")
    async with Hub(MemoryStore(), audit=notes) as hub, Access(hub) as access:
        app = create_app(
            hub,
            authenticator=access.wrap(authenticator),
            access=access,
            roles=ROLES,
            tokens=desk,
            lifespan=False,
        )
        async with asgi_client(app) as client:
            yield client


def token(sub: str = "root", **documents: str) -> str:
    """Return a token that holds now; an admin's where nothing else is said."""
    now_s = SystemClock().time_ms() // 1000
    said = {"sub": sub, "exp": now_s + 60, "aud": "crdtsync", "iss": "here"}
    return issue(ec_key(), "ES256", {**said, "documents": documents or {"*": "admin"}})


def as_(text: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {text}"}}


def wanted(**changed: Any) -> dict[str, Any]:
    return {"subject": "ada", "documents": {"team/*": "write"}} | changed


async def test_an_issued_token_lets_in(
    http: httpx.AsyncClient, authenticator: JWTAuthenticator, notes: Notes
) -> None:
    """It says what was asked for, is taken here, and stands in the audit log by its id alone."""
    body = wanted(name="Ada", lifetime_s=60)
    response = await http.post(TOKENS, json=body, **as_(token()))
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    made = response.json()
    assert (made["subject"], made["name"]) == ("ada", "Ada")
    assert made["documents"] == {"team/*": "write"}
    claims = await authenticator.claims(made["token"])
    assert claims["exp"] - claims["iat"] == 60
    assert claims["jti"] == made["id"]
    request = ConnectRequest(document="team/plan", token=made["token"])
    ada = await authenticator.authenticate(request)
    assert (ada.id, ada.name, ada.role) == ("ada", "Ada", BUILT_IN["write"])
    (event,) = [each for each in notes.events if each.detail.get("action") == "token-issued"]
    assert (event.principal, event.detail["subject"]) == ("root", "ada")
    assert event.detail["id"] == made["id"]
    assert made["token"] not in repr(notes.events)
    hour = (await http.post(TOKENS, json=wanted(), **as_(token()))).json()
    claims = await authenticator.claims(hour["token"])
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("url", [TOKENS, EXPLAIN])
@pytest.mark.parametrize(
    ("caller", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        (("ann", "*", "write"), 403, "forbidden"),
        (("ann", "team/*", "admin"), 403, "forbidden"),
        (("share:17", "*", "admin"), 403, "forbidden"),
    ],
    ids=["nobody", "writer", "admin of some documents", "visitor's id"],
)
async def test_only_admins(
    http: httpx.AsyncClient, url: str, caller: tuple[str, str, str] | None, status: int, code: str
) -> None:
    """Who does not administer the whole server gets no token, and no explanation."""
    options = as_(token(caller[0], **{caller[1]: caller[2]})) if caller else {}
    for body in (wanted(), {"token": token()}, [], None):
        is_problem(await http.post(url, json=body, **options), status, code)


@pytest.mark.parametrize(
    ("own", "given", "status"),
    [
        ({"*": "admin"}, {"*": "admin"}, 201),
        ({"*": "admin", "secret/*": "read"}, {"team/*": "write"}, 201),
        ({"*": "admin", "secret/*": "read"}, {"secret/*": "read"}, 201),
        ({"*": "admin", "secret/*": "read"}, {"secret/*": "write"}, 403),
        ({"*": "admin", "secret/*": "read"}, {"*": "write"}, 403),
        ({"*": "admin", "secret/*": "read"}, {"secret/plan": "comment"}, 403),
        ({"*": "admin", "*/secret": "read"}, {"team/*": "write"}, 403),
        ({"*": "admin", "team/plan": "read"}, {"team/*": "write"}, 403),
        ({"*": "admin", "team/plan": "read"}, {"team/minutes": "write"}, 201),
        ({"*": "admin", "team/*": "gone"}, {"team/plan": "read"}, 403),
        ({"*": "admin", "team/*": "gone"}, {"team/*": "read"}, 403),
        ({"*": "auditor"}, {"*": "auditor"}, 201),
        ({"*": "auditor"}, {"*": "read"}, 201),
        ({"*": "auditor"}, {"x": "comment"}, 403),
        ({"*": "clerk"}, {"*": "write"}, 403),
        ({"*": "clerk"}, {"x": "admin"}, 403),
    ],
)
async def test_nobody_gives_more_than_he_has(
    http: httpx.AsyncClient, own: dict[str, str], given: dict[str, str], status: int
) -> None:
    """In each document that a token is for, who issues it may do as much himself."""
    response = await http.post(TOKENS, json=wanted(documents=given), **as_(token(**own)))
    assert response.status_code == status, response.text


NAMES = st.text(alphabet="ab/", min_size=1, max_size=5)
PATTERNS = st.dictionaries(
    st.text(alphabet="ab/*", min_size=1, max_size=5), st.sampled_from(sorted(ROLES)), max_size=4
)


@given(
    own=PATTERNS.map(lambda each: {"*": "admin", **each}),
    given_=PATTERNS,
    names=st.lists(NAMES, max_size=20),
)
def test_what_does_not_exceed_is_never_more(
    own: dict[str, str], given_: dict[str, str], names: list[str]
) -> None:
    """Whatever patterns say: what passes gives nobody more in any document."""
    if exceeds(Grants(own), given_, ROLES):
        return
    for name in names:
        there = Grants(given_).role(name, ROLES)
        if there is not None:
            held = Grants(own).role(name, ROLES)
            assert held is not None, name
            assert covers(held, there), name


async def test_a_role_without_grants_counts(authenticator: JWTAuthenticator, folder: Path) -> None:
    """Where an authenticator of one's own gives the role, it holds for all documents."""

    class Anyone:
        async def authenticate(self, request: ConnectRequest) -> Principal:
            return Principal(id="root", role=ROLES[request.token])

    desk = TokenDesk(authenticator, key_file=folder / "private", issuer="here", audience="crdtsync")
    async with Hub(MemoryStore()) as hub:
        app = create_app(hub, authenticator=Anyone(), roles=ROLES, tokens=desk, lifespan=False)
        async with asgi_client(app) as client:
            answers = [
                (await client.post(TOKENS, json=wanted(), **as_(role))).status_code
                for role in ("admin", "clerk")
            ]
    assert answers == [201, 403]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([], 400, "invalid-body"),
        ({}, 400, "invalid-parameter"),
        (wanted(subject=""), 400, "invalid-parameter"),
        (wanted(subject="\ud800"), 400, "invalid-parameter"),
        (wanted(documents={}), 400, "invalid-parameter"),
        (wanted(documents=["*"]), 400, "invalid-parameter"),
        (wanted(documents={"*": 1}), 400, "invalid-parameter"),
        (wanted(documents={"": "read"}), 400, "invalid-parameter"),
        (wanted(documents={f"{n}": "read" for n in range(101)}), 400, "invalid-parameter"),
        (wanted(lifetime_s="1h"), 400, "invalid-parameter"),
        (wanted(role="admin"), 400, "invalid-parameter"),
        (wanted(padding="x" * 70_000), 413, "body-too-large"),
        (wanted(lifetime_s=0), 422, "invalid-token-request"),
        (wanted(lifetime_s=MAX_LIFETIME_S + 1), 422, "invalid-token-request"),
        (wanted(subject="share:17"), 422, "invalid-token-request"),
        (wanted(subject="x" * 256), 422, "invalid-token-request"),
        (wanted(name="a\0b"), 422, "invalid-token-request"),
        (wanted(documents={"*": "king"}), 422, "invalid-token-request"),
        (wanted(documents={"x" * 9_000: "read"}), 422, "invalid-token-request"),
    ],
)
async def test_what_can_t_be_issued(
    http: httpx.AsyncClient, body: Any, status: int, code: str
) -> None:
    """Each mistake has its answer, and none repeats what was sent."""
    content = json.dumps(body).encode()
    response = await http.post(TOKENS, content=content, **as_(token()))
    is_problem(response, status, code)
    assert "king" not in response.text


async def test_what_is_not_taken_here_is_not_issued(http: httpx.AsyncClient, folder: Path) -> None:
    """The signing key is read anew each time: another one, or none, is no key for this server."""
    for other in (private_pem(ec_key(number=1)), b"", public_pem(ec_key()), None):
        if other is None:
            (folder / "private").unlink()
        else:
            (folder / "private").write_bytes(other)
        is_problem(await http.post(TOKENS, json=wanted(), **as_(token())), 503, "unavailable")
    (folder / "private").write_bytes(private_pem(ec_key()))
    assert (await http.post(TOKENS, json=wanted(), **as_(token()))).status_code == 201


async def test_a_token_is_explained(http: httpx.AsyncClient, notes: Notes) -> None:
    """A good one: what it says, and its role in each document that is named."""
    asked = {"token": f" {token('ada', **{'team/*': 'write'})} ", "documents": ["team/a", "home"]}
    response = await http.post(EXPLAIN, json=asked, **as_(token()))
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    found = response.json()
    assert (found["header"]["alg"], found["claims"]["sub"]) == ("ES256", "ada")
    assert (found["verifies"], found["reason"]) == (True, None)
    assert found["roles"] == {
        "team/a": "write",
        "home": "none: you have no access to this document",
    }
    (event,) = [each for each in notes.events if each.detail.get("action") == "token-explained"]
    assert event.principal == "root"


FOREIGN = issue(OTHER_SECRET, "HS256", {"sub": "eve", "padding": "p" * 200})
BAD = {
    "foreign": FOREIGN,
    "no token": "a-secret-word-of-some-length",
    "share link": "share.0123456789abcdef.a-secret-word-of-some-length",
    "no JSON": "e30.x.a-secret-word-of-some-length",
    "long": "e30." * 10_000,
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_explained_and_repeated_nowhere(
    http: httpx.AsyncClient, notes: Notes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not verify; neither answer nor logs have it, though the answer has its claims."""
    caplog.set_level(logging.DEBUG)
    answers = [
        await http.post(EXPLAIN, json={"token": BAD[kind]}, **as_(token())),
        await http.post(EXPLAIN, json={"token": BAD[kind], "documents": [""]}, **as_(token())),
        await http.post(EXPLAIN, json={"token": BAD[kind], "more": 1}, **as_(token())),
        await http.post(EXPLAIN, json={"token": BAD[kind]}),
    ]
    assert [each.status_code for each in answers] == [200, 400, 400, 401]
    assert answers[0].json()["verifies"] is False
    assert answers[0].json()["roles"] == {}
    if kind == "foreign":
        assert answers[0].json()["claims"]["sub"] == "eve"
    secret = BAD[kind].rpartition(".")[2] or BAD[kind][:40]
    for text in (*(each.text for each in answers), caplog.text, repr(notes.events)):
        assert secret not in text


@pytest.mark.parametrize(
    ("key", "problem"),
    [(None, "can't be read"), (public_pem(rsa_key()), "public key"), (b"short", "secret")],
)
async def test_a_key_that_can_t_sign(folder: Path, key: bytes | None, problem: str) -> None:
    """A server does not start with it, and says which option is wrong."""
    if key is not None:
        (folder / "signing").write_bytes(key)
    config = Config(
        auth="jwt",
        auth_key_file=str(folder / "public"),
        auth_signing_key_file=str(folder / "signing"),
    )
    with pytest.raises(ConfigError, match=f"auth_signing_key_file: .*{problem}"):
        configured_desk(config, await configured_authenticator(config))


async def test_without_authentication_there_is_nothing_to_sign(folder: Path) -> None:
    """A signing key where nobody is asked for a token is a mistake."""
    with pytest.raises(ConfigError, match="auth is none"):
        await configured_authenticator(Config(auth_signing_key_file=str(folder / "private")))


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
async def test_the_algorithm_is_one_that_is_taken(folder: Path, algorithm: str) -> None:
    """Of the configured algorithms the first that fits the key signs."""
    (folder / "public").write_bytes(public_pem(rsa_key()))
    (folder / "private").write_bytes(private_pem(rsa_key()))
    config = Config(
        auth="jwt",
        auth_key_file=str(folder / "public"),
        auth_signing_key_file=str(folder / "private"),
        auth_algorithms=algorithm,
    )
    desk = configured_desk(config, await configured_authenticator(config))
    assert desk is not None
    made = await desk.issue("ada", name="", documents={"*": "read"}, lifetime_s=60)
    assert jwt.get_unverified_header(made.token)["alg"] == algorithm
    assert made.token not in repr(made)


@pytest.mark.parametrize("signs", [True, False])
def test_a_configured_server(tmp_path: Path, signs: bool) -> None:
    """A shared secret serves for both ends; without the option nothing is issued over HTTP."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    signing = {"auth_signing_key_file": str(path)} if signs else {}
    now_s = SystemClock().time_ms() // 1000
    claims = {"sub": "root", "exp": now_s + 60, "documents": {"*": "admin"}}
    root = issue(SECRET, "HS256", claims)
    with Server(auth="jwt", auth_key_file=str(path), **signing) as server:
        found = httpx.post(f"{server.url}{EXPLAIN}", json={"token": root}, **as_(root))
        assert found.json()["verifies"] is True
        answer = httpx.post(f"{server.url}{TOKENS}", json=wanted(), **as_(root))
        if not signs:
            is_problem(answer, 404, "not-found")
            return
        made = answer.json()["token"]
        with server.synced(f"/team%2Fplan?token={made}") as peer:
            assert peer.replica.text == ""
        listed = httpx.get(f"{server.url}/api/v1/documents", **as_(made))
        assert listed.status_code == 200
        is_problem(
            httpx.post(f"{server.url}{TOKENS}", json=wanted(), **as_(made)), 403, "forbidden"
        )
