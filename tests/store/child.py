"""What a test has another process do with a store: ``python -m tests.store.child``."""

import resource
import signal
import sys
from pathlib import Path

import anyio

from crdtsync.errors import StoreError
from tests.store.kit import Maker, point, rec, recs


def say(text: object) -> None:
    """Print a line for the test to read, now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def hold(make: Maker) -> None:
    """Own the store until killed."""
    async with make() as store:
        await store.append(recs("d", 1, 3))
        say("ready")
        await anyio.to_thread.run_sync(sys.stdin.read)


async def write(make: Maker, first: int) -> None:
    """Append batches of three documents, and print each one's sequence once it is committed."""
    async with make(durability="fsync") as store:
        sequence = first
        while True:
            await store.append([rec(name, sequence) for name in ("a", "b", "c")])
            say(sequence)
            if sequence % 50 == 0:
                await store.checkpoint(point("b", sequence - 10))
            sequence += 1


async def fill(make: Maker, limit: int) -> None:
    """Append until no file may grow any more; then load."""
    async with make() as store:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        stored = 0
        try:
            while True:
                await store.append([rec("d", stored + 1, update=bytes(5000))])
                stored += 1
        except StoreError as error:
            say(f"{stored} {type(error).__name__}")
        assert len((await store.load("d")).records) == stored
        say("loaded")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def main() -> None:
    """Do what the command line says."""
    kind, folder, work, *arguments = sys.argv[1:]
    make = Maker(kind, Path(folder))
    match work:
        case "hold":
            anyio.run(hold, make)
        case "write":
            anyio.run(write, make, int(arguments[0]))
        case "fill":
            anyio.run(fill, make, int(arguments[0]))


if __name__ == "__main__":
    main()
