"""Chat and presence under load: ``python -m benchmarks.channels CASE [PART]...``."""

import importlib
import sys
from typing import Final

CASES: Final = {"presence": "benchmarks.presence", "chat": "benchmarks.chat"}
"""By name, the module that has the case: its ``main`` runs it."""

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in CASES:
        sys.exit(f"usage: python -m benchmarks.channels {'|'.join(CASES)} [PART]...")
    importlib.import_module(CASES[sys.argv[1]]).main()
