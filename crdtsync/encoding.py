"""The lib0 primitives that the Yjs protocols are made of, read strictly and written.

Owns variable-length integers and length-prefixed bytes and strings. Every read is bounded: a
varint of at most eight bytes and 53 bits, in its one shortest form, a length no longer than
what is there. Functions come in pairs, take a buffer with a position, and return the value
with the next position.

Truncated input raises ``IndexError`` from a subscript, or ``ValueError``: the callers, which
know what they are reading, turn both into one typed error. Source: lib0, ``decoding.js``.
"""

__all__ = [
    "MAX_SAFE_INTEGER",
    "read_var_bytes",
    "read_var_string",
    "read_var_uint",
    "utf16_length",
    "write_var_bytes",
    "write_var_string",
    "write_var_uint",
]

MAX_SAFE_INTEGER = (1 << 53) - 1
"""The largest integer that JavaScript holds exactly; client ids and clocks end here."""

_LAST_SHIFT = 49  # the eighth byte of a varint


def read_var_uint(data: bytes, position: int) -> tuple[int, int]:
    """Read an unsigned integer: seven bits a byte, the lowest first, the top bit says "more"."""
    value = data[position]
    position += 1
    if value < 0x80:
        return value, position
    value &= 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > _LAST_SHIFT:
            raise ValueError("an integer is longer than eight bytes")
    if not byte:
        raise ValueError("an integer is longer than it has to be")
    if value > MAX_SAFE_INTEGER:
        raise ValueError("an integer is above 2^53-1")
    return value, position


def write_var_uint(value: int) -> bytes:
    """Write an unsigned integer of at most 53 bits."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_var_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """Read a length and that many bytes."""
    length, position = read_var_uint(data, position)
    end = position + length
    if end > len(data):
        raise ValueError("a length reaches beyond the end")
    return data[position:end], end


def write_var_bytes(value: bytes) -> bytes:
    """Write the number of bytes, then the bytes."""
    return write_var_uint(len(value)) + value


def read_var_string(data: bytes, position: int) -> tuple[str, int]:
    """Read a length in bytes and that many bytes of UTF-8."""
    raw, position = read_var_bytes(data, position)
    return raw.decode(), position  # UnicodeDecodeError is a ValueError


def write_var_string(value: str) -> bytes:
    """Write a string as UTF-8 behind its length *in bytes*."""
    return write_var_bytes(value.encode())


def utf16_length(text: str) -> int:
    """Count UTF-16 code units, the unit of Yjs text positions and clocks."""
    return (
        len(text) + sum(1 for char in text if char > "\uffff") if not text.isascii() else len(text)
    )
