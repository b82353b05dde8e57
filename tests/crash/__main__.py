"""Kill servers for as long as wanted: ``python -m tests.crash --rounds 1000 --seed 1``."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from tests.crash.life import Tally, lives
from tests.crash.nursery import Nursery
from tests.crash.steps import Kind


def main() -> int:
    """Run; return 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--rounds", type=int, default=1000, help="kills per store")
    parser.add_argument("--seed", type=int, default=1, help="of the first life; each has the next")
    parser.add_argument("--store", choices=get_args(Kind), help="this one alone")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # writing to who is gone is the point
    given = parser.parse_args()
    kinds: tuple[Kind, ...] = (given.store,) if given.store else get_args(Kind)
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    failures = 0
    for kind in kinds:
        started = time.monotonic()
        tally = Tally()
        with Nursery(folder / f"output-{kind}") as nursery:
            lost = asyncio.run(lives(kind, given.rounds, given.seed, folder, nursery, tally))
        for error in lost:
            sys.stdout.write(f"LOST: {error}\n")
        failures += len(lost)
        sys.stdout.write(
            f"{kind}: {tally.rounds} rounds in {time.monotonic() - started:.0f} s, "
            f"{tally.edits} edits looked for, {tally.checks} checks, {len(lost)} failed\n"
        )
        for name, count in sorted(tally.kills.items()):
            sys.stdout.write(f"  {count:5} {name}\n")
    if not failures:
        shutil.rmtree(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
