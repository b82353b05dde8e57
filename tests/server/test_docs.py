"""The examples of ``docs/http.md``: the Python runs, the JSON is what the server answers."""

import json
import re
import shlex
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from crdtsync.channels.model import message_time
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.server import create_app
from crdtsync.server.parameters import iso
from crdtsync.store.memory import MemoryStore

from .conftest import asgi_client, sample
from .harness import Client, running

DOCS = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("example", "path"), [(0, "doc"), (1, "collab/doc")])
def test_python(example: int, path: str) -> None:
    """Each example makes an application that serves documents."""

    def make_app(_: Hub) -> ASGIApp:
        names: dict[str, ASGIApp] = {}
        exec(blocks("python")[example], names)  # our own documentation
        return names["app"]

    with running("uvicorn", make_app=make_app) as server, Client(server.url(path)).sync() as client:
        client.append("it runs")


PLAIN = {"Content-Type": "text/plain"}


@pytest.mark.anyio
async def test_json(hub: Hub, http: httpx.AsyncClient) -> None:
    """The answers shown have the members that the server sends, in their order."""
    listed, edit, edited, _, problem = map(json.loads, blocks("json"))
    await hub.edit("notes/today", sample().get_update(), Principal())
    answer = (await http.get("/api/v1/documents")).json()
    assert list(answer) == list(listed)
    assert list(answer["documents"][0]) == list(listed["documents"][0])
    assert answer["documents"][0]["url"] == listed["documents"][0]["url"]
    assert (await http.get("/api/v1/documents/none")).json() == problem
    del edit["if_state_vector"]
    await http.put("/api/v1/documents/b?root=body", content="Hello", headers=PLAIN)
    answer = (await http.patch("/api/v1/documents/b", json=edit)).json()
    assert list(answer) == list(edited)
    shown = (await http.get("/api/v1/documents/b?format=json")).json()
    assert shown == {"body": "Hello, you", "meta": {"title": "Greeting"}}


@pytest.mark.anyio
async def test_a_message() -> None:
    """The message shown is one that was said over HTTP and answered by somebody."""
    shown = json.loads(blocks("json")[3])
    ann, ben = Principal(id="ann", name="Ann"), Principal(id="ben")
    channels = Channels(ChannelRules(chat=("*",)))
    async with Hub(MemoryStore(), channels=channels) as hub:
        said = await hub.channels.chat("rooms/a").send("Lunch?", ann)
        await hub.channels.chat("rooms/a").react(said.id, "👍", ben)
        async with asgi_client(create_app(hub, lifespan=False)) as http:
            where = {"document": "rooms/a"}
            found = (await http.get(f"/api/v1/chat/messages/{said.id}", params=where)).json()
            listed = (await http.get("/api/v1/chat/messages", params=where)).json()
    assert listed == {"messages": [found], "next": None}
    assert iso(message_time(shown["id"])) == shown["time"]
    assert list(found) == list(shown)
    assert found | {"id": shown["id"], "time": shown["time"]} == shown


def test_every_problem_code_is_documented() -> None:
    """Each ``code`` in the sources is in the documentation's table."""
    folder = Path(__file__).parents[2] / "crdtsync" / "server"
    sources = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    sources = sources.replace('"http-error"', "")
    for code in set(re.findall(r'code(?:, detail)? ?= ?"([a-z-]+)"', sources)):
        assert f"`{code}`" in DOCS, code


@pytest.mark.anyio
async def test_the_requests(http: httpx.AsyncClient) -> None:
    """The requests in the shell are answered, and what they wrote is read."""
    (script,) = (block for block in blocks("sh") if "curl" in block)
    (base, *lines) = script.splitlines()
    api = base.removeprefix("api=http://localhost:1234")
    answers: list[httpx.Response] = []
    for line in lines:
        _, *words = shlex.split(line.replace("$api", api), comments=True)
        url = words.pop()
        given = dict(zip(words[::2], words[1::2], strict=True))
        headers = dict([given["-H"].split(": ")] if "-H" in given else [])
        if "--json" in given:
            headers["Content-Type"] = "application/json"
        content = given.get("--data") or given.get("--json")
        method = given.get("-X", "GET")
        answers.append(await http.request(method, url, headers=headers, content=content))
    assert [each.status_code for each in answers] == [201, 200, 200, 403]
    assert answers[2].text == "Hello, you"
