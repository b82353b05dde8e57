"""Fill docs/benchmarks.md with the tables of the last results, and README.md with their sum."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.charts import chart
from benchmarks.results import Result, table, verdict_rows, verdicts

REPORT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
README = REPORT.parent.parent / "README.md"
_BUSY_PER_CENT = 15


def _replace(text: str, name: str, body: str) -> str:
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (found and ended):
        raise ValueError(f"the page has no {opening} ... {closing}")
    return f"{before}{opening}\n{body}\n{closing}{after}"


def _summary(results: dict[str, Result]) -> str:
    lines = ["| case | target | measured | met |", "| --- | --- | ---: | --- |"]
    for name, result in results.items():
        lines += [f"| {name} {row}" for row in verdict_rows(CASES[name], result)]
    return "\n".join(lines)


def _versions(results: dict[str, Result]) -> str:
    described: dict[str, str] = {}
    for result in results.values():
        described.update(result.servers)
    return "\n".join(f"- {name}: {what}" for name, what in described.items())


def _noise(result: Result) -> str:
    found = [result.median(server, "others_cpu") or 0.0 for server in result.rounds]
    if max(found, default=0.0) < _BUSY_PER_CENT:
        return ""
    return (
        f"The machine had other work meanwhile, up to {max(found):.0f} % of a core: rates and "
        "latencies suffer from it, figures per CPU second hardly."
    )


def _section(name: str, result: Result) -> str:
    case = CASES[name]
    machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    parts = [
        f"### {name}",
        case.what,
        f"![{name}](../benchmarks/results/{name}.svg)",
        table(case, result),
        verdicts(case, result),
        _noise(result),
        f"`{result.command}`, {result.date}, {machine}.",
    ]
    failures = [
        f"- {server}: {len(why)} of the rounds gave no figures: {why[0].splitlines()[0]}"
        for server, why in result.failures.items()
    ]
    return "\n\n".join(part for part in [*parts, "\n".join(failures)] if part)


def _readme(results: dict[str, Result]) -> str:
    rows = _summary(results)
    return (
        "Measured side by side on one shared two-core machine, each server on one core, crdtsync\n"
        "with every edit fsynced before it is visible, the others in memory. What each case is,\n"
        "the peers' figures and how to repeat it: [docs/benchmarks.md](docs/benchmarks.md).\n\n"
        f"{rows}"
    )


def write(folder: Path) -> list[str]:
    """Rewrite the report and the charts from the results in a folder; return the cases found."""
    results = {
        name: Result.load(folder / f"{name}.json")
        for name in CASES
        if (folder / f"{name}.json").exists()
    }
    for name, result in results.items():
        (folder / f"{name}.svg").write_text(chart(CASES[name], result))
    text = REPORT.read_text()
    text = _replace(text, "summary", _summary(results))
    text = _replace(text, "versions", _versions(results))
    sections = "\n\n".join(_section(name, result) for name, result in results.items())
    REPORT.write_text(_replace(text, "results", sections))
    readme = _readme(results)
    README.write_text(_replace(README.read_text(), "benchmarks", readme))
    return list(results)
