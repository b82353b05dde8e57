"""The process in which conversations are played: it may die, and somebody watches.

One request a line on standard input, ``{"seed": N}`` or ``{"script": TEXT}``; one answer a line,
a ``Played``. What it is doing is in the flight recorder's file, its one argument.
"""

import json
import logging
import sys
from pathlib import Path

from crdtsync.recursion import RECURSION_LIMIT
from fuzz.play import play, play_seed
from fuzz.recorder import Recorder
from fuzz.script import parse

__all__ = ["main"]


def main() -> None:
    """Answer until standard input ends."""
    sys.setrecursionlimit(RECURSION_LIMIT)
    logging.getLogger("crdtsync").setLevel(logging.CRITICAL)
    recorder = Recorder(Path(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        if "seed" in request:
            played = play_seed(request["seed"], recorder)
        else:
            played = play(parse(request["script"]), recorder)
        recorder.rest()
        answer = played.as_json()
        if played.broken:
            answer["script"] = recorder.text
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
