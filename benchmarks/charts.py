"""Draw a case's leading figure as bars, in SVG that needs no plotting library."""

from __future__ import annotations

import statistics
from xml.sax.saxutils import escape

from benchmarks.cases.base import Case, Column
from benchmarks.results import Result

_WIDTH = 720
_BAR_LEFT = 160
_BAR_MOST = 420
_ROW = 30
_TOP = 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}"
    ".title{font-weight:600}"
    ".own{fill:#2563eb}.peer{fill:#94a3b8}.spread{stroke:#111;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.spread{stroke:#fff}}"
)


def _bar(column: Column, server: str, values: list[float], row: int, scale: float) -> str:
    top = _TOP + row * _ROW
    middle = statistics.median(values)
    width, low, high = (v * scale for v in (middle, min(values), max(values)))
    kind = "own" if server.startswith("crdtsync") else "peer"
    line = top + 10
    return (
        f'<text x="{_BAR_LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(server)}</text>'
        f'<rect class="{kind}" x="{_BAR_LEFT}" y="{top}" width="{width:.1f}" height="20"/>'
        f'<line class="spread" x1="{_BAR_LEFT + low:.1f}" x2="{_BAR_LEFT + high:.1f}" '
        f'y1="{line}" y2="{line}"/>'
        f'<text x="{_BAR_LEFT + high + 8:.1f}" y="{top + 15}">{column.show(middle)}</text>'
    )


def chart(case: Case, result: Result) -> str:
    """Return an SVG of a case's first column: medians as bars, the spread as a line on them."""
    column = case.columns[0]
    measured = {
        server: [metrics[column.key] for metrics in rounds if column.key in metrics]
        for server, rounds in result.rounds.items()
    }
    shown = {server: values for server, values in measured.items() if values}
    most = max((max(values) for values in shown.values()), default=0)
    scale = _BAR_MOST / most if most > 0 else 0.0
    better = f", {column.better.value} is better" if column.better else ""
    bars = "\n".join(
        _bar(column, server, values, row, scale)
        for row, (server, values) in enumerate(shown.items())
    )
    height = _TOP + _ROW * len(shown) + 8
    title = escape(f"{case.name}: {column.title}{better}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="{title}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<text class="title" x="12" y="24">{title}</text>\n{bars}\n</svg>\n'
    )
