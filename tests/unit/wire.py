"""Updates written byte by byte, for what no library would write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crdtsync.encoding import write_var_bytes, write_var_string, write_var_uint

__all__ = [
    "Deletes",
    "any_",
    "binary",
    "block",
    "deleted",
    "doc",
    "embed",
    "format_",
    "gc",
    "item",
    "one",
    "skip",
    "string",
    "type_",
    "update",
]

Id = tuple[int, int]
Deletes = Iterable[tuple[int, int, int]]
NULL = b"\x7e"


@dataclass(frozen=True)
class Content:
    """A struct's content: its kind's number and its bytes."""

    kind: int
    raw: bytes


def string(text: str) -> Content:
    return Content(4, write_var_string(text))


def any_(*values: bytes) -> Content:
    return Content(8, write_var_uint(len(values)) + b"".join(values))


def type_(ref: int, name: str | None = None) -> Content:
    return Content(7, write_var_uint(ref) + (write_var_string(name) if name is not None else b""))


def deleted(length: int) -> Content:
    return Content(1, write_var_uint(length))


def binary(raw: bytes) -> Content:
    return Content(3, write_var_bytes(raw))


def embed(json: str) -> Content:
    return Content(5, write_var_string(json))


def format_(key: str, json: str) -> Content:
    return Content(6, write_var_string(key) + write_var_string(json))


def doc(guid: str, options: bytes = b"\x76\x00") -> Content:
    return Content(9, write_var_string(guid) + options)


def item(
    content: Content | str,
    *,
    origin: Id | None = None,
    right: Id | None = None,
    parent: Id | str = "text",
    key: str | None = None,
) -> bytes:
    """Write an item; a plain string is string content."""
    content = string(content) if isinstance(content, str) else content
    info = content.kind
    out = b""
    for bit, reference in ((0x80, origin), (0x40, right)):
        if reference is not None:
            info |= bit
            out += write_var_uint(reference[0]) + write_var_uint(reference[1])
    if key is not None:
        info |= 0x20
    if origin is None and right is None:
        if isinstance(parent, str):
            out += b"\x01" + write_var_string(parent)
        else:
            out += b"\x00" + write_var_uint(parent[0]) + write_var_uint(parent[1])
        if key is not None:
            out += write_var_string(key)
    return bytes((info,)) + out + content.raw


def gc(length: int) -> bytes:
    return b"\x00" + write_var_uint(length)


def skip(length: int) -> bytes:
    return b"\x0a" + write_var_uint(length)


def block(client: int, clock: int, *structs: bytes) -> bytes:
    """Write one client's structs."""
    head = (len(structs), client, clock)
    return b"".join(map(write_var_uint, head)) + b"".join(structs)


def update(*blocks: bytes, deletes: Deletes = ()) -> bytes:
    """Write an update of whole blocks; ``deletes`` are ``(client, clock, end)``."""
    return write_var_uint(len(blocks)) + b"".join(blocks) + _deletes(deletes)


def one(
    client: int, clock: int, content: Content | str, *, deletes: Deletes = (), **place: object
) -> bytes:
    """Write an update of a single item."""
    return update(block(client, clock, item(content, **place)), deletes=deletes)  # type: ignore[arg-type]


def _deletes(deletes: Deletes) -> bytes:
    clients: dict[int, list[tuple[int, int]]] = {}
    for client, clock, end in deletes:
        clients.setdefault(client, []).append((clock, end - clock))
    out = write_var_uint(len(clients))
    for client, ranges in clients.items():
        out += write_var_uint(client) + write_var_uint(len(ranges))
        for pair in ranges:
            out += b"".join(map(write_var_uint, pair))
    return out


def state_vector(*clocks: Id) -> bytes:
    """Write a state vector."""
    flat: Sequence[int] = [number for pair in clocks for number in pair]
    return write_var_uint(len(clocks)) + b"".join(map(write_var_uint, flat))
