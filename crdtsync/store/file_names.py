"""File names for document names: none leaves the folder, and no two share a file anywhere.

Kept as they are: ``a-z 0-9 _ -`` and a dot that is not the first. Every other byte of the
name's UTF-8 becomes ``%xx``, capitals too, because some file systems take ``A`` for ``a``. The
first letter of a name that Windows keeps for a device is written as ``%xx`` too. A result that
is too long is cut, and ends with ``~`` and a hash of the whole name.
"""

import re
from hashlib import blake2b
from urllib.parse import unquote_to_bytes

__all__ = ["SUFFIX", "file_name", "name_of"]

SUFFIX = ".crdt"

MAX_STEM_BYTES = 128
"""With the suffix and the ``.tmp`` of a file being written below 143, the lowest limit of a
file system in common use (eCryptfs); most take 255."""

_CUT_STEM_BYTES = 80
_HASH_BYTES = 20

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_WRITTEN = {byte: f"%{byte:02x}" for byte in range(256) if byte not in _PLAIN}
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def file_name(document: str) -> str:
    """Return the name of the file that holds a document."""
    raw = document.encode()
    stem = raw.decode("latin-1").translate(_WRITTEN)
    if stem.startswith(".") or _DEVICES.match(stem):
        stem = f"%{ord(stem[0]):02x}{stem[1:]}"
    if len(stem) > MAX_STEM_BYTES:
        digest = blake2b(raw, digest_size=_HASH_BYTES).hexdigest()
        stem = f"{stem[:_CUT_STEM_BYTES]}~{digest}"
    return stem + SUFFIX


def name_of(file: str) -> str | None:
    """Return the document that a file name stands for.

    ``None`` where only the file's header can say, and for files that are none of ours.
    """
    stem = file.removesuffix(SUFFIX)
    if stem == file or "~" in stem:
        return None
    try:
        document = unquote_to_bytes(stem).decode()
    except ValueError:  # not UTF-8
        return None
    return document if file_name(document) == file else None
