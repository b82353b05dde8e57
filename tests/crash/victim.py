"""The process that is killed: the command line of crdtsync, with a plan for its end.

``python -m tests.crash.victim PLAN ARGUMENT...``, or a fork of the nursery. The plan says at which
step the process dies, which constants are smaller than in life, and what is broken on purpose.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.crash.changes import CHANGES
from tests.crash.steps import Step, arm, record

__all__ = ["SMALL", "Plan", "run"]

SMALL: Mapping[str, int] = {
    "crdtsync.store.sqlite_tail:SETTLE_ROWS": 60,
    "crdtsync.store.sqlite_tail:SETTLE_DOCUMENTS": 2,
    "crdtsync.store.file_log:JOURNAL_BYTES": 12 * 1024,
}
"""What happens every some thousand commits in life, and every some dozens here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done to the process before it runs the command line."""

    step: Step | None = None
    tune: Mapping[str, int] = field(default_factory=dict)
    """Values for constants, by ``module:NAME``."""
    changes: tuple[str, ...] = ()
    """What is broken or added on purpose, by its name in ``changes``."""
    record: str = ""
    """A file that every step is written to."""

    def to_json(self) -> str:
        """Return the plan as ``from_json`` reads it."""
        step = self.step.to_json() if self.step else None
        return json.dumps(
            {
                "step": step,
                "tune": dict(self.tune),
                "changes": self.changes,
                "record": self.record,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read a plan."""
        found: dict[str, Any] = json.loads(text)
        step = found.pop("step")
        return cls(step=Step(**step) if step else None, **found)

    def apply(self) -> None:
        """Make this process follow the plan."""
        for name, value in self.tune.items():
            module, _, constant = name.partition(":")
            owner = importlib.import_module(module)
            assert isinstance(getattr(owner, constant), int), name
            setattr(owner, constant, value)
        for name in self.changes:
            CHANGES[name]()
        if self.record:
            record(self.record)
        if self.step is not None:
            arm(self.step)


def run(plan: Plan, arguments: list[str]) -> None:
    """Be ``crdtsync ARGUMENT...`` from here on; a server without a supervisor, which dies alone."""
    plan.apply()
    if arguments[:1] == ["serve"]:
        arguments = [*arguments, "--no-supervise"]
    from crdtsync.cli import main

    sys.argv = ["crdtsync", *arguments]
    main()


if __name__ == "__main__":
    run(Plan.from_json(sys.argv[1]), sys.argv[2:])
