"""Making a finding small: fewer actions, one struct a message, no content that isn't needed."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from crdtsync.encoding import write_var_uint
from crdtsync.errors import RemoteError
from crdtsync.limits import Limits, trusting
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, update_frame
from crdtsync.structs import GC, SKIP, Struct
from crdtsync.update import scan
from fuzz.script import Action

__all__ = ["minimise"]

Fails = Callable[[Sequence[Action]], bool]
DEADLINE_S: Final = 45.0
_UNLIMITED: Final = trusting(Limits())


def minimise(
    actions: Sequence[Action], fails: Fails, *, deadline_s: float = DEADLINE_S
) -> list[Action]:
    """Return a conversation that fails as well and from which little can be left out."""
    until_s = time.monotonic() + deadline_s
    left = _drop(list(actions), fails, until_s)
    apart = [piece for action in left for piece in _apart(action)]
    if len(apart) > len(left) and fails(apart):
        left = _drop(apart, fails, until_s)
    left = _hollow(left, fails, until_s)
    return _drop(left, fails, until_s)


def _drop(left: list[Action], fails: Fails, until_s: float) -> list[Action]:
    size = max(1, len(left) // 2)
    while size and time.monotonic() < until_s:
        at = len(left)
        shorter = False
        while at > 0 and time.monotonic() < until_s:
            start = max(0, at - size)
            without = left[:start] + left[at:]
            if without and fails(without):
                left = without
                shorter = True
            at = start
        if not shorter or size > 1:
            size //= 2
    return left


def _updates(action: Action) -> list[bytes]:
    if action.kind != "frame":
        return []
    try:
        messages = decode_frame(action.data)
    except RemoteError:
        return []
    return [each.update for each in messages if isinstance(each, SyncUpdate | SyncStep2)]


def _apart(action: Action) -> Iterator[Action]:
    """Send each struct, and each deleted range, by itself."""
    updates = _updates(action)
    if not updates:
        yield action
    for update in updates:
        try:
            found = scan(update, _UNLIMITED, structs=True)
        except RemoteError:
            yield action
            return
        for struct in found.structs or ():
            yield _single(action, struct, update[struct.start : struct.end])
        for client, start, end in found.deletes:
            numbers = (client, 1, start, end - start)
            data = b"\x00\x01" + b"".join(map(write_var_uint, numbers))
            yield Action("frame", action.client, update_frame(data))


def _single(action: Action, struct: Struct, data: bytes) -> Action:
    head = b"\x01\x01" + write_var_uint(struct.client) + write_var_uint(struct.clock)
    return Action("frame", action.client, update_frame(head + data + b"\x00"))


def _hollow(left: list[Action], fails: Fails, until_s: float) -> list[Action]:
    """Put a GC in the place of each struct that isn't needed but for its clocks."""
    for index in range(len(left) - 1, -1, -1):
        if time.monotonic() > until_s:
            break
        updates = _updates(left[index])
        if len(updates) != 1:
            continue
        try:
            structs = scan(updates[0], _UNLIMITED, structs=True).structs or []
        except RemoteError:
            continue
        if len(structs) != 1 or structs[0].kind in (GC, SKIP):
            continue
        hollow = _single(left[index], structs[0], b"\x00" + write_var_uint(structs[0].length))
        without = [*left[:index], hollow, *left[index + 1 :]]
        if fails(without):
            left = without
    return left
