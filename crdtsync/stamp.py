"""Presence that says who it really is: the ``user`` field of an awareness state, from a principal.

Owns the splice: all other members of the state keep their own text, byte for byte, so that no
number or string changes its form. Of the client's own ``user`` only colours stay, and the name of
somebody whose principal has none.
"""

import json
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

from crdtsync.awareness import REMOVED, Entry

__all__ = ["MAX_STAMP_CHARACTERS", "stamp", "stamped"]

MAX_STAMP_CHARACTERS: Final = 256
"""What is kept of an id, a name or a colour: so a stamp adds 12 KiB at most."""
_COLOURS: Final = ("color", "colorLight")
_SPACE: Final = " \t\n\r"
_scan: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def stamped(entry: Entry, *, id: str, name: str) -> Entry:
    """Return an awareness entry with its state stamped; a removal as it is."""
    if entry.state == REMOVED:
        return entry
    return Entry(entry.client, entry.clock, stamp(entry.state, id=id, name=name))


def stamp(state: str, *, id: str, name: str) -> str:
    """Return an awareness state with ``user`` set for a principal; others than objects as is.

    ``state`` is valid JSON. An anonymous principal (no id) keeps the name it gives itself, and
    can't give itself an id.
    """
    position = _skip(state, 0)
    if state[position : position + 1] != "{":
        return state
    members: list[str] = []
    claimed: Any = None
    position = _skip(state, position + 1)
    while state[position] != "}":
        start = position
        key, position = scanstring(state, position + 1, True)
        position = _skip(state, _skip(state, position) + 1)  # the colon
        value, position = _scan(state, position)
        if key == "user":
            claimed = value
        else:
            members.append(state[start:position])
        position = _skip(state, position)
        if state[position] == ",":
            position = _skip(state, position + 1)
    members.append(f'"user":{json.dumps(_user(claimed, id, name), separators=(",", ":"))}')
    return "{" + ",".join(members) + "}"


def _user(claimed: Any, id: str, name: str) -> dict[str, str]:
    given = claimed if isinstance(claimed, dict) else {}
    user = {"id": id} if id else {}
    shown = name or id or given.get("name")
    if isinstance(shown, str):
        user["name"] = shown
    user |= {key: given[key] for key in _COLOURS if isinstance(given.get(key), str)}
    return {key: value[:MAX_STAMP_CHARACTERS] for key, value in user.items()}


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in _SPACE and position < len(text):
        position += 1
    return position
