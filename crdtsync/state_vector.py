"""State vectors: of every client the next clock. Read strictly, written; who is in none."""

import random
from collections.abc import Mapping
from typing import Final

from crdtsync.encoding import read_var_uint, write_var_uint
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.structs import MAX_CLOCK

__all__ = ["encode_state_vector", "fresh_client", "read_state_vector"]

MAX_CLIENT: Final = 1 << 32
"""Yjs takes its client ids from below this."""


def read_state_vector(data: bytes, limits: Limits) -> dict[int, int]:
    """Read a state vector: ``{client: next clock}``.

    Raises ``InvalidUpdate`` where it is truncated, too long, or names a client twice.
    """
    try:
        count, position = read_var_uint(data, 0)
        if count > limits.max_update_clients:
            raise InvalidUpdate("the state vector names too many clients", kind="update-clients")
        clocks: dict[int, int] = {}
        for _ in range(count):
            client, position = read_var_uint(data, position)
            clocks[client], position = read_var_uint(data, position)
            if clocks[client] > MAX_CLOCK:
                raise InvalidUpdate("a clock of the state vector is above 2^31")
    except (IndexError, ValueError):
        raise InvalidUpdate("the state vector is damaged", kind="bad-state-vector") from None
    if position != len(data) or len(clocks) != count:
        raise InvalidUpdate("the state vector is damaged", kind="bad-state-vector")
    return clocks


def encode_state_vector(clocks: Mapping[int, int]) -> bytes:
    """Write a state vector: ``{client: next clock}``."""
    return write_var_uint(len(clocks)) + b"".join(
        write_var_uint(client) + write_var_uint(clock) for client, clock in clocks.items()
    )


def fresh_client(clocks: Mapping[int, int]) -> int:
    """Return a random client id that a document doesn't know."""
    dice = random.SystemRandom()
    while True:
        client = dice.randrange(1, MAX_CLIENT)
        if client not in clocks:
            return client
