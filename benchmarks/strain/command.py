"""``python -m benchmarks strain``: run cases, print and keep their figures."""

from __future__ import annotations

import datetime
import json
import os
import statistics
from pathlib import Path

import click
import uvloop

from benchmarks import proc
from benchmarks.check import Lost
from benchmarks.edits import CACHE
from benchmarks.load import Setting
from benchmarks.servers import KINDS, ServerFailed
from benchmarks.strain import STRAINS
from benchmarks.strain.report import KEPT, show
from benchmarks.strain.stage import Figures, Strain

__all__ = ["strain"]


@click.command()
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("--seconds", default=8.0, show_default=True, help="Length of each measurement.")
@click.option("--rounds", default=1, show_default=True, help="How often; medians are kept.")
@click.option("--as", "column", default="after", show_default=True, help="Keep figures under it.")
@click.option("--keep/--no-keep", default=False, help="Whether to keep the figures.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=CACHE / "data",
    help="Where the server keeps its files; put it on the disk to be measured.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    default=Path("../shared/traces/automerge-paper.json.gz"),
    show_default=True,
    help="The editing trace of the document with a past.",
)
@click.option("--cores", default="0,1", show_default=True, help="The server's and the load's.")
def strain(
    cases: tuple[str, ...],
    seconds: float,
    rounds: int,
    column: str,
    keep: bool,
    data: Path,
    trace: Path,
    cores: str,
) -> None:
    """Measure what innocent clients notice of offenders (all cases, if none is named)."""
    for name in cases:
        if name not in STRAINS:
            raise click.BadParameter(f"{name} is no case; there are {', '.join(STRAINS)}")
    server_core, load_core = (int(core) for core in cores.split(","))
    os.sched_setaffinity(0, {load_core})
    setting = Setting(
        seconds, 2.0, False, trace.resolve(), data.resolve(), (server_core, load_core)
    )
    for name in cases or STRAINS:
        found: list[Figures] = []
        for _ in range(rounds):
            try:
                found.append(uvloop.run(_once(STRAINS[name], setting)))
            except (ServerFailed, Lost) as error:
                click.echo(f"{name}: {error}", err=True)
                found.append({"failed": str(error).splitlines()[0]})
            click.echo(f"{name}: {show(found[-1])}")
        if keep:
            _keep(name, column, _medians(found))


async def _once(case: Strain, setting: Setting) -> Figures:
    return await case.run(KINDS["crdtsync"], setting)


def _medians(found: list[Figures]) -> Figures:
    """Sum up rounds; of each p99 the least and the most stay, too. A failed one fails them all."""
    for figures in found:
        if len(found) == 1 or "failed" in figures:
            return figures
    medians: Figures = {}
    for key, last in found[-1].items():
        if isinstance(last, str):
            medians[key] = last
            continue
        values = [float(figures[key]) for figures in found]
        medians[key] = statistics.median(values)
        if key.endswith("p99_ms"):
            medians |= {f"{key}_least": min(values), f"{key}_most": max(values)}
    return medians


def _keep(name: str, column: str, figures: dict[str, float | str]) -> None:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"cases": {}}
    kept["machine"] = proc.machine()
    kept["date"] = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    rounded = {
        key: round(value, 2) if isinstance(value, float) else value
        for key, value in figures.items()
    }
    kept["cases"].setdefault(name, {})[column] = rounded
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
