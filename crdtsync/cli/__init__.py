"""The command line: ``crdtsync serve``, ``documents``, ``check`` and ``config``.

Each verb is a thin shell around a function that Python callers have too: parse, call, print.
Owns the exit codes (0 done, 1 it failed or there is no such document, 2 the operator has to
mend something, 130 interrupted) and how errors look: one line on stderr, no traceback.
"""

from crdtsync.cli.app import cli, main

__all__ = ["cli", "main"]
