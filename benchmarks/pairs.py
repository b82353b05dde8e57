"""Two variants of crdtsync in turns: ``python -m benchmarks.pairs CASE BEFORE AFTER``.

A variant is a source tree with options for its command line, such as ``". --chat '*'"``. Each
round runs both, the other one first each time; what counts are the rounds' ratios.
"""

import dataclasses
import os
import shlex
import statistics
from collections.abc import Mapping
from pathlib import Path

import click
import uvloop

from benchmarks.cases import CASES
from benchmarks.cases.base import Case, Metrics
from benchmarks.edits import CACHE
from benchmarks.load import Setting
from benchmarks.servers import KINDS, Kind

__all__ = ["ratios", "variant"]


def variant(spec: str) -> Kind:
    """Return how to run a tree with some options."""
    tree, *options = shlex.split(spec)
    kind, path = KINDS["crdtsync"], Path(tree).resolve()
    if not (path / "crdtsync").is_dir():
        raise click.BadParameter(f"{path} is no source tree")

    def command(port: int, data: Path) -> list[str]:
        return [*kind.command(port, data), *options]

    def environment(_port: int, _data: Path) -> Mapping[str, str]:
        return {"PYTHONPATH": str(path)}

    return dataclasses.replace(kind, command=command, environment=environment)


def ratios(before: list[Metrics], after: list[Metrics], key: str) -> list[float]:
    """Return a figure of each round, after by before."""
    return sorted(b[key] / a[key] for a, b in zip(before, after, strict=True) if a[key])


async def _once(case: Case, kind: Kind, setting: Setting) -> Metrics:
    return await case.run(kind, setting)


def _show(case: Case, before: list[Metrics], after: list[Metrics]) -> str:
    lines = ["| figure | before | after | ratio (least to most) |", "| --- | ---: | ---: | ---: |"]
    for column in case.columns:
        first, second = (
            column.show(statistics.median(each[column.key] for each in own))
            for own in (before, after)
        )
        if found := ratios(before, after, column.key):
            ratio = f"{statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f})"
            lines.append(f"| {column.title} | {first} | {second} | {ratio} |")
    return "\n".join(lines)


@click.command()
@click.argument("name", metavar="CASE", type=click.Choice(list(CASES)))
@click.argument("before")
@click.argument("after")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Length of a measurement.")
@click.option("--cores", default="0,1", show_default=True, help="The server's and the load's.")
def main(name: str, before: str, after: str, rounds: int, seconds: float, cores: str) -> None:
    """Measure two variants against one another."""
    server_core, load_core = (int(core) for core in cores.split(","))
    os.sched_setaffinity(0, {load_core})
    setting = Setting(seconds, 2.0, False, Path(), CACHE / "data", (server_core, load_core))
    kinds = (variant(before), variant(after))
    found: tuple[list[Metrics], list[Metrics]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            found[which].append(uvloop.run(_once(CASES[name], kinds[which], setting)))
        click.echo(f"{number + 1} of {rounds} rounds", err=True)
    click.echo(_show(CASES[name], *found))


if __name__ == "__main__":
    main()
