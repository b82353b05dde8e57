"""Keep what was measured: JSON files of rounds, and markdown tables made from them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cases.base import Better, Case, Column, Target

RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Result:
    """All rounds of one case."""

    case: str
    command: str
    date: str
    machine: dict[str, str]
    seconds: float
    servers: dict[str, str]
    """What each server was: versions and options."""
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Per server, the figures of each round; none where the round failed."""
    failures: dict[str, list[str]] = field(default_factory=dict)
    """Per server, why a round gave no figures."""

    def save(self, folder: Path) -> Path:
        """Write the result as JSON and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.case}.json"
        partial = path.with_suffix(".json.tmp")
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n")
        partial.rename(path)
        return path

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a result back."""
        return cls(**json.loads(path.read_text()))

    def median(self, server: str, key: str) -> float | None:
        """Return the median over the rounds, or None where there is none."""
        values = [metrics[key] for metrics in self.rounds.get(server, []) if key in metrics]
        return statistics.median(values) if values else None


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(column: Column, values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = column.show(statistics.median(values))
    if column.better is None or len(values) == 1:
        return middle
    return f"**{middle}** ({column.show(min(values))} to {column.show(max(values))})"


def table(case: Case, result: Result) -> str:
    """Return a markdown table: one row a server, median (min to max) of the rounds."""
    head = ["server", "rounds", *(column.title for column in case.columns)]
    lines = [_row(head), _row(["---", *("---:" for _ in head[1:])])]
    for server in result.servers:
        rounds = [metrics for metrics in result.rounds.get(server, []) if metrics]
        if not rounds:
            reason = (result.failures.get(server) or ["not run"])[0].splitlines()[0]
            lines.append(_row([server, "0", reason, *("" for _ in case.columns[1:])]))
            continue
        cells = [
            _cell(column, [metrics[column.key] for metrics in rounds if column.key in metrics])
            for column in case.columns
        ]
        lines.append(_row([server, str(len(rounds)), *cells]))
    return "\n".join(lines)


def _paired(result: Result, target: Target) -> float | None:
    """Return the median over the rounds of the ratio, or difference, that a target is about."""
    own = result.rounds.get(target.subject, [])
    if target.peer is None:
        return result.median(target.subject, target.key)
    pairs = [
        (mine[target.key], theirs[target.key])
        for mine, theirs in zip(own, result.rounds.get(target.peer, []), strict=False)
        if target.key in mine and target.key in theirs
    ]
    if not pairs:
        return None
    if target.difference:
        return statistics.median(mine - theirs for mine, theirs in pairs)
    return statistics.median(mine / theirs for mine, theirs in pairs)


def verdict_rows(case: Case, result: Result) -> list[str]:
    """Return one markdown row for each target of a case: the claim, the figure, whether met."""
    titles = {column.key: column.title for column in case.columns}
    rows = []
    for target in case.targets:
        bound = "at least" if target.better is Better.HIGHER else "at most"
        unit = "" if target.peer is None or target.difference else "x"
        against = f" of {target.peer}'s" if unit else ""
        if target.difference:
            against = f" above {target.peer}'s"
        claim = f"{titles[target.key]}: {bound} {target.limit:g}{unit}{against}"
        value = _paired(result, target)
        if value is None:
            rows.append(_row([claim, "not measured", ""]))
            continue
        met = value >= target.limit if target.better is Better.HIGHER else value <= target.limit
        rows.append(_row([claim, f"{value:.2f}{unit}", "yes" if met else "**no**"]))
    return rows


def verdicts(case: Case, result: Result) -> str:
    """Return a markdown table that judges each target of a case."""
    head = [_row(["target", "measured", "met"]), _row(["---", "---:", "---"])]
    return "\n".join([*head, *verdict_rows(case, result)]) if case.targets else ""
