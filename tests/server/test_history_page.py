"""The history page's files: what is served, to whom, and what the browser may do with it."""

import re

import httpx
import pytest

from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app

from .conftest import asgi_client

pytestmark = pytest.mark.anyio

PAGE = "/documents/team/minutes%2F1/history"


async def test_the_page_and_all_that_it_names(http: httpx.AsyncClient) -> None:
    """The page comes with a policy that allows its own files only; each of them is there."""
    page = await http.get(PAGE)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
    assert len(named) == 2
    seen: set[str] = set()
    while named:
        path = named.pop()
        if path in seen:
            continue
        seen.add(path)
        asset = await http.get(path)
        assert asset.status_code == 200, path
        kind = "text/javascript" if path.endswith(".js") else "text/css"
        assert asset.headers["content-type"].startswith(kind)
        named += [
            f"/assets/history/{each}" for each in re.findall(r'from "\./([^"]+)"', asset.text)
        ]
    assert len(seen) == 6


async def test_nothing_inline(http: httpx.AsyncClient) -> None:
    """What the policy forbids is not there: no script, style or handler within the page."""
    text = (await http.get(PAGE)).text
    assert "<style" not in text
    assert not re.search(r"<script[^>]*>[^<]", text)
    assert not re.search(r"\son[a-z]+=|\sstyle=", text)


async def test_the_page_says_nothing_of_the_document(http: httpx.AsyncClient) -> None:
    """It is the same for every name, so that it needs no permission."""
    other = await http.get("/documents/<script>alert(1)/history")
    assert other.text == (await http.get(PAGE)).text


async def test_a_known_file_is_not_sent_again(http: httpx.AsyncClient) -> None:
    """A browser that has a file asks whether it has changed, and is told no."""
    first = await http.get("/assets/history/app.js")
    again = await http.get(
        "/assets/history/app.js", headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304
    assert not again.content


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fserve.py", "index.html", "app.js%00", "%2e%2e"]
)
async def test_no_other_file(http: httpx.AsyncClient, name: str) -> None:
    """Only what the page consists of is there."""
    response = await http.get(f"/assets/history/{name}")
    assert response.status_code == 404
    assert "problem+json" in response.headers["content-type"]


async def test_a_mount(hub: Hub) -> None:
    """In an application that is mounted somewhere, the page finds its files there."""
    app = create_app(hub, lifespan=False)

    async def mounted(scope, receive, send):  # type: ignore[no-untyped-def]
        await app({**scope, "root_path": '/col"lab'}, receive, send)

    async with asgi_client(mounted, "http://test") as client:
        text = (await client.get(PAGE)).text
    assert 'content="/col%22lab"' in text
    assert 'src="/col%22lab/assets/history/app.js"' in text


@pytest.mark.parametrize("name", ["a" * 600, "a%00b"])
async def test_no_name(http: httpx.AsyncClient, name: str) -> None:
    """There is no page for what can't be a document's name."""
    response = await http.get(f"/documents/{name}/history")
    assert response.status_code == 400
    assert response.json()["code"] == "invalid-document-name"
