"""Coverage-guided fuzzing with atheris: bytes that reach new code are kept and changed further.

Owns the targets, one function of bytes each. Nothing here calls pycrdt: it runs in one process,
where the death of that process would be the end. Each target may raise ``RemoteError`` and
nothing else; what is read is written again and read to the same.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from crdtsync.awareness import AwarenessTable, encode_entries, read_entries
from crdtsync.document import Document, Verdict
from crdtsync.errors import RemoteError
from crdtsync.joining import join_updates
from crdtsync.keystroke import Typist
from crdtsync.limits import Limits, trusting
from crdtsync.protocol import SyncStep2, SyncUpdate, decode_frame, short_update, update_frame
from crdtsync.session import Session, UpdateReceived
from crdtsync.slicing import slice_update
from crdtsync.structs import SKIP
from crdtsync.update import scan
from fuzz.recorded import histories

__all__ = ["TARGETS", "cover"]

LIMITS: Final = Limits(max_held_updates=20, max_awareness_clients=50)
_UNLIMITED: Final = trusting(LIMITS)
MOST_BYTES: Final = 4096


def read_update(data: bytes) -> None:
    """Read an update both ways; cut it, join it, and read what comes of that."""
    if data[:1] == b"\x01" and len(data) > 3:
        typist = Typist(data[2])
        typed = typist.read(data)
    else:
        typed = None
    found = scan(data, LIMITS, structs=True)
    plain = scan(data, LIMITS)
    for name in ("ranges", "bodies", "deletes", "skips", "needs", "roots", "types"):
        assert getattr(plain, name) == getattr(found, name), name
        if typed is not None:
            assert getattr(typed, name) == getattr(found, name), name
    joined = join_updates([(data, plain)])
    assert joined is not None
    clocks = {client: 1 for client, _, _ in found.ranges}
    slices = slice_update(data, found, clocks, max_bytes=16)
    known = dict(clocks)
    for piece in slices.ready:
        part = scan(piece, _UNLIMITED)
        assert not part.skips, "a piece holds a Skip"
        for client, start, end in part.ranges:
            assert start <= known.get(client, 0), "a piece leaves a gap"
            known[client] = max(end, known.get(client, 0))
        for client, end in part.needs.items():
            assert end <= known.get(client, 0), "a piece refers to nowhere"
    if slices.rest is not None:
        scan(slices.rest, _UNLIMITED)
        assert slices.waits_for is not None


def read_frame(data: bytes) -> None:
    """Read a frame; a short update is the same either way."""
    messages = decode_frame(data)
    short = short_update(data)
    if short is not None:
        assert messages == [SyncUpdate(short)]
    for message in messages:
        if isinstance(message, SyncUpdate | SyncStep2):
            assert decode_frame(update_frame(message.update)) == [SyncUpdate(message.update)]


def read_awareness(data: bytes) -> None:
    """Read awareness; write it, read it again, and take it into a table."""
    entries = read_entries(data, LIMITS)
    assert read_entries(encode_entries(entries), LIMITS) == entries
    table = AwarenessTable(LIMITS)
    for owner in ("a", "b"):
        table.apply(entries, owner)
    assert len(table) <= LIMITS.max_awareness_clients
    table.leave("a")
    table.leave("b")
    assert not len(table)


def converse(data: bytes) -> None:
    """Read frames of two connections, with a length byte each, into one document."""
    document = Document(LIMITS)
    document.loaded()
    sessions = [Session(LIMITS), Session(LIMITS)]
    known: dict[int, int] = {}
    position = 0
    while position + 1 < len(data):
        size = data[position]
        frame = data[position + 1 : position + 1 + size]
        try:
            for event in sessions[size & 1].receive(frame, structs=document.detailed):
                if isinstance(event, UpdateReceived):
                    _admit(document, event, known)
        except RemoteError:
            sessions[size & 1] = Session(LIMITS)
        position += 1 + size


def _admit(document: Document, event: UpdateReceived, known: dict[int, int]) -> None:
    """Let an update in; what goes on its way leaves no gap and refers to nothing unknown."""
    verdict = document.admit(event.update, event.scan)
    admitted = [event.update] if verdict is Verdict.NEW else []
    admitted += [piece for piece, _, _ in document.take_ready()]
    for update in admitted:
        found = scan(update, _UNLIMITED, structs=True)
        assert all(struct.kind != SKIP for struct in found.structs or ()), "a Skip was let in"
        for client, start, end in found.ranges:
            assert start == known.get(client, 0), "a gap or an overlap was let in"
            known[client] = end
        for client, end in found.needs.items():
            assert end <= known.get(client, 0), "a reference to nowhere was let in"
        for client, _, end in found.deletes:
            assert end <= known.get(client, 0), "a deletion of nothing was let in"
    assert document.clocks == known


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "update": read_update,
    "frame": read_frame,
    "awareness": read_awareness,
    "session": converse,
}


def seeds(target: str) -> list[bytes]:
    """Return sound input to begin with."""
    updates = [update for history in histories() for update in history[:8] if len(update) < 200]
    if target == "update":
        return updates
    frames = [update_frame(update) for update in updates]
    if target == "session":
        short = [frame for frame in frames if len(frame) < 256]
        return [
            b"".join(bytes((len(frame),)) + frame for frame in short[at : at + 4])
            for at in range(0, len(short), 4)
        ]
    return (
        frames if target == "frame" else [b"\x01\x01\x01\x02{}", b"\x00", b"\x01\x05\x02\x04null"]
    )


def cover(target: str, seconds: int) -> int:
    """Fuzz a target in a process of its own; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="crdtsync-cover-") as folder:
        for number, seed in enumerate(seeds(target)):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        command = [sys.executable, "-m", "fuzz.covering", target, folder]
        limits = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", "-timeout=2"]
        findings = Path(__file__).parent / "findings"
        findings.mkdir(exist_ok=True)
        limits += ["-rss_limit_mb=1024", f"-artifact_prefix={findings}/{target}-"]
        return subprocess.run([*command, *limits], check=False).returncode
