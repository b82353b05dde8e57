"""``python -m tests.simulation --seeds 0..1000``, or ``--seed 7 --story``."""

import argparse
import os
import sys
import time

if os.environ.get("PYTHONHASHSEED") != "0":
    # Sets are walked in the same order each time then, also those of the libraries.
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])

from tests.simulation.story import play, told
from tests.simulation.world import Failure


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play seeds; the exit code says whether all were clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", help="a range, FIRST..LAST, without the last")
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--story", action="store_true", help="print what happens")
    parser.add_argument("--store", choices=["memory", "file", "sqlite"], help="use this store")
    parser.add_argument("--keep-going", action="store_true", help="don't stop at a failure")
    options = parser.parse_args()
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    else:
        first, _, last = (options.seeds or "0..1000").partition("..")
        seeds = range(int(first), int(last))
    failed: list[int] = []
    started = time.perf_counter()
    for done, seed in enumerate(seeds, 1):
        try:
            world = play(seed, store=options.store)
        except Failure as failure:
            failed.append(seed)
            if options.story or not options.keep_going:
                _say("\n".join(failure.__notes__))
            _say(f"seed {seed} FAILED: {str(failure)[:300]}")
            if not options.keep_going:
                break
        else:
            if options.story:
                _say("\n".join(told(world)))
        if done % 100 == 0:
            _say(f"{done} seeds, {time.perf_counter() - started:.0f} s")
    seconds = time.perf_counter() - started
    _say(f"{done} seeds in {seconds:.1f} s, {len(failed)} failed {failed[:20]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
