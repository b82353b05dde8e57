"""One conversation's whole examination: played in one process, judged by two others.

Owns the three children and what counts as a finding. A finding says what is wrong and holds the
conversation that shows it.
"""

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from crdtsync.recursion import RECURSION_LIMIT
from fuzz.child import Child, ChildDied
from fuzz.judge import Judge
from fuzz.recorder import make_flight, read_flight
from fuzz.script import Action, dump

__all__ = ["Examiner", "Finding", "Totals", "signature"]

HANG_S: Final = 10.0
"""An action that takes so long is ended; one that takes over a second of CPU is found anyway."""
MOST_BYTES: Final = 1 << 30
"""What the playing process may occupy."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    problem: str
    seed: int
    script: str
    """The conversation as text; empty where only the seed says it."""


@dataclass(slots=True)
class Totals:
    """What has happened so far."""

    conversations: int = 0
    messages: int = 0
    committed: int = 0
    held: int = 0
    duplicates: int = 0
    documents: int = 0
    """Documents compared."""
    verbatim: int = 0
    """Of these, those that pycrdt does not get."""
    misplaced: int = 0
    """Of these, those that differ because some item lies about its place."""
    integration_errors: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, played: dict[str, Any]) -> None:
        """Add one conversation."""
        self.conversations += 1
        self.messages += played["messages"]
        self.committed += played["committed"]
        self.held += played["held"]
        self.duplicates += played["duplicates"]
        self.integration_errors += played["integration_errors"]
        self.refused.update(played["refused"])


class Examiner:
    """The children, and the questions to them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="crdtsync-fuzz-")
        self._flight = Path(self._folder.name) / "flight"
        make_flight(self._flight)
        self._worker = Child(
            sys.executable, "-m", "fuzz.worker", str(self._flight), watch=self._watch
        )
        self._judge = Judge()
        self._recursion = sys.getrecursionlimit()
        self.totals = Totals()

    def __enter__(self) -> Self:
        # Values are as deep as the limits allow.
        sys.setrecursionlimit(max(self._recursion, RECURSION_LIMIT))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.setrecursionlimit(self._recursion)
        self._worker.close()
        self._judge.close()
        self._folder.cleanup()

    def _watch(self, process: int) -> str:
        since_s = read_flight(self._flight, head=True).since_s
        if since_s and time.monotonic() - since_s > HANG_S:
            return f"it hangs: no end within {HANG_S:.0f} s"
        try:
            size = psutil.Process(process).memory_info().rss
        except psutil.Error:
            return ""
        return f"it grows to {size >> 20} MiB" if size > MOST_BYTES else ""

    def play(self, seeds: Sequence[int]) -> tuple[list[tuple[int, dict[str, Any]]], list[Finding]]:
        """Play conversations; return what came of those that ended well, and the others."""
        ended: list[tuple[int, dict[str, Any]]] = []
        findings: list[Finding] = []
        left = list(seeds)
        while left:
            died = ""
            try:
                answers = self._worker.ask([{"seed": seed} for seed in left])
            except ChildDied as error:
                answers, died = error.answers, str(error)
            for seed, played in zip(left, answers, strict=False):
                self.totals.add(played)
                if played["broken"]:
                    findings.append(Finding(played["broken"], seed, played["script"]))
                else:
                    ended.append((seed, played))
            left = left[len(answers) :]
            if died:
                findings.append(Finding(died, left[0], read_flight(self._flight).text))
                left = left[1:]
        return ended, findings

    def judge(self, documents: Sequence[tuple[int, dict[str, Any]]]) -> list[Finding]:
        """Compare what came of conversations."""
        self.totals.documents += len(documents)
        self.totals.verbatim += sum(1 for _, played in documents if played["verbatim"])
        problems = self._judge.problems([played for _, played in documents])
        self.totals.misplaced = self._judge.misplaced
        return [
            Finding(problem, seed, "")
            for (seed, _), problem in zip(documents, problems, strict=True)
            if problem
        ]

    def examine(self, actions: Sequence[Action]) -> str:
        """Say what is wrong with one conversation; nothing where all is well."""
        try:
            (played,) = self._worker.ask([{"script": dump(actions)}])
        except ChildDied as error:
            return str(error)
        return str(played["broken"]) or self._judge.problems([played])[0]

    def script(self, seed: int) -> str:
        """Return the conversation that a seed makes."""
        try:
            self._worker.ask([{"seed": seed}])
        except ChildDied:
            pass  # the recorder has it
        return read_flight(self._flight).text


def signature(problem: str) -> str:
    """Return what two problems have in common that have one cause, most likely."""
    return re.sub(r"\d+", "", problem)[:24]
