"""What an update does in the roots that are channels: each value set, each item deleted.

Owns the reading of a channel's values from an update's bytes. Reading is as strict as the shapes
are: a value is one plain object, text or number. Whatever else lies in such a root is ``Wrong``,
with words for its author. Decides on nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crdtsync.channels.model import (
    Message,
    Person,
    Reaction,
    read_message,
    read_person,
    read_reaction,
)
from crdtsync.channels.names import Channel, Root, is_message_id
from crdtsync.encoding import read_var_string, read_var_uint
from crdtsync.history.values import read_any
from crdtsync.idset import IdSet
from crdtsync.places import PlaceIndex, Placement
from crdtsync.slicing import content_offset
from crdtsync.structs import ANY, DELETED, Id, Struct

__all__ = ["GONE", "Change", "Changes", "Drop", "Gone", "Reacted", "Said", "Wrong"]

_STRING: Final = 119
_OBJECT: Final = 118
_SCALARS: Final = {_STRING, 120, 121, 123, 124, 125, 126}
"""Texts, booleans, numbers and null: no bytes, big integers, lists, or undefined."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """No value of a channel."""

    reason: str


class Gone:
    """What was deleted and collected: nobody knows what it was."""


GONE: Final = Gone()


@dataclass(frozen=True, slots=True)
class Reacted:
    """A reaction, and when it was given."""

    reaction: Reaction
    time_ms: int


Said = Message | Reacted | Person | str | dict[str, Any] | Wrong | Gone
"""What a key holds: by channel, a receipt being a text and an archive an object."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key's new item."""

    root: Root
    name: str
    """The root's."""
    key: str | None
    """``None`` where the item lies under none."""
    client: int
    start: int
    end: int
    origin: Id | None
    """The item that it replaces."""
    said: Said
    nested: bool
    """Whether it lies in another item instead of directly in the root."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Items of one place that are deleted."""

    root: Root
    name: str
    key: str | None
    client: int
    start: int
    end: int


class Changes:
    """What an update does in channels; sees its items (``edit.Look``)."""

    __slots__ = (
        "_index",
        "_most",
        "_of",
        "_strange",
        "_update",
        "drops",
        "more",
        "sets",
        "strange",
    )

    def __init__(
        self,
        update: bytes,
        index: PlaceIndex,
        of: Callable[[str], Root | None],
        strange: IdSet,
        *,
        most: int = 0,
    ) -> None:
        """Begin with nothing; ``of`` tells a root's channel, ``strange`` what is no value.

        No more than ``most`` values are looked at; 0 is without a limit.
        """
        self._update = update
        self._index = index
        self._of = of
        self._strange = strange
        self._most = most
        self.more = False
        """Whether there are more values than were to be looked at."""
        self.sets: list[Change] = []
        """In an order in which each follows what it replaces."""
        self.drops: list[Drop] = []
        self.strange: IdSet | None = None
        """More that is no value, and what lies in it."""

    def __bool__(self) -> bool:
        return bool(self.sets or self.drops)

    def item(self, struct: Struct, number: int) -> None:
        """See a new item."""
        place = self._index.name(number)
        root = None if place is None else self._of(place.root)
        if place is None or root is None:
            return
        if self._most and len(self.sets) >= self._most:
            self.more = True
            return
        nested = self._nested(struct)
        if nested:
            self.strange = self.strange or IdSet()
            self.strange.insert(struct.client, struct.clock, struct.clock + struct.length)
        self.sets.append(
            Change(
                root,
                place.root,
                place.key,
                struct.client,
                struct.clock,
                struct.clock + struct.length,
                struct.origin,
                self._said(root, place.key, struct, nested=nested),
                nested,
            )
        )

    def deletion(self, run: Placement) -> None:
        """See a deletion."""
        place = self._index.name(run.number)
        root = None if place is None else self._of(place.root)
        if place is not None and root is not None:
            drop = Drop(root, place.root, place.key, run.client, run.start, run.end)
            self.drops.append(drop)

    def _nested(self, struct: Struct) -> bool:
        if struct.parent is not None:
            return isinstance(struct.parent, tuple)
        origin = struct.origin
        if origin is None:
            return True  # directly in the root, nothing stands before anything
        return self._strange.has(*origin) or (
            self.strange is not None and self.strange.has(*origin)
        )

    def _said(self, root: Root, key: str | None, struct: Struct, *, nested: bool) -> Said:
        if key is None or nested:
            return Wrong(f"{root.channel} holds plain values under keys, and nothing else")
        if struct.kind == DELETED:
            return GONE
        if struct.kind != ANY or struct.length > 1 or not struct.keyed:
            return Wrong(f"a value of {root.channel} is plain, and one")
        try:
            return _meaning(root.channel, key, _read(self._update, struct))
        except ValueError as error:
            return Wrong(str(error))


def _meaning(channel: Channel, key: str, value: Any) -> Said:
    match channel:
        case Channel.CHAT:
            return read_message(key, value)
        case Channel.REACTIONS:
            return Reacted(read_reaction(key, value), int(value))
        case Channel.PRESENCE:
            return read_person(key, value)
        case Channel.RECEIPTS:
            if not isinstance(value, str) or not is_message_id(value):
                raise ValueError("a receipt is the key of the last message that was read")
            return value
        case Channel.ARCHIVES:
            if not isinstance(value, dict):
                raise ValueError("an archive is a plain object")
            return value


def _read(update: bytes, struct: Struct) -> Any:
    """Read a struct's one value. Raises ``ValueError`` where it is not flat."""
    _, position = read_var_uint(update, content_offset(update, struct))
    tag = update[position]
    if tag != _OBJECT:
        return _scalar(update, position)[0]
    count, position = read_var_uint(update, position + 1)
    found: dict[str, Any] = {}
    for _ in range(count):
        name, position = read_var_string(update, position)
        found[name], position = _scalar(update, position)
    return found


def _scalar(update: bytes, position: int) -> tuple[Any, int]:
    if update[position] not in _SCALARS:
        raise ValueError("the members of a value are texts and numbers")
    return read_any(update, position)
