"""Chat over HTTP: who says what, how it is listed, and what is refused."""

from collections.abc import AsyncIterator

import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.channels.model import message_id
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN
from crdtsync.server.asgi import create_app
from tests.channels.rooms import NOON_MS, ROOM, chat_hub, rested
from tests.server.conftest import asgi_client, is_problem

pytestmark = pytest.mark.anyio
MESSAGES, REACTIONS = "/api/v1/chat/messages", "/api/v1/chat/reactions"
ROLES = {"ann": "write", "bob": "comment", "root": "admin", "eve": "read", "": "write"}


class People:
    """Takes a name for its token; nobody's is anonymous."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.token not in ROLES:
            raise Unauthenticated("sign in first")
        role = BUILT_IN[ROLES[request.token]]
        return Principal(id=request.token, role=role, read_only=role.reads_only)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with chat_hub(chat="rooms/*", max_chat_text_bytes=100) as hub:
        yield hub


@pytest.fixture
async def http(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests are about the room."""
    app = create_app(hub, authenticator=People(), lifespan=False)
    async with asgi_client(app) as http:
        http.params = httpx.QueryParams({"document": ROOM})
        yield http


def as_(who: str) -> dict[str, str]:
    return {"authorization": f"Bearer {who}"} if who else {}


async def say(http: httpx.AsyncClient, who: str, text: str, **body: object) -> httpx.Response:
    return await http.post(MESSAGES, json={"text": text} | body, headers=as_(who))


async def test_said_changed_deleted(http: httpx.AsyncClient) -> None:
    """A message is the principal's, of the server's time; its author changes and deletes it."""
    made = await say(http, "ann", "<b>hello</b>")
    assert made.status_code == 201
    message = made.json()
    assert (message["author"], message["text"]) == ("ann", "<b>hello</b>")
    where = made.headers["location"]
    http.params = httpx.QueryParams()
    assert (await http.get(where, headers=as_("eve"))).json() == message
    http.params = httpx.QueryParams({"document": ROOM})
    one = f"{MESSAGES}/{message['id']}"
    is_problem(await http.patch(one, json={"text": "x"}, headers=as_("bob")), 403, "forbidden")
    changed = (await http.patch(one, json={"text": "bye"}, headers=as_("ann"))).json()
    assert (changed["text"], changed["edited"] is None) == ("bye", False)
    is_problem(await http.delete(one, headers=as_("bob")), 403, "forbidden")
    assert (await http.delete(one, headers=as_("root"))).status_code == 204
    gone = (await http.get(one, headers=as_("bob"))).json()
    assert (gone["text"], gone["deleted_by"], gone["author"]) == ("", "root", "ann")
    again = await http.patch(one, json={"text": "x"}, headers=as_("ann"))
    is_problem(again, 404, "unknown-message")


async def test_reactions(http: httpx.AsyncClient) -> None:
    """Everybody reacts for himself, once each; what nobody may write is refused."""
    id = (await say(http, "ann", "hello")).json()["id"]
    about = {"document": ROOM, "message": id, "emoji": "👍"}
    for who in ("ann", "bob", "bob"):
        done = await http.put(REACTIONS, params=about, headers=as_(who))
        assert done.status_code == 204, done.text
    found = (await http.get(f"{MESSAGES}/{id}", headers=as_("eve"))).json()
    assert {emoji: sorted(who) for emoji, who in found["reactions"].items()} == {
        "👍": ["ann", "bob"]
    }
    is_problem(await http.put(REACTIONS, params=about, headers=as_("eve")), 403, "forbidden")
    assert (await http.delete(REACTIONS, params=about, headers=as_("ann"))).status_code == 204
    found = (await http.get(f"{MESSAGES}/{id}", headers=as_("eve"))).json()
    assert found["reactions"] == {"👍": ["bob"]}
    wrong = await http.put(REACTIONS, params=about | {"emoji": "a b"}, headers=as_("ann"))
    is_problem(wrong, 422, "invalid-message")


async def test_pages_go_on_into_archives(hub: Hub, http: httpx.AsyncClient) -> None:
    """A list leads to what is before it, to the first message; an archived one is only deleted."""
    sent = [(await say(http, "ann", f"{n}")).json()["id"] for n in range(40)]
    await rested(hub)
    found: list[str] = []
    path = f"{MESSAGES}?document={ROOM}&limit=7"
    http.params = httpx.QueryParams()
    while path:
        page = (await http.get(path, headers=as_("eve"))).json()
        found = [each["id"] for each in page["messages"]] + found
        path = page["next"]
    assert found == sent
    http.params = httpx.QueryParams({"document": ROOM})
    one = f"{MESSAGES}/{sent[0]}"
    late = await http.patch(one, json={"text": "x"}, headers=as_("ann"))
    is_problem(late, 409, "message-archived")
    is_problem(await http.delete(one, headers=as_("bob")), 403, "forbidden")
    assert (await http.delete(one, headers=as_("ann"))).status_code == 204
    assert (await http.get(one, headers=as_("eve"))).json()["deleted"]


async def test_guests_and_the_application(http: httpx.AsyncClient) -> None:
    """Who is anonymous is a guest; the application's own words take an admin role."""
    assert (await say(http, "", "hi", author="guest-1")).json()["author"] == "guest-1"
    for author in ("", "ann", "guest- x"):
        is_problem(await say(http, "", "hi", author=author), 422, "invalid-message")
    is_problem(await say(http, "ann", "hi", author="bob"), 422, "invalid-message")
    is_problem(await say(http, "ann", "hi", type="system"), 403, "forbidden")
    assert (await say(http, "root", "hi", type="system")).json()["type"] == "system"


async def test_threads(http: httpx.AsyncClient) -> None:
    """A thread begins with a message, and holds its own."""
    first = (await say(http, "ann", "hello")).json()["id"]
    where = {"document": ROOM, "thread": first}
    made = await http.post(MESSAGES, params=where, json={"text": "x"}, headers=as_("bob"))
    assert made.status_code == 201
    listed = (await http.get(MESSAGES, params=where, headers=as_("eve"))).json()["messages"]
    assert [each["id"] for each in listed] == [made.json()["id"]]
    where["thread"] = message_id(NOON_MS)
    made = await http.post(MESSAGES, params=where, json={"text": "x"}, headers=as_("bob"))
    is_problem(made, 404, "unknown-message")


@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("ann", {"text": ""}, 422, "invalid-message"),
        ("ann", {"text": "x" * 101}, 422, "invalid-message"),
        ("ann", {"text": "x" * 70_000}, 413, "body-too-large"),
        ("ann", {"text": 1}, 400, "invalid-parameter"),
        ("ann", {"text": "x", "html": "x"}, 400, "invalid-parameter"),
        ("ann", {"text": "x", "type": "loud"}, 400, "invalid-parameter"),
        ("ann", {"text": "x", "reply_to": "y"}, 422, "invalid-message"),
        ("ann", {"text": "x", "type": "file"}, 422, "invalid-message"),
        ("ann", {"text": "x", "type": "file", "url": "javascript:x"}, 422, "invalid-message"),
        ("ann", {"text": "x", "size": -1}, 400, "invalid-parameter"),
        ("eve", {"text": "x"}, 403, "forbidden"),
        ("who", {"text": "x"}, 401, "unauthenticated"),
    ],
)
async def test_refused(
    http: httpx.AsyncClient, who: str, body: dict[str, object], status: int, code: str
) -> None:
    """What is no message, and who may not write, gets an answer that says so."""
    is_problem(await http.post(MESSAGES, json=body, headers=as_(who)), status, code)


async def test_where_there_is_no_chat(http: httpx.AsyncClient) -> None:
    """A document that no pattern fits has none, and neither has an archive of its own."""
    for name in ("notes", f"{ROOM}/chat-archive/000001"):
        found = await http.get(MESSAGES, params={"document": name}, headers=as_("ann"))
        is_problem(found, 404, "no-chat")
    is_problem(
        await http.get(MESSAGES, params={"document": ROOM, "before": "x"}, headers=as_("ann")),
        400,
        "invalid-parameter",
    )


async def test_chat_messages_per_minute() -> None:
    """Who says too much at once is told to wait, over HTTP as in an editor."""
    async with chat_hub(chat_messages_per_minute=60, chat_burst=3) as hub:
        app = create_app(hub, authenticator=People(), lifespan=False)
        async with asgi_client(app) as http:
            http.params = httpx.QueryParams({"document": ROOM})
            for _ in range(3):
                assert (await say(http, "ann", "hi")).status_code == 201
            is_problem(await say(http, "ann", "hi"), 429, "too-many-requests")
            assert (await say(http, "bob", "hi")).status_code == 201
            assert (await say(http, "root", "hi", type="system")).status_code == 201


async def test_guests_are_counted_by_their_address() -> None:
    """Who is anonymous says no more by calling himself otherwise each time."""
    async with (
        chat_hub(chat_messages_per_minute=60, chat_burst=4) as hub,
        asgi_client(create_app(hub, lifespan=False)) as http,
    ):
        http.params = httpx.QueryParams({"document": ROOM})
        sent = [await say(http, "", "hi", author=f"guest-{n}") for n in range(2)]
        one = f"{MESSAGES}/{sent[0].json()['id']}"
        about = {"document": ROOM, "message": sent[1].json()["id"], "emoji": "x"}
        for who in ("guest-3", "guest-4"):
            done = await http.put(REACTIONS, params=about | {"author": who})
            assert done.status_code == 204
        for late in (
            await say(http, "", "hi", author="guest-5"),
            await http.patch(one, json={"text": "x", "author": "guest-0"}),
            await http.put(REACTIONS, params=about | {"author": "guest-6"}),
        ):
            is_problem(late, 429, "too-many-requests")
