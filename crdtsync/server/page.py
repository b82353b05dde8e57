"""The page at ``/``: what is running here, and how to connect to it.

One static file with inline style, no script and nothing from elsewhere; the policy in its
headers allows no more than that.
"""

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from crdtsync.hub import Hub
from crdtsync.metrics import package_version
from crdtsync.server.doors import Doors
from crdtsync.server.parameters import API

__all__ = ["Page", "websocket_base"]

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class Page:
    """The page of one hub, with links to what is served beside it."""

    def __init__(self, hub: Hub, *, metrics: bool, rest: bool, doors: Doors | None = None) -> None:
        self._hub = hub
        self._doors = doors or Doors()
        self._links = [("/health/ready", "whether it takes work, and why not")]
        if metrics:
            self._links.append(("/metrics", "figures for Prometheus"))
        if rest:
            self._links.append((f"{API}/documents", "the stored documents"))
        self._links.append((f"{API}/openapi.json", "the description of this API"))

    async def get(self, request: Request) -> Response:
        """Fill the page in for this request."""
        hub = self._hub
        base = quote(request.scope.get("root_path", ""))
        links = (
            f'<li><a href="{escape(base + path)}"><code>{escape(path)}</code></a>'
            f"<span>{escape(text)}</span></li>"
            for path, text in self._links
        )
        template, policy = _template()
        text = template.substitute(
            version=escape(package_version()),
            store=escape(hub.store.url.partition(":")[0]),
            durability=escape(hub.store.durability),
            rooms=len(hub.rooms),
            connections=sum(len(room.connections) for room in hub.rooms.values()),
            websocket=escape(websocket_base(request.scope, self._doors)),
            links="\n".join(links),
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(text, media_type="text/html", headers=headers)


def websocket_base(scope: Scope, doors: Doors) -> str:
    """Return the URL that a client is given, ``ws://HOST`` or ``wss://HOST`` and the mount.

    The host is the request's, where it looks like one: it goes into code that people copy.
    """
    seen = doors.seen(scope)
    scheme = "wss" if seen.secure else "ws"
    host = seen.host if _HOST.fullmatch(seen.host) else "localhost"
    return f"{scheme}://{host}{quote(scope.get('root_path', ''))}"


@cache
def _template() -> tuple[Template, str]:
    """Return the page and a policy that allows its own style, by hash, and nothing else."""
    text = files("crdtsync.server").joinpath("page.html").read_text("utf-8")
    style = _STYLE.search(text)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )
    return Template(text), policy
