"""A worker's process: calls functions that it is told, in nobody's way.

``python -m crdtsync.history.working QUESTIONS ANSWERS``, two open files. A message is a pickle: a
function with its arguments one way, whether it returned and what the other. It is written into
its file, and a byte on standard input, or output, says that it is there: through a pipe megabytes
would go in small pieces, for each of which both sides wait for a core. The process ends at once
when its standard input does, whatever it is doing.
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
from crdtsync.history.saying import Said

__all__ = ["NICENESS", "Mail", "answer"]

NICENESS: Final = 10
"""On a busy machine the server goes first."""


class Mail:
    """Messages one way: each is read before the next one is written."""

    def __init__(self, file: int, bell: IO[bytes]) -> None:
        self._file = file
        """Open in both processes, which share where they are in it."""
        self._bell = bell

    def send(self, value: object) -> None:
        """Write one message. Where it can't be pickled it is as if there were none.

        What is large in it is not copied on the way: whoever shares the interpreter would wait.
        """
        os.lseek(self._file, 0, os.SEEK_SET)
        with open(self._file, "wb", closefd=False) as target:
            pickle.dump(value, target, pickle.HIGHEST_PROTOCOL)
        self._bell.write(b"\n")
        self._bell.flush()

    def receive(self) -> Any:
        """Wait for one message, and return it. Raises ``EOFError`` where the other side is gone."""
        if not self._bell.read(1):
            raise EOFError
        os.lseek(self._file, 0, os.SEEK_SET)
        with open(self._file, "rb", closefd=False) as source:
            value = pickle.load(source)
        os.ftruncate(self._file, 0)
        return value


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
    questions = Mail(int(sys.argv[1]), sys.stdin.buffer)
    answers = Mail(int(sys.argv[2]), sys.stdout.buffer)
    sys.stdout = sys.stderr
    said = Said()

    def listen() -> None:
        while True:
            try:
                inbox.put(said.lengthen(questions.receive()))
            except BaseException:  # noqa: BLE001 - whatever it is, nobody asks any more
                os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        call, *args = inbox.get()
        found = answer(call, tuple(args))
        try:
            answers.send(found)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            answers.send((False, RuntimeError(f"{type(error).__name__}: {error}")))
        del found, call, args
        gc.collect(0)  # what is left of it in circles; nobody waits for that


if __name__ == "__main__":
    _main()
