"""The proxies of ``docs/deployment.md`` at work: nginx and Caddy in front of a server."""

import os
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from crdtsync.auth import ConnectRequest
from crdtsync.config import Config
from crdtsync.errors import CloseCode
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from tests.native.kit import Server
from tests.needs import program
from tests.ports import reserved_port

from .kit import Client, Process, blocks, page

PAGE = page("docs/deployment.md")
MAIN, BELOW, LOCATION, UNIX, PLAIN_HTTP, CLOSED = blocks(PAGE, "nginx")
PLAIN, CADDY_BELOW, CADDY_UNIX, CADDY_CLOSED = blocks(PAGE, "caddyfile")
OPEN = ("metrics", "health/live", "health/ready", "api/v1/documents", "api/v1/openapi.json", "")
"""What asks for no token, and the API."""
HOST = "docs.example.org"
ORIGIN = f"https://{HOST}"
CLIENT = "127.0.0.2"
"""Not the proxy's address, and nobody's whose word is taken."""
LIE = "192.0.2.7"


class Book:
    """Lets everybody in, and keeps where they come from."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.addresses[request.document] = request.address
        return Principal()


@dataclass
class Proxied:
    """A server behind a proxy."""

    port: int
    secure: bool
    book: Book
    server: Server
    http: httpx.Client = field(init=False)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        scheme = "https" if self.secure else "http"
        transport = httpx.HTTPTransport(verify=False, local_address=CLIENT)
        self.http = self.stack.enter_context(
            httpx.Client(
                transport=transport,
                base_url=f"{scheme}://127.0.0.1:{self.port}",
                headers={"Host": HOST, "X-Forwarded-For": LIE},
                timeout=60.0,
            )
        )

    def websocket(self, path: str, *, origin: str = ORIGIN, **options: Any) -> Client:
        """Connect as a browser does that shows a page of this site, or of another."""
        if self.secure:
            options["ssl"] = ssl.create_default_context()
            options["ssl"].check_hostname = False
            options["ssl"].verify_mode = ssl.CERT_NONE
        name = f"{HOST}:{self.port}"
        return Client(
            f"{'wss' if self.secure else 'ws'}://{name}{path}",
            address=("127.0.0.1", self.port),
            source_address=(CLIENT, 0),
            additional_headers={"Origin": origin, "X-Forwarded-For": LIE},
            **options,
        )


@contextmanager
def behind(start: Callable[[int, int], Process], *, secure: bool) -> Iterator[Proxied]:
    """Serve behind a proxy; ``start`` is given the server's port and the proxy's."""
    book = Book()
    with (
        Server(
            authenticator=book,
            trusted_proxies=("127.0.0.1",),
            limits=Limits(refusal_delay_s=0.01),
        ) as server,
        reserved_port() as port,
        start(server.port, port),
    ):
        found = Proxied(port, secure, book, server)
        with found.stack:
            yield found


@contextmanager
def nginx(folder: Path, server: str) -> Iterator[Proxied]:
    """Run nginx with the page's server, changed only in ports and paths."""
    path, openssl = program("nginx"), program("openssl")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}"),
            *("-keyout", "key.pem", "-out", "fullchain.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )

    def start(upstream: int, port: int) -> Process:
        text = server.replace("/etc/ssl/docs.example.org", str(folder))
        text = text.replace(f"127.0.0.1:{Config().port}", f"127.0.0.1:{upstream}")
        text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ")
        write(folder, text)
        process = Process(*options(folder), cwd=folder, program=path)
        process.wait_for(r"nginx/\d")
        return process

    with behind(start, secure=True) as found:
        yield found


def write(folder: Path, http: str) -> None:
    """Write a whole configuration around what the page has of one."""
    paths = "\n".join(
        f"{name}_temp_path {folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    text = (
        f"{user}\ndaemon off;\nmaster_process off;\nerror_log stderr notice;\n"
        f"pid {folder}/pid;\nevents {{}}\nhttp {{\n{paths}\n{http}}}\n"
    )
    (folder / "nginx.conf").write_text(text, "utf-8")


def options(folder: Path) -> list[str]:
    return ["-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


@contextmanager
def caddy(folder: Path, site: str) -> Iterator[Proxied]:
    """Run Caddy with a site of the page, without a certificate."""
    path = program("caddy")

    def start(upstream: int, port: int) -> Process:
        text = site.replace(f"127.0.0.1:{Config().port}", f"127.0.0.1:{upstream}")
        text = text.replace(f"{HOST} {{", f"http://{HOST}:{port} {{\n\tbind 127.0.0.1", 1)
        (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}", "utf-8")
        process = Process(
            *("run", "--config", "Caddyfile", "--adapter", "caddyfile"),
            cwd=folder,
            program=path,
            HOME=str(folder),
            XDG_CONFIG_HOME=str(folder),
            XDG_DATA_HOME=str(folder),
        )
        process.wait_for("serving initial configuration")
        return process

    with behind(start, secure=False) as found:
        yield found


def within(server: str, *locations: str) -> str:
    """Put locations into the page's server."""
    at = server.rindex("}")
    return server[:at] + "\n".join(locations) + server[at:]


def meets(found: Proxied, document: str, path: str) -> None:
    """Check that a page of this site edits a document as who it is, and another site's does not."""
    with found.websocket(path).sync() as one, found.websocket(path).sync() as two:
        one.append("hello")
        two.receive_until(lambda: str(two.text) == "hello")
    assert found.book.addresses.pop(document) == CLIENT
    with found.websocket(path, origin="https://evil.example") as foreign:
        assert foreign.closed().code == CloseCode.FORBIDDEN
    assert document not in found.book.addresses


def loads(found: Proxied, below: str) -> None:
    """Check that pages and links lead where the proxy takes them from."""
    scheme = "wss" if found.secure else "ws"
    page = found.http.get(f"{below}/").text
    assert f'WebsocketProvider("{scheme}://{HOST}{below}", ' in page
    links = re.findall(r'href="(.*?)"', page)
    history = found.http.get(f"{below}/documents/a/history")
    assert history.status_code == 200
    links += re.findall(r'(?:src|href)="(/.*?)"', history.text)
    listed = found.http.get(f"{below}/api/v1/documents").json()["documents"]
    links += [each["url"] for each in listed]
    assert len(links) >= 7
    for link in links:
        assert found.http.get(link).status_code == 200, link


def takes_what_the_server_takes(found: Proxied) -> None:
    """Check that a body may be as large as the server's own limit."""
    headers = {"Content-Type": "text/plain"}
    answer = found.http.put("/api/v1/documents/large", content=b"x" * 5_000_000, headers=headers)
    assert answer.status_code == 201
    assert found.book.addresses["large"] == CLIENT
    answer = found.http.put("/api/v1/documents/larger", content=b"x" * 10_000_000, headers=headers)
    assert answer.json()["code"] == "body-too-large"
    headers["Origin"] = "https://evil.example"
    for _ in range(5):  # what is refused before its body has come is told, too
        answer = found.http.put("/api/v1/documents/no", content=b"x" * 8_000_000, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")


def test_nginx(tmp_path: Path) -> None:
    """nginx passes on documents by their names, who asks, and what is sent."""
    with nginx(tmp_path, MAIN) as found:
        for name in ("doc", "a//b", "a%2Fb//c"):
            meets(found, name.replace("%2F", "/"), f"/{name}")
        takes_what_the_server_takes(found)
        loads(found, "")


def test_nginx_keeps_the_outside_out(tmp_path: Path) -> None:
    """What asks for no token isn't there; documents of such names are, as safe as others."""
    with nginx(tmp_path, PLAIN_HTTP + within(MAIN, CLOSED)) as found:
        for name in OPEN:
            assert_closed(found, name)
            if name:
                meets(found, name, f"/{name}")
        meets(found, "doc", "/doc")


def test_nginx_below_a_path(tmp_path: Path) -> None:
    """Below a path names stay as they are, and everything finds its way back."""
    with nginx(tmp_path, BELOW + within(MAIN, LOCATION)) as found:
        for name in ("doc", "a//b", "collab/x"):
            meets(found, name, f"/collab/{name}")
        loads(found, "/collab")


def test_nginx_below_a_path_keeps_the_outside_out(tmp_path: Path) -> None:
    """The two go together, as the page says."""
    lines = "\n".join(LOCATION.splitlines()[1:-1])
    closed = CLOSED.replace("^/(", "^/collab/(").replace("    proxy_pass http://crdtsync;", lines)
    assert CLOSED.splitlines()[0].replace("^/(", "^/collab/(").split()[2] in PAGE
    with nginx(tmp_path, PLAIN_HTTP + BELOW + within(MAIN, LOCATION, closed)) as found:
        for name in OPEN:
            assert_closed(found, f"collab/{name}")
            if name:
                meets(found, name, f"/collab/{name}")


def assert_closed(found: Proxied, path: str) -> None:
    """Check that nobody gets an answer there, not even who claims to open a WebSocket."""
    answer = found.http.get(f"/{path}")
    assert answer.status_code == 404
    assert "problem+json" not in answer.headers.get("content-type", ""), "it is the proxy's"
    for method in ("GET", "HEAD", "POST", "PUT"):
        for claim in (
            [("Upgrade", "websocket")],
            [("Upgrade", "websocket"), ("Connection", "upgrade")],
            [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Content-Length", "0")],
            [("Upgrade", "xwebsocketx"), ("Connection", "upgrade")],
            [("Upgrade", "h2c, websocket"), ("Connection", "upgrade")],
            [("Upgrade", "h2c"), ("Upgrade", "websocket"), ("Connection", "upgrade")],
            [("Upgrade", "websocket"), ("Upgrade", "h2c"), ("Connection", "upgrade")],
        ):
            answer = found.http.request(method, f"/{path}", headers=claim)
            kind = answer.headers.get("content-type", "")
            assert answer.status_code in (400, 404), (method, claim)
            assert "json" not in kind, (method, claim)
            assert "version=" not in kind, (method, claim)


def test_nginx_with_a_unix_socket(tmp_path: Path) -> None:
    """nginx takes the upstream."""
    path = program("nginx")
    write(tmp_path, UNIX)
    command = [path, "-t", "-q", *options(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nginx_takes_what_the_server_takes() -> None:
    """nginx lets through bodies up to the server's limit, in both of its spellings."""
    (size,) = re.findall(r"client_max_body_size (\d+)m;", MAIN)
    assert int(size) * 2**20 == Limits().max_message_bytes
    assert f"`max_message_bytes` ({size} MiB)" in PAGE


def test_each_location_has_all_headers() -> None:
    """Where a location has headers of its own, it has those of the server, too."""
    header = re.compile(r"^ +proxy_set_header (?!X-Forwarded-Prefix).*;$", re.MULTILINE)
    common = {each.strip() for each in header.findall(MAIN)}
    assert len(common) == 5
    assert {each.strip() for each in header.findall(LOCATION)} == common
    assert not header.findall(CLOSED)


def test_caddy(tmp_path: Path) -> None:
    """Caddy passes on documents by their names, who asks, and what is sent."""
    with caddy(tmp_path, PLAIN) as found:
        for name in ("doc", "a//b", "metrics"):
            meets(found, name, f"/{name}")
        takes_what_the_server_takes(found)
        loads(found, "")


def test_caddy_below_a_path(tmp_path: Path) -> None:
    """Below a path everything finds its way back."""
    with caddy(tmp_path, CADDY_BELOW) as found:
        meets(found, "doc", "/collab/doc")
        loads(found, "/collab")


def test_caddy_keeps_the_outside_out(tmp_path: Path) -> None:
    """What asks for no token isn't there."""
    with caddy(tmp_path, CADDY_CLOSED) as found:
        for name in OPEN:
            assert_closed(found, name)
        meets(found, "doc", "/doc")


def test_caddy_with_a_unix_socket(tmp_path: Path) -> None:
    """Caddy takes the site."""
    path = program("caddy")
    (tmp_path / "Caddyfile").write_text(CADDY_UNIX, "utf-8")
    command = [path, "adapt", "--config", "Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
