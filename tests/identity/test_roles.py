"""Tokens and the roles of the configuration file, through a running server."""

import http.client
from pathlib import Path

import pytest

from tests.docs.kit import Client

from .test_leaks import honest, serving, upgraded

ROLES = """
[roles.reviewer]
write = ["comments"]
"""


def listed(port: int, token: str) -> tuple[int, str]:
    """Ask for the list of documents."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/v1/documents", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize("transport", ["native", "asgi"])
def test_roles_of_the_file(tmp_path: Path, transport: str) -> None:
    """A token's role may be one of the file's; over HTTP its holders see their documents."""
    (tmp_path / "crdtsync.toml").write_text(ROLES)
    reviewer = honest(documents={"doc": "reviewer"})
    writer = honest("bob", documents={"*": "write"})
    with serving(tmp_path, "--transport", transport) as (process, port):
        url = f"ws://127.0.0.1:{port}"
        for document in ("doc", "other"):
            with Client(f"{url}/{document}?token={writer}") as client:
                client.sync().append("stored")
                status, text = listed(port, writer)
                while f'"name":"{document}"' not in text:
                    status, text = listed(port, writer)
        with Client(f"{url}/doc?token={reviewer}") as client:
            client.sync()
            assert str(client.text) == "stored"
        status, text = listed(port, reviewer)
        assert status == 200
        assert '"name":"doc"' in text
        assert '"name":"other"' not in text
        assert upgraded(port, honest(documents={"doc": "nobody"}), "query")[0] == 4403
        assert process.stop() == 0
