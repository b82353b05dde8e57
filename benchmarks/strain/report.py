"""Fill docs/load.md with the kept figures of ``python -m benchmarks strain``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["KEPT", "show", "write_strain"]

_BENCHMARKS = Path(__file__).parent.parent
KEPT = _BENCHMARKS / "results" / "strain.json"
PAGE = _BENCHMARKS.parent / "docs" / "load.md"
_BUSY_PER_CENT = 15
_STAGES = ("before", "after")
PAST_NAMES = ("history-read", "history-restore", "history-fold", "history-off")
"""What has a table of its own: version history at work."""


def show(figures: Mapping[str, float | str]) -> str:
    """Return figures on one line."""
    return ", ".join(
        f"{key} {value:,.1f}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )


def _number(figures: Mapping[str, Any], key: str, decimals: int = 0) -> str:
    value = figures.get(key)
    return "" if value is None else f"{float(value):,.{decimals}f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(name: str, stage: str, figures: Mapping[str, Any]) -> str:
    if "failed" in figures:
        return _row([name, stage, str(figures["failed"]), "", "", "", "", ""])
    return _row(
        [
            name,
            stage,
            _number(figures, "others_alone_p99_ms"),
            _number(figures, "others_p99_ms"),
            _number(figures, "room_p99_ms"),
            _number(figures, "growth_mb"),
            _number(figures, "server_cpu"),
            str(figures.get("offender", "")),
        ]
    )


def _table(cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    head = [
        "case",
        "",
        "p99 ms alone",
        "p99 ms elsewhere",
        "p99 ms in the room",
        "memory MB",
        "server CPU %",
        "the offender",
    ]
    lines = [_row(head), _row(["---", "---", *("---:" for _ in range(5)), "---"])]
    for name, stages in cases.items():
        if name == "giant" or name in PAST_NAMES:
            continue
        compared = "before" in stages
        lines += [
            _cells(name, stage if compared else "", stages[stage])
            for stage in _STAGES
            if stage in stages
        ]
    return "\n".join(lines)


def _giant(stages: Mapping[str, Mapping[str, Any]]) -> str:
    phases = ("bring", "edit", "join", "settle", "rejoin", "load")
    head = ["", *(f"{phase}: s / max ms" for phase in phases), "p99 ms of all", "memory MB"]
    lines = [_row(head), _row(["---", *("---:" for _ in head[1:])])]
    for stage in _STAGES:
        figures = stages.get(stage)
        if figures is None:
            continue
        if "failed" in figures:
            lines.append(_row([stage, str(figures["failed"]), *("" for _ in head[2:])]))
            continue
        cells = [
            f"{_number(figures, f'{phase}_s', 1)} / {_number(figures, f'others_{phase}_max_ms')}"
            for phase in phases
        ]
        ends = [_number(figures, "others_p99_ms"), _number(figures, "growth_mb")]
        lines.append(_row([stage, *cells, *ends]))
    return "\n".join(lines)


def _range(figures: Mapping[str, Any], key: str) -> str:
    """Return a figure, with the least and the most of several rounds where there were any."""
    if f"{key}_most" not in figures:
        return _number(figures, key, 1)
    least, most = _number(figures, f"{key}_least", 1), _number(figures, f"{key}_most", 1)
    return f"{_number(figures, key, 1)} ({least} to {most})"


def _past(cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    keys = ("others_alone_p50_ms", "others_alone_p99_ms", "others_p50_ms", "others_p99_ms")
    head = ["case", "p50 ms alone", "p99 ms alone", "p50 ms", "p99 ms", "most ms", "memory MB"]
    head += ["server CPU %", "other work %", "what was done"]
    lines = [_row(head), _row(["---", *("---:" for _ in head[2:]), "---"])]
    for name in (each for each in PAST_NAMES if each in cases):
        figures = cases[name]["after"]
        if "failed" in figures:
            lines.append(_row([name, *("" for _ in head[2:]), str(figures["failed"])]))
            continue
        cells = [_range(figures, key) for key in keys]
        more = ("others_max_ms", "growth_mb", "server_cpu", "others_cpu")
        cells += [_number(figures, key) for key in more]
        lines.append(_row([name, *cells, str(figures["offender"])]))
    return "\n".join(lines)


def _noise(cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Say so where other work on the machine makes the figures worse than they are."""
    most = max(
        (
            float(figures.get("others_cpu", 0))
            for name, stages in cases.items()
            for figures in stages.values()
            if name not in PAST_NAMES
        ),
        default=0,
    )
    if most < _BUSY_PER_CENT:
        return ""
    return (
        f"\n\nThe machine had other work meanwhile, up to {most:.0f} % of a core, in some rows "
        "more than in others (see *alone*): waits and rates are worse than on a quiet one."
    )


def write_strain(described: Mapping[str, str]) -> None:
    """Rewrite the page's tables from the kept figures; ``described`` says what each case is."""
    kept = json.loads(KEPT.read_text())
    order = [name for name in described if name in kept["cases"]]
    cases = {name: kept["cases"][name] for name in order}
    machine = ", ".join(f"{key} {value}" for key, value in kept["machine"].items())
    listed = "\n".join(f"- **{name}**: {described[name]}" for name in order)
    text = PAGE.read_text()
    for mark, body in (
        ("cases", listed),
        ("figures", f"{_table(cases)}\n\n{kept['date']}, {machine}.{_noise(cases)}"),
        ("giant", _giant(cases.get("giant", {}))),
        ("past", _past(cases)),
    ):
        before, _, rest = text.partition(f"<!-- {mark} -->")
        _, _, after = rest.partition(f"<!-- /{mark} -->")
        text = f"{before}<!-- {mark} -->\n{body}\n<!-- /{mark} -->{after}"
    PAGE.write_text(text)
