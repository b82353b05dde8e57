"""What the tests of history share: histories with authors, and the order that a weave has."""

import base64
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crdtsync.history.weave import Line, Shared, Weave
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import weave_updates
from crdtsync.store.base import Record
from tests.interop.harness import NODE_MODULES, run_node
from tests.needs import require

__all__ = ["LIMITS", "START_MS", "ask", "logged", "order_of", "structs_of"]

LIMITS = trusting(Limits())

START_MS = 1_700_000_000_000

Run = list[int]


def structs_of(updates: Iterable[bytes]) -> bytes:
    """Return everything that updates insert as one update that deletes nothing."""
    data, layout = weave_updates(updates, LIMITS)
    return data[: max((end for _, end, _ in layout.bodies), default=1)] + b"\x00"


def order_of(woven: Weave) -> dict[str, list[Run]]:
    """Return the runs of every list and key, by place."""
    return {
        place: _runs(line)
        for name, root in woven.roots.items()
        for place, line in _lines(name, root)
        if line.first
    }


def _lines(name: str, shared: Shared) -> Iterator[tuple[str, Line]]:
    lines = [(name, shared.items), *((f"{name} {key}", line) for key, line in shared.keys.items())]
    for place, line in lines:
        yield place, line
        for item in line:
            if item.shared is not None:
                yield from _lines(f"{item.client},{item.clock}", item.shared)


def _runs(line: Line) -> list[Run]:
    runs: list[Run] = []
    for item in line:
        if runs and runs[-1][0] == item.client and runs[-1][2] == item.clock:
            runs[-1][2] += item.length
        else:
            runs.append([item.client, item.clock, item.clock + item.length])
    return runs


def ask(script: Path, question: Any, folder: Path) -> Any:
    """Give a Node.js script a question as JSON; return its answer."""
    require(shutil.which("node"), "Node.js is not installed")
    require(NODE_MODULES.is_dir(), "run 'npm ci' in tests/interop")
    path = folder / "question.json"
    path.write_text(json.dumps(question, default=_encoded), "utf-8")
    return json.loads(run_node(script, str(path)))


def _encoded(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


def logged(
    updates: Sequence[bytes], authors: Sequence[str] = ("ada", "ben", "")
) -> tuple[Record, ...]:
    """Return a log of updates: authors in turn, a second apart."""
    return tuple(
        Record("doc", n, START_MS + 1000 * n, authors[n % len(authors)], update)
        for n, update in enumerate(updates, 1)
    )
