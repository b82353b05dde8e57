"""A worker's process: calls functions that it is told on standard input, in nobody's way.

``python -m crdtsync.history.working``. A message is a pickle: a function with its arguments one
way, whether it returned and what the other. The process ends at once when its standard input
does, whatever it is doing.
"""

import contextlib
import gc
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, Final

from crdtsync.history.lately import remember

__all__ = ["NICENESS", "answer", "read_message", "write_message"]

NICENESS: Final = 10
"""On a busy machine the server goes first."""


def write_message(stream: IO[bytes], value: object) -> None:
    """Write one message, or nothing of it where it can't be pickled.

    What is large in it is not copied on the way: whoever shares the interpreter would wait.
    """
    parts = _Parts()
    pickle.dump(value, parts, pickle.HIGHEST_PROTOCOL)
    for part in parts:
        stream.write(part)
    stream.flush()


class _Parts(list[bytes]):
    """What a pickler writes, as it comes."""

    write = list[bytes].append


def read_message(stream: IO[bytes]) -> Any:
    """Read one message. Raises ``EOFError`` where the other side is gone."""
    try:
        return pickle.load(stream)
    except pickle.UnpicklingError as error:
        raise EOFError from error


def answer(call: Callable[..., object], args: tuple[object, ...]) -> tuple[bool, object]:
    """Call a function; return whether it returned, and what, or what it raised."""
    try:
        return True, call(*args)
    except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
        return False, error


def _main() -> None:
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    gc.disable()
    remember()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr

    def listen() -> None:
        while True:
            try:
                inbox.put(read_message(source))
            except BaseException:  # noqa: BLE001 - whatever it is, nobody asks any more
                os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        call, *args = inbox.get()
        found = answer(call, tuple(args))
        try:
            write_message(target, found)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            write_message(target, (False, RuntimeError(f"{type(error).__name__}: {error}")))
        del found, call, args
        gc.collect(0)  # what is left of it in circles; nobody waits for that


if __name__ == "__main__":
    _main()
