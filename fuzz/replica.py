"""Reads documents with pycrdt, in a process of its own, which may die of it.

One request a line on standard input, one answer a line: ``{"variants": {NAME: [HEX UPDATE]},
"kinds": {ROOT: KIND}}`` gives ``{"problem": "", "states": {NAME: HEX}, "clocks": {NAME: ...},
"values": {ROOT: VALUE}}``; the values are the last variant's.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from crdtsync.crdt import IntegrationError, Replica, read_roots
from crdtsync.limits import Limits
from crdtsync.recursion import RECURSION_LIMIT
from crdtsync.state_vector import read_state_vector

__all__ = ["main"]


def main() -> None:
    """Answer until standard input ends."""
    sys.setrecursionlimit(RECURSION_LIMIT)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    states: dict[str, str] = {}
    clocks: dict[str, dict[int, int]] = {}
    problem = ""
    state = b""
    values = None
    try:
        for name, updates in request["variants"].items():
            state, clocks[name] = _read([bytes.fromhex(update) for update in updates])
            states[name] = state.hex()
        if request["kinds"] is not None:
            values = read_roots(state, request["kinds"])
    except IntegrationError as error:
        problem = str(error)
    return {"problem": problem, "states": states, "clocks": clocks, "values": values}


def _read(updates: Sequence[bytes]) -> tuple[bytes, dict[int, int]]:
    replica = Replica()
    for update in updates:
        replica.apply((update,))
    return replica.state(), read_state_vector(replica.state_vector(), Limits())


if __name__ == "__main__":
    main()
