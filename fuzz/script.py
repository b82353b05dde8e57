"""A conversation as data: what happens to a server, one action a line.

Owns the text form in which findings and the corpus are kept::

    # what it is
    open 0              a client connects
    frame 0 0002...     it sends these bytes (hex) as one message
    commit              the store takes what is pending
    checkpoint          the log is replaced by a checkpoint
    reload              the room is closed, and opened again from the store
    rest                the room lets go of what can be made again
    block 0 / drain 0   the client's socket is full / takes data again
    drop 0              its socket is gone
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["ACTIONS", "Action", "dump", "load", "parse"]

ACTIONS: Final = frozenset(
    ("open", "frame", "commit", "checkpoint", "reload", "rest", "block", "drain", "drop")
)
_ALONE: Final = frozenset(("commit", "checkpoint", "reload", "rest"))


class Action(NamedTuple):
    """One thing that happens."""

    kind: str
    client: int = 0
    data: bytes = b""


def dump(actions: Iterable[Action], *remarks: str) -> str:
    """Write a conversation as text."""
    lines = [f"# {line}" for remark in remarks for line in remark.splitlines()]
    for kind, client, data in actions:
        if kind in _ALONE:
            lines.append(kind)
        elif kind == "frame":
            lines.append(f"frame {client} {data.hex()}")
        else:
            lines.append(f"{kind} {client}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> list[Action]:
    """Read a conversation; raises ``ValueError`` where a line is none."""
    actions: list[Action] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in ACTIONS:
            raise ValueError(f"no action: {line[:60]!r}")
        client = int(words[1]) if len(words) > 1 else 0
        actions.append(Action(words[0], client, bytes.fromhex("".join(words[2:]))))
    return actions


def load(path: Path) -> list[Action]:
    """Read a conversation from a file."""
    return parse(path.read_text(encoding="utf-8"))
