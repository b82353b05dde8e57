"""Run the benchmarks: ``python -m benchmarks setup``, then ``run``, then ``report``."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import uvloop

from benchmarks import proc
from benchmarks.cases import CASES
from benchmarks.cases.base import Case, Metrics
from benchmarks.check import Lost
from benchmarks.edits import CACHE
from benchmarks.load import Setting
from benchmarks.report import write
from benchmarks.results import RESULTS, Result, table, verdicts
from benchmarks.servers import KINDS, OWN_PYTHON, PEERS, Kind, ServerFailed
from benchmarks.strain import STRAINS
from benchmarks.strain.command import strain
from benchmarks.strain.report import write_strain


@click.group()
def main() -> None:
    """Measure crdtsync against its peers."""


@main.command()
def setup() -> None:
    """Install the peers at their pinned versions, inside benchmarks/peers."""
    npm = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
    subprocess.run(npm, cwd=PEERS, check=True)
    made = ["uv", "venv", "--quiet", "--clear", "--python", OWN_PYTHON, ".venv"]
    subprocess.run(made, cwd=PEERS, check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", ".venv/bin/python"]
    subprocess.run([*install, "--requirements", "requirements.txt"], cwd=PEERS, check=True)


def _pick(names: str | None, allowed: dict[str, object], what: str) -> list[str] | None:
    if names is None:
        return None
    picked = names.split(",")
    for name in picked:
        if name not in allowed:
            raise click.BadParameter(f"{name} is no {what}; there are {', '.join(allowed)}")
    return picked


async def _once(case: Case, kind: Kind, setting: Setting) -> Metrics:
    return await case.run(kind, setting)


def _describe(servers: list[str]) -> dict[str, str]:
    try:
        return {name: KINDS[name].describe() for name in servers}
    except (ServerFailed, OSError) as error:
        raise click.ClickException(f"{error}: has `python -m benchmarks setup` run?") from error


def _interpreter() -> str:
    """Return what chose the interpreter, as a command line begins with it."""
    chosen = os.environ.get("BENCHMARKS_PYTHON")
    return f"BENCHMARKS_PYTHON={shlex.quote(chosen)} " if chosen else ""


def _measure(case: Case, servers: list[str], rounds: int, setting: Setting) -> Result:
    """Run the rounds of a case, every server once in each round, in turns."""
    now = datetime.datetime.now(datetime.UTC)
    result = Result(
        case.name,
        f"{_interpreter()}python -m benchmarks {shlex.join(sys.argv[1:])}",
        f"{now:%Y-%m-%d}",
        proc.machine(),
        setting.seconds,
        _describe(servers),
    )
    leading = case.columns[0]
    for number in range(rounds):
        for name in servers:
            try:
                metrics = uvloop.run(_once(case, KINDS[name], setting))
            except (ServerFailed, Lost) as error:
                result.failures.setdefault(name, []).append(str(error))
                result.rounds.setdefault(name, []).append({})
                click.echo(f"{case.name} {number + 1}/{rounds} {name}: {error}", err=True)
                continue
            result.rounds.setdefault(name, []).append(dict(metrics))
            figure = leading.show(metrics[leading.key])
            click.echo(f"{case.name} {number + 1}/{rounds} {name}: {figure} {leading.title}")
    return result


@main.command()
@click.argument("cases", nargs=-1, metavar="[CASE]...")
@click.option("--peers", help="Servers, comma separated, in place of the case's own.")
@click.option("--rounds", default=3, show_default=True, help="How often each server runs.")
@click.option("--seconds", default=5.0, show_default=True, help="Length of a measurement.")
@click.option("--warm-up", default=2.0, show_default=True, help="Seconds of load before it.")
@click.option("--window", type=int, help="Edits in flight per writer, in place of the case's own.")
@click.option("--quick", is_flag=True, help="One short round.")
@click.option(
    "--keep/--no-keep",
    default=None,
    help="Whether the results replace the kept ones. By default, unless --quick or --peers.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    default=Path("../shared/traces/automerge-paper.json.gz"),
    show_default=True,
    help="The editing trace to replay.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=CACHE / "data",
    help="Where servers keep their files; put it on the disk to be measured.",
)
@click.option("--cores", default="0,1", show_default=True, help="The server's and the load's.")
def run(
    cases: tuple[str, ...],
    peers: str | None,
    rounds: int,
    seconds: float,
    warm_up: float,
    window: int | None,
    quick: bool,
    keep: bool | None,
    trace: Path,
    data: Path,
    cores: str,
) -> None:
    """Run cases (all, if none is named) and print their tables."""
    server_core, load_core = (int(core) for core in cores.split(","))
    os.sched_setaffinity(0, {load_core})
    if quick:
        rounds, seconds, warm_up = 1, 2.0, 1.0
    setting = Setting(
        seconds, warm_up, quick, trace.resolve(), data.resolve(), (server_core, load_core), window
    )
    picked = _pick(peers, dict(KINDS), "server")
    for name in _pick(",".join(cases) or None, dict(CASES), "case") or list(CASES):
        case = CASES[name]
        result = _measure(case, picked or list(case.servers), rounds, setting)
        if keep if keep is not None else not (quick or picked):
            result.save(RESULTS)
        click.echo(f"\n### {name}\n\n{case.what}\n\n{table(case, result)}\n")
        click.echo(f"{verdicts(case, result)}\n" if case.targets else "")


main.add_command(strain)


@main.command()
def report() -> None:
    """Write docs/benchmarks.md and the charts from the kept results."""
    click.echo(f"reported: {', '.join(write(RESULTS))}")
    write_strain({name: each.what for name, each in STRAINS.items()})


if __name__ == "__main__":
    main()
