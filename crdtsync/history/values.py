"""What items hold, as JSON's kinds: the values of arrays and maps, embeds, formats.

Owns the reading of contents; the update reader only walks over them. The kinds are those of a
document's export: bytes become base64 text, what JSON has no word for (undefined, infinities,
subdocuments) null, whole floats integers. Source: lib0, ``decoding.js`` (``readAny``); Yjs,
``structs/Content*.js``.
"""

import base64
import json
import math
import struct
from typing import Any, Final

from crdtsync.encoding import read_var_bytes, read_var_string, read_var_uint
from crdtsync.slicing import content_offset
from crdtsync.structs import ANY, BINARY, EMBED, Struct

__all__ = ["plain", "read_any", "read_format", "read_values", "same"]

_CONSTANTS: Final[dict[int, Any]] = {127: None, 126: None, 121: False, 120: True}
_INTEGER, _FLOAT32, _FLOAT64, _BIGINT = 125, 124, 123, 122
_STRING, _OBJECT, _ARRAY = 119, 118, 117
_MAX_EXACT: Final = 1 << 53


def read_values(data: bytes, item: Struct) -> list[Any]:
    """Return what a struct holds, one value for each clock; not for text and shared types."""
    position = content_offset(data, item)
    if item.kind == ANY:
        values: list[Any] = []
        count, position = read_var_uint(data, position)
        for _ in range(count):
            value, position = read_any(data, position)
            values.append(value)
        return values
    if item.kind == BINARY:
        return [base64.b64encode(read_var_bytes(data, position)[0]).decode()]
    if item.kind == EMBED:
        return [plain(json.loads(read_var_string(data, position)[0]))]
    return [None] * item.length


def read_format(data: bytes, item: Struct) -> tuple[str, Any]:
    """Return a mark's key and value; null ends what an earlier one began."""
    key, position = read_var_string(data, content_offset(data, item))
    return key, plain(json.loads(read_var_string(data, position)[0]))


def read_any(data: bytes, position: int) -> tuple[Any, int]:
    """Read one lib0 "any" value that has been checked; return what follows it, too."""
    tag = data[position]
    position += 1
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], position
    if tag == _STRING:
        return read_var_string(data, position)
    if tag == _INTEGER:
        return _read_integer(data, position)
    if tag == _FLOAT64:
        return plain(struct.unpack_from(">d", data, position)[0]), position + 8
    if tag == _FLOAT32:
        return plain(struct.unpack_from(">f", data, position)[0]), position + 4
    if tag == _BIGINT:
        return int.from_bytes(data[position : position + 8], "big", signed=True), position + 8
    if tag == _ARRAY:
        count, position = read_var_uint(data, position)
        values: list[Any] = []
        for _ in range(count):
            value, position = read_any(data, position)
            values.append(value)
        return values, position
    if tag == _OBJECT:
        count, position = read_var_uint(data, position)
        found: dict[str, Any] = {}
        for _ in range(count):
            key, position = read_var_string(data, position)
            found[key], position = read_any(data, position)
        return found, position
    raw, position = read_var_bytes(data, position)
    return base64.b64encode(raw).decode(), position


def _read_integer(data: bytes, position: int) -> tuple[int, int]:
    """Read lib0's signed integer: six bits and the sign first, then seven bits a byte."""
    byte = data[position]
    position += 1
    value, negative, shift = byte & 0x3F, byte & 0x40, 6
    while byte & 0x80:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (-value if negative else value), position


def plain(value: Any) -> Any:
    """Turn what a JSON reader or a float brings into what the export has for it."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < _MAX_EXACT else value
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON; ``True`` is not 1 there."""
    if one is other:
        return True
    if one != other:
        return False
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
