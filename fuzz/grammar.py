"""Updates as Yjs writes them, and in any way almost so.

Owns a model of one document: which ids there are, of what kind and in which place. What it
writes is sound, but for a share of wrong turns (``evil``): references to elsewhere or nowhere,
gaps, overlaps, Skips, zero and huge lengths, kinds that fit no place, deletions beyond the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from crdtsync.encoding import utf16_length, write_var_bytes, write_var_string, write_var_uint
from crdtsync.structs import (
    ANY,
    BINARY,
    DELETED,
    DOC,
    EMBED,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT,
    JSON,
    MAX_CLOCK,
    SKIP,
    STRING,
    TYPE,
    Id,
)
from fuzz.values import any_value, deep_any, json_text, word

__all__ = ["Grammar", "Profile"]

Place = str | Id
_ROOTS: Final = {
    "text": "text",
    "array": "array",
    "map": "map",
    "xml": "xml",
    "": "text",
    "é": "map",
}
_OF_TYPE: Final = ("array", "map", "text", "xml-element", "xml", "map", "text")
_HUGE: Final = (1000, 1 << 20, MAX_CLOCK - 1, MAX_CLOCK, 1 << 32, (1 << 53) - 1)
_KEYS: Final = ("k", "l", "", "\u00e9", "class")


@dataclass(frozen=True, slots=True)
class Profile:
    """What kind of conversation it is."""

    name: str
    evil: float
    """Share of wrong turns."""
    roots: tuple[str, ...] = tuple(_ROOTS)
    pairs: bool = False
    """Whether texts hold many surrogate pairs."""
    clients: int = 3
    nest: float = 0.15
    """Share of items that are shared types."""


class _Item(NamedTuple):
    client: int
    clock: int
    length: int
    place: Place
    key: str | None
    kind: int


class Grammar:
    """Writes updates for one document."""

    def __init__(self, dice: Random, profile: Profile) -> None:
        self._dice = dice
        self.profile = profile
        pool = (1, 2, 127, 128, 300, 70_000, 2**31, 2**32 - 1, 2**32 + 5, 2**53 - 1, 0)
        self.clients = dice.sample(pool, profile.clients)
        self.clocks: dict[int, int] = {}
        self._items: list[_Item] = []
        self._order: dict[Place, list[_Item]] = {}
        self._keyed: dict[tuple[Place, str], list[_Item]] = {}
        self._types: dict[Id, str] = {}
        self._new: list[_Item] = []

    def settle(self, clocks: Mapping[int, int]) -> None:
        """Learn what the server let in of the last update."""
        for item in self._new:
            if clocks.get(item.client, 0) >= item.clock + item.length:
                continue
            self._items.remove(item)
            self._order[item.place] = [
                piece
                for piece in self._order.get(item.place, ())
                if piece.client != item.client
                or not item.clock <= piece.clock < item.clock + item.length
            ]
            if item.key is not None:
                self._keyed[item.place, item.key].remove(item)
            self._types.pop((item.client, item.clock), None)
        self._new = []
        self.clocks = dict(clocks)

    def update(self, client: int | None = None) -> bytes:
        """Write the next update."""
        dice = self._dice
        evil = self.profile.evil
        known = dict(self.clocks)
        authors = [client if client is not None else dice.choice(self.clients)]
        if dice.random() < 0.1:
            authors = dice.sample(self.clients, dice.randint(1, len(self.clients)))
        if dice.random() < evil * 0.1:
            authors.append(authors[0])
        blocks: list[bytes] = []
        if dice.random() < 0.85:
            blocks += [self._block(author, known) for author in authors]
        deletes = b"\x00"
        if not blocks or dice.random() < 0.15:
            deletes = self._deletes(known)
        count = len(blocks) if dice.random() >= evil * 0.05 else dice.choice((0, 1, 5, *_HUGE))
        out = write_var_uint(count) + b"".join(blocks) + deletes
        return out + b"\x00" if dice.random() < evil * 0.05 else out

    def _wrong(self, share: float = 1.0) -> bool:
        return self._dice.random() < self.profile.evil * share

    def _block(self, author: int, known: dict[int, int]) -> bytes:
        dice = self._dice
        clock = known.get(author, 0)
        if self._wrong(0.5):
            clock = max(0, clock + dice.choice((-3, -2, -1, 1, 2, 7)))
        elif self._wrong(0.1):
            clock = dice.choice(_HUGE)
        start = clock
        structs: list[bytes] = []
        for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
            if self._wrong(0.15):
                kind = dice.choice((SKIP, GC, GC))
                length = dice.choice((0, 1, 2, 5, dice.choice(_HUGE)))
                structs.append(bytes((kind,)) + write_var_uint(length))
            else:
                written, length = self._item(author, clock, known)
                structs.append(written)
            clock += length
            if clock > MAX_CLOCK:
                break
            known[author] = max(clock, known.get(author, 0))
        count = len(structs) if not self._wrong(0.1) else dice.choice((0, 1, 2, 9, *_HUGE))
        return (
            write_var_uint(count)
            + write_var_uint(author)
            + write_var_uint(start)
            + b"".join(structs)
        )

    def _item(self, client: int, clock: int, known: Mapping[int, int]) -> tuple[bytes, int]:
        """Write one item; return it with its length."""
        dice = self._dice
        place, form = self._place()
        key: str | None = None
        origin = right = None
        if form == "map" or (form == "xml-element" and dice.random() < 0.5):
            key = dice.choice(_KEYS)
            values = self._keyed.get((place, key))
            if values and dice.random() < 0.8:
                last = values[-1] if dice.random() < 0.7 else dice.choice(values)
                origin = (last.client, last.clock + last.length - 1)
        else:
            origin, right = self._neighbours(place)
        if self._wrong(0.2):
            origin = self._any_id(known)
        if self._wrong(0.2):
            right = self._any_id(known)
        if self._wrong(0.1):
            place = self._any_id(known) or place
        if self._wrong(0.05):
            key = dice.choice((None, *_KEYS))
        kind, content, length = self._content(form, key)
        info = kind | (HAS_KEY if key is not None else 0)
        out = bytearray(1)
        if origin is not None:
            info |= HAS_ORIGIN
            out += write_var_uint(origin[0]) + write_var_uint(origin[1])
        if right is not None:
            info |= HAS_RIGHT
            out += write_var_uint(right[0]) + write_var_uint(right[1])
        if origin is None and right is None:
            if isinstance(place, str):
                out += b"\x01" + write_var_string(place)
            else:
                out += b"\x00" + write_var_uint(place[0]) + write_var_uint(place[1])
            if key is not None:
                out += write_var_string(key)
        out[0] = info
        item = _Item(client, clock, max(length, 1), place, key, kind)
        self._note(item, origin, content)
        return bytes(out) + content, length

    def _note(self, item: _Item, origin: Id | None, content: bytes) -> None:
        self._items.append(item)
        self._new.append(item)
        if item.key is not None:
            self._keyed.setdefault((item.place, item.key), []).append(item)
        else:
            self._put(item, origin)
        if item.kind == TYPE and content[0] < len(_OF_TYPE):
            self._types[item.client, item.clock] = _OF_TYPE[content[0]]

    def _put(self, item: _Item, origin: Id | None) -> None:
        """Put an item behind its origin, which is cut for it where it has to be."""
        order = self._order.setdefault(item.place, [])
        at = 0
        for index, piece in enumerate(order):
            if origin is None or piece.client != origin[0]:
                continue
            first = origin[1] - piece.clock + 1
            if 0 < first <= piece.length:
                at = index + 1
                if first < piece.length:
                    order[index] = piece._replace(length=first)
                    behind = piece._replace(clock=piece.clock + first, length=piece.length - first)
                    order.insert(at, behind)
                break
        order.insert(at, item)

    def _place(self) -> tuple[Place, str]:
        dice = self._dice
        if self._types and dice.random() < 0.5:
            made = list(self._types)
            place = made[-1] if dice.random() < 0.3 else dice.choice(made)
            return place, self._types[place]
        root = dice.choice(self.profile.roots)
        form = _ROOTS.get(root, "text")
        if self._wrong(0.1):
            form = dice.choice(("text", "array", "map", "xml"))
        return root, form

    def _neighbours(self, place: Place) -> tuple[Id | None, Id | None]:
        dice = self._dice
        order = self._order.get(place)
        if not order:
            return None, None
        at = len(order) if dice.random() < 0.4 else dice.randrange(len(order) + 1)
        origin = right = None
        if at:
            left = order[at - 1]
            offset = left.length - 1
            if left.length > 1 and dice.random() < 0.3:
                offset = dice.randrange(left.length)
                if offset + 1 < left.length:
                    return (left.client, left.clock + offset), (
                        left.client,
                        left.clock + offset + 1,
                    )
            origin = (left.client, left.clock + offset)
        if at < len(order):
            right = (order[at].client, order[at].clock)
        if self._wrong():
            right = None
        if self._wrong():
            origin = None
        return origin, right

    def _any_id(self, known: Mapping[int, int]) -> Id | None:
        dice = self._dice
        if self._items and dice.random() < 0.7:
            item = dice.choice(self._items)
            return item.client, item.clock + dice.randrange(item.length)
        client = dice.choice((*self.clients, 9, 1 << 40))
        clock = known.get(client, 0)
        return dice.choice(
            (
                None,
                (client, clock),
                (client, clock + 3),
                (client, max(0, clock - 1)),
                (client, 1 << 31),
            )
        )

    def _content(self, form: str, key: str | None) -> tuple[int, bytes, int]:
        """Choose a content that the place may hold, or any other one."""
        dice = self._dice
        evil = self.profile.evil
        if self._wrong(0.1):
            kind = dice.choice(
                (DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, 11, 31)
            )
        elif dice.random() < self.profile.nest and form != "text":
            kind = TYPE
        elif form == "text":
            kind = dice.choice((STRING, STRING, STRING, STRING, STRING, FORMAT, EMBED, DELETED))
        elif form == "xml" or (form == "xml-element" and key is None):
            kind = TYPE
        else:
            kind = dice.choice((ANY, ANY, ANY, BINARY, DOC, DELETED, TYPE))
        if kind == STRING:
            text = word(dice, pairs=self.profile.pairs) or ("" if self._wrong(0.3) else "x")
            return kind, write_var_string(text), utf16_length(text)
        if kind == DELETED:
            length = dice.choice((1, 2, 5)) if not self._wrong() else dice.choice((0, *_HUGE))
            return kind, write_var_uint(length), length
        if kind == ANY:
            if self._wrong(0.02):
                return kind, b"\x01" + deep_any(dice.choice((511, 512, 513, 4000))), 1
            count = 1 if key is not None and not self._wrong(0.2) else dice.choice((1, 1, 2, 3))
            return (
                kind,
                write_var_uint(count) + b"".join(any_value(dice) for _ in range(count)),
                count,
            )
        if kind == FORMAT:
            name = dice.choice(("bold", "italic", "link"))
            return kind, write_var_string(name) + json_text(dice, evil * 0.2), 1
        if kind == EMBED:
            return kind, json_text(dice, evil * 0.2), 1
        if kind == BINARY:
            return kind, write_var_bytes(dice.randbytes(dice.randrange(6))), 1
        if kind == DOC:
            options = b"\x76\x00" if not self._wrong() else any_value(dice)
            return kind, write_var_string(dice.choice(("guid", "other"))) + options, 1
        if kind == TYPE:
            return kind, self._type(form), 1
        if kind == JSON:
            return kind, b"\x01" + write_var_string("1"), 1
        return kind, b"\x01", 1

    def _type(self, form: str) -> bytes:
        dice = self._dice
        ref = dice.choice((3, 3, 6)) if form.startswith("xml") else dice.choice((0, 1, 2, 2))
        if self._wrong(0.2):
            ref = dice.choice((0, 1, 2, 3, 4, 5, 6, 7, 200))
        named = ref in (3, 5)
        return write_var_uint(ref) + (write_var_string(dice.choice(("p", "ul"))) if named else b"")

    def _deletes(self, known: Mapping[int, int]) -> bytes:
        dice = self._dice
        if not self._items and not self._wrong():
            return b"\x00"
        ranges: dict[int, list[tuple[int, int]]] = {}
        for _ in range(dice.choice((1, 1, 2, 4))):
            if not self._items or self._wrong(0.3):
                client = dice.choice(self.clients)
                start = max(0, known.get(client, 0) + dice.choice((-2, 0, 3)))
                ranges.setdefault(client, []).append(
                    (start, dice.choice((0, 1, 5, dice.choice(_HUGE))))
                )
                continue
            item = dice.choice(self._items)
            start = dice.randrange(item.length)
            length = dice.randint(1, item.length - start)
            ranges.setdefault(item.client, []).append((item.clock + start, length))
        out = [write_var_uint(len(ranges))]
        for client, own in ranges.items():
            out += (write_var_uint(client), write_var_uint(len(own)))
            out += [write_var_uint(start) + write_var_uint(length) for start, length in own]
        return b"".join(out)
