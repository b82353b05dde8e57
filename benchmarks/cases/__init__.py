"""All cases, by name."""

from benchmarks.cases.base import Case
from benchmarks.cases.kill import KILL
from benchmarks.cases.memory import MEMORY
from benchmarks.cases.saturated import DOCUMENTS, FANOUT, RELAY, ROOM, WINDOWS
from benchmarks.cases.trace import JOIN, REPLAY
from benchmarks.cases.typing import TYPING

_ALL = (FANOUT, DOCUMENTS, ROOM, TYPING, REPLAY, JOIN, RELAY, MEMORY, KILL, WINDOWS)
CASES: dict[str, Case] = {case.name: case for case in _ALL}
