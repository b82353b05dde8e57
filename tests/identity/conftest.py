"""Fixtures: an authenticator that trusts what the forgeries imitate."""

import json
from pathlib import Path

import pytest

from crdtsync.clock import ManualClock
from crdtsync.identity import JWTAuthenticator

from .forgeries import trusted


@pytest.fixture(scope="session")
def authenticator(tmp_path_factory: pytest.TempPathFactory) -> JWTAuthenticator:
    """Return an authenticator that trusts four keys, whose time stands still."""
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps(trusted()))
    return JWTAuthenticator(
        key_file=path,
        audience=["crdtsync"],
        issuer=["https://id.example.org"],
        stale_s=1e9,
        clock=ManualClock(),
    )
