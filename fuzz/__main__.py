"""The commands: ``python -m fuzz run | replay | cover``."""

import sys
from pathlib import Path

import click

from fuzz.run import replay as replay_file
from fuzz.run import run as run_many

__all__ = ["main"]


@click.group()
def main() -> None:
    """Attack crdtsync, and see that it stands."""


@main.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same run.")
@click.option("--seconds", type=float, help="Stop after so long.")
@click.option("--messages", type=int, help="Stop after so many messages.")
@click.option("--shorten/--as-found", default=True, help="Make findings small first.")
def run(seed: int, seconds: float | None, messages: int | None, shorten: bool) -> None:
    """Play made-up conversations, and let Yjs and pycrdt judge what came of them."""
    if seconds is None and messages is None:
        seconds = 60.0
    _, findings = run_many(
        seed, seconds=seconds, messages=messages, say=click.echo, shorten=shorten
    )
    sys.exit(bool(findings))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def replay(files: tuple[Path, ...]) -> None:
    """Play conversations from files, such as findings."""
    well = [replay_file(path, click.echo) for path in files]
    sys.exit(not all(well))


@main.command()
@click.argument("target")
@click.option("--seconds", default=60, show_default=True)
def cover(target: str, seconds: int) -> None:
    """Let atheris look for input that reaches new code: update, frame, awareness, session."""
    from fuzz.cover import cover as run_cover

    sys.exit(run_cover(target, seconds))


if __name__ == "__main__":
    main(prog_name="python -m fuzz")
