"""What others notice while a large document is indexed: ``python -m benchmarks.indexing``.

One process, no sockets, a store in memory: in one room somebody types, in another one a large
document gets the first edit by somebody whose role has rules about content. A keystroke's time is
from the moment at which it should have been sent until its reader has it.
"""

import asyncio
import gc
import statistics
import sys
import time
from typing import Any

import pycrdt

from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import SyncUpdate, decode_frame, update_frame
from crdtsync.roles import COMMENT
from crdtsync.server.serve import GC_THRESHOLD, SWITCH_INTERVAL_S
from crdtsync.store.memory import MemoryStore
from crdtsync.update import scan

EVERY_S = 0.005
QUIET_S = 3.0
PARAGRAPHS = 50_000
"""About 5 MB."""
TEXT = "a paragraph of some sixty characters, as people write in notes"


class _Link:
    """A socket that notes when frames come."""

    def __init__(self) -> None:
        self.came_s: list[float] = []
        self.closed = ""

    def send(self, frame: bytes) -> None:
        for message in decode_frame(frame):
            if isinstance(message, SyncUpdate):  # of one client; several may be joined
                ((_, _, end),) = scan(message.update, Limits()).ranges
                self.came_s += [time.perf_counter()] * (end - len(self.came_s))

    def close(self, code: int, reason: str) -> None:
        self.closed = reason

    def abort(self) -> None: ...

    def ping(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def _document() -> bytes:
    """Write a fragment of paragraphs with a text each, as Yjs does, but at once."""
    name = write_var_string
    structs: list[bytes] = []
    for number in range(PARAGRAPHS):
        clock = number * (3 + len(TEXT))
        if number:
            above = b"\x87\x01" + write_var_uint(clock - 3 - len(TEXT))  # behind the last one
        else:
            above = b"\x07\x01" + name("body")
        structs.append(above + b"\x03" + name("p"))
        structs.append(b"\x28\x00\x01" + write_var_uint(clock) + name("id") + b"\x01\x7e")
        structs.append(b"\x07\x00\x01" + write_var_uint(clock) + b"\x06")
        structs.append(b"\x04\x00\x01" + write_var_uint(clock + 2) + name(TEXT))
    return b"".join((b"\x01", write_var_uint(len(structs)), b"\x01\x00", *structs, b"\x00"))


def _edit(client: int, root: str) -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    doc.get(root, type=pycrdt.Text).insert(0, "hello")
    return doc.get_update()


def _typed(count: int) -> list[bytes]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=7)
    updates: list[bytes] = []
    text = doc.get("text", type=pycrdt.Text)
    subscription = doc.observe(lambda event: updates.append(event.update))
    for number in range(count):
        text.insert(number, "x")
    doc.unobserve(subscription)
    return [update_frame(each) for each in updates]


def _waits(since: list[float], came: list[float]) -> str:
    times = sorted(1e3 * (there - sent) for sent, there in zip(since, came, strict=True))
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {times[-1]:.1f} ms ({len(times)})"


async def main() -> None:
    """Print what keystrokes took, alone and beside the making of the index."""
    state = _document()
    frames = _typed(20_000)
    async with Hub(MemoryStore(), limits=Limits(commit_interval_s=0.0005)) as hub:
        await hub.edit("large", state)
        reader, room = _Link(), "small"
        writer = hub.connect(_Link(), room, Principal())
        hub.connect(reader, room, Principal())
        guests = _Link()
        guest = hub.connect(guests, "large", Principal(role=COMMENT))
        hub.connect(observer := _Link(), "large", Principal())
        async with hub.open("large") as large:
            large.state()  # it has been there for a while
            await asyncio.sleep(1.0)
            due: list[float] = []
            next_s = start_s = time.perf_counter()
            asked_s = done_s = 0.0
            while not done_s or time.perf_counter() < done_s + 0.2:
                next_s += EVERY_S
                await asyncio.sleep(max(0.0, next_s - time.perf_counter()))
                due.append(next_s)
                writer.receive(frames[len(due) - 1])
                if not asked_s and next_s > start_s + QUIET_S:
                    asked_s = next_s
                    guest.receive(update_frame(_edit(9, "chat")))
                if observer.came_s and not done_s:
                    done_s = observer.came_s[0]
            await asyncio.sleep(0.5)  # for the last ones to come
            quiet = sum(each < asked_s for each in due)
            busy = sum(each < done_s for each in due)
            print(f"{len(state) / 1e6:.2f} MB; the edit by rules took {done_s - asked_s:.2f} s")
            print("alone:      ", _waits(due[:quiet], reader.came_s[:quiet]))
            print("meanwhile:  ", _waits(due[quiet:busy], reader.came_s[quiet:busy]))
            index = large.judge.index
            assert index is not None
            print(f"index: {index.runs:,} entries, {index.size_bytes / 1e3:.1f} kB")


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # as the server does
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    gc.freeze()
    asyncio.run(main())
