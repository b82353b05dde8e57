"""The page at the root: what it shows, and that nothing gets into it or out of it."""

import base64
import hashlib
import re

import httpx
import pytest

from crdtsync.forwarded import Proxies
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app
from crdtsync.server.doors import Doors
from crdtsync.server.page import websocket_base

from .conftest import asgi_client, sample

pytestmark = pytest.mark.anyio


async def test_it_shows_what_is_running(hub: Hub, http: httpx.AsyncClient) -> None:
    """The page names the store, its durability, and how much is open."""
    await hub.edit("a", sample().get_update(), Principal())
    text = (await http.get("/")).text
    figures = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    assert figures == [
        ("Store", "memory"),
        ("Durability", hub.store.durability),
        ("Open documents", "1"),
        ("Connections", "0"),
    ]


async def test_it_says_how_to_connect(hub: Hub) -> None:
    """The code to copy has the address that the browser used."""
    app = create_app(hub, lifespan=False)
    for base_url, address in (
        ("http://test:1234", "ws://test:1234"),
        ("https://docs.example", "wss://docs.example"),
        ("http://[::1]:1234", "ws://[::1]:1234"),
    ):
        async with asgi_client(app, base_url) as client:
            assert f'WebsocketProvider("{address}", ' in (await client.get("/")).text


@pytest.mark.parametrize(
    "host", ['"><script>alert(1)</script>', "a b", "", 'x", alert(1), "', "a:b", "test:123456"]
)
async def test_a_strange_host_gets_nowhere(http: httpx.AsyncClient, host: str) -> None:
    """A Host header that is none is not repeated."""
    response = await http.get("/", headers={"Host": host})
    assert 'WebsocketProvider("ws://localhost", ' in response.text
    assert "alert" not in response.text


def test_a_mount_is_part_of_the_address() -> None:
    """Clients of a mounted application are sent to the mount."""
    scope = {"scheme": "http", "headers": [(b"host", b"a")], "root_path": "/collab"}
    assert websocket_base(scope, Doors()) == "ws://a/collab"


@pytest.mark.parametrize(
    ("forwarded", "scheme"), [(b"https", "wss"), (b"http", "ws"), (b'"><b>', "ws")]
)
def test_a_proxy_says_that_it_has_ended_tls(forwarded: bytes, scheme: str) -> None:
    """Behind a trusted TLS proxy the page shows what clients outside need; others say nothing."""
    headers = [(b"host", b"a"), (b"x-forwarded-proto", forwarded)]
    scope = {"scheme": "http", "headers": headers, "client": ("10.0.0.1", 1)}
    doors = Doors(proxies=Proxies(("10.0.0.0/8",)))
    assert websocket_base(scope, doors) == f"{scheme}://a"
    assert websocket_base(scope, Doors()) == "ws://a"


async def test_a_mount_is_escaped(hub: Hub) -> None:
    """Not even an odd mount point gets markup into the page."""
    app = create_app(hub, lifespan=False)
    transport = httpx.ASGITransport(app, root_path='/"><b>')
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert "<b>" not in (await client.get("/")).text


async def test_its_policy_fits_its_content(http: httpx.AsyncClient) -> None:
    """The policy allows this page's one style and nothing else; the page has nothing else."""
    response = await http.get("/")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    for forbidden in ("<script", "style=", "src=", "<link", "http://", "https://", "onclick"):
        assert forbidden not in response.text


async def test_its_links_lead_somewhere(http: httpx.AsyncClient) -> None:
    """Every link on the page is answered."""
    links = re.findall(r'href="(.*?)"', (await http.get("/")).text)
    assert len(links) == 4
    for link in links:
        assert (await http.get(link)).status_code == 200


async def test_it_links_only_what_is_there(hub: Hub) -> None:
    """Routes that are left out are neither linked nor described nor served."""
    app = create_app(hub, lifespan=False, metrics=False, rest=False)
    async with asgi_client(app) as client:
        links = re.findall(r'href="(.*?)"', (await client.get("/")).text)
        assert links == ["/health/ready", "/api/v1/openapi.json"]
        description = (await client.get("/api/v1/openapi.json")).json()
        assert set(description["paths"]) == {"/", "/health/live", *links}
        for path in ("/metrics", "/api/v1/documents", "/api/v1/documents/a"):
            assert (await client.get(path)).status_code == 404


async def test_it_can_be_left_out(hub: Hub) -> None:
    """Without the page the root is as unknown as any other path."""
    async with asgi_client(create_app(hub, lifespan=False, page=False)) as client:
        assert (await client.get("/")).status_code == 404
