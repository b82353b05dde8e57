"""``python -m benchmarks strain``: run cases, print and keep their figures."""

from __future__ import annotations

import datetime
import json
import os
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
@click.option("--as", "column", default="after", show_default=True, help="Keep figures under it.")
@click.option("--keep/--no-keep", default=False, help="Whether to keep the figures.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=CACHE / "data",
    help="Where the server keeps its files; put it on the disk to be measured.",
)
@click.option("--cores", default="0,1", show_default=True, help="The server's and the load's.")
def strain(
    cases: tuple[str, ...], seconds: float, column: str, keep: bool, data: Path, cores: str
) -> None:
    """Measure what innocent clients notice of offenders (all cases, if none is named)."""
    for name in cases:
        if name not in STRAINS:
            raise click.BadParameter(f"{name} is no case; there are {', '.join(STRAINS)}")
    server_core, load_core = (int(core) for core in cores.split(","))
    os.sched_setaffinity(0, {load_core})
    setting = Setting(seconds, 2.0, False, Path(), data.resolve(), (server_core, load_core))
    for name in cases or STRAINS:
        try:
            figures = uvloop.run(_once(STRAINS[name], setting))
        except (ServerFailed, Lost) as error:
            click.echo(f"{name}: {error}", err=True)
            figures = {"failed": str(error).splitlines()[0]}
        click.echo(f"{name}: {show(figures)}")
        if keep:
            _keep(name, column, figures)


async def _once(case: Strain, setting: Setting) -> Figures:
    return await case.run(KINDS["crdtsync"], setting)


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
