"""What a run of the suite came to: counts per group, kept as JSON and shown as a table."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["COLUMNS", "GROUPS", "PAGE", "RESULTS", "Summary", "kept", "refresh", "rendered"]

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
COLUMNS: Final = ("passed", "non-strict", "informational", "unimplemented", "failed")
GROUPS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits: messages up to 16 MB, a thousand in a row",
    "10": "automatic fragmentation",
    "12": "compression: payloads",
    "13": "compression: parameters",
}
_COLUMN: Final = {
    "OK": "passed",
    "NON-STRICT": "non-strict",
    "INFORMATIONAL": "informational",
    "UNIMPLEMENTED": "unimplemented",
}


def _column(case: Mapping[str, Any]) -> str:
    # An unclean close, a wrong code or a socket that the client had to close count as failures.
    if case["behavior"] == "UNIMPLEMENTED" or case["behaviorClose"] in ("OK", "INFORMATIONAL"):
        return _COLUMN.get(case["behavior"], "failed")
    return "failed"


def _order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run: what was tested, and how many cases of each group came to what."""

    server: dict[str, str]
    """Transport, loop, TLS, versions, limits: what the figures are about."""
    command: str
    date: str
    groups: dict[str, dict[str, int]]
    """By group: the number of cases by column."""
    seconds: dict[str, float]
    """By group: how long its cases took."""
    others: dict[str, dict[str, list[str]]]
    """By column other than ``passed``, by group: the cases."""

    @classmethod
    def of(cls, index: Path, *, server: dict[str, str], command: str, date: str) -> "Summary":
        """Read the suite's index of results."""
        (cases,) = json.loads(index.read_text("utf-8")).values()
        groups: dict[str, dict[str, int]] = {}
        milliseconds: dict[str, int] = {}
        others: dict[str, dict[str, list[str]]] = {}
        for name in sorted(cases, key=_order):
            group, column = name.partition(".")[0], _column(cases[name])
            counts = groups.setdefault(group, dict.fromkeys(COLUMNS, 0))
            counts[column] += 1
            milliseconds[group] = milliseconds.get(group, 0) + cases[name]["duration"]
            if column != "passed":
                others.setdefault(column, {}).setdefault(group, []).append(name)
        seconds = {group: round(value / 1000, 1) for group, value in milliseconds.items()}
        return cls(
            server=server,
            command=command,
            date=date,
            groups=groups,
            seconds=seconds,
            others=others,
        )

    def total(self, column: str) -> int:
        """Return the number of cases of a column."""
        return sum(counts[column] for counts in self.groups.values())

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table: headings, a row per group, the sum."""
        body = [
            (
                f"{group} {GROUPS.get(group, '')}".strip(),
                *(str(counts[column]) for column in COLUMNS),
                f"{self.seconds[group]:.1f}",
            )
            for group, counts in self.groups.items()
        ]
        sums = (str(self.total(column)) for column in COLUMNS)
        return [
            ("Group", *COLUMNS, "seconds"),
            *body,
            ("all", *sums, f"{sum(self.seconds.values()):.1f}"),
        ]

    def markdown(self) -> str:
        """Return the table and what it is about, as Markdown."""
        head, *body = self.rows()
        lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in body]
        lines.append("")
        for column, groups in self.others.items():
            if column != "unimplemented":
                cases = ", ".join(case for each in groups.values() for case in each)
                lines.append(f"- {column}: {cases}")
        about = ", ".join(f"{key} {value}" for key, value in self.server.items())
        lines.append(f"- `{self.command}`, {self.date}: {about}")
        return "\n".join(lines)

    def write(self, folder: Path, name: str) -> None:
        """Keep it as JSON and as Markdown."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, "utf-8")
        (folder / f"{name}.md").write_text(self.markdown() + "\n", "utf-8")


def kept() -> dict[str, Summary]:
    """Return the summaries that are kept beside this module, by name."""
    return {
        path.stem: Summary(**json.loads(path.read_text("utf-8")))
        for path in sorted(RESULTS.glob("*.json"))
    }


def rendered(page: str) -> str:
    """Return the page with the kept summaries in their places."""
    for name, summary in kept().items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = page.partition(opening)
        _, ended, after = rest.partition(closing)
        if not (found and ended):
            raise ValueError(f"the page has no {opening} ... {closing}")
        page = f"{before}{opening}\n{summary.markdown()}\n{closing}{after}"
    return page


def refresh() -> None:
    """Fill docs/conformance.md."""
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
