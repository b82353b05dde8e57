"""``wss://``: certificates are checked, and what is trusted works."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from crdtsync.client import Status, connect
from tests.native.kit import Server
from tests.needs import program

from .kit import OPTIONS, TIMEOUT_S, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for localhost, its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    """A server with TLS."""
    key = str(certificate.with_name("key.pem"))
    with Server(certfile=str(certificate), keyfile=key) as server:
        yield server


async def test_edits_go_over_tls(secure: Server, certificate: Path) -> None:
    """With the server's certificate among the trusted ones everything works."""
    context = ssl.create_default_context(cafile=str(certificate))
    url = f"wss://127.0.0.1:{secure.port}/doc"
    async with connect(url, ssl_context=context, options=OPTIONS) as document:
        text = text_of(document)
        text += "x" * 300_000
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
        assert secure.text() == "x" * 300_000


async def test_unknown_certificates_are_not_trusted(secure: Server) -> None:
    """Without it there is no connection, and nothing is sent."""
    states: list[Status] = []
    async with connect(f"wss://127.0.0.1:{secure.port}/doc", options=OPTIONS) as document:
        document.on_status(states.append)
        with anyio.fail_after(TIMEOUT_S):
            while states.count(Status.OFFLINE) < 2:  # noqa: ASYNC110 - a count has no event
                await anyio.sleep(0.01)
        assert Status.CONNECTED not in states
