"""Clients that have nothing to do stay connected."""

import json
import time

import pytest

from .harness import Client

pytestmark = pytest.mark.node

IDLE_S = 36.0
"""Above 30 s, after which a client that heard nothing closes, and the 3 s that it takes to look."""


def test_idle_clients_stay_connected(idlers: tuple[list[Client], float]) -> None:
    """For 36 s nobody types, and no client gives up its connection, present or not."""
    opened, since = idlers
    for client in opened:
        left = max(0.1, since + IDLE_S - time.monotonic())
        try:
            client.wait(events={"connection-close": 1}, timeout_s=left)
        except AssertionError:
            pass  # it did not
        seen = client.read()
        assert seen["connected"], client.name
        assert "connection-close" not in seen["events"], f"{client.name}: {json.dumps(seen)}"
