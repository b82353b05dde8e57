"""The programs of ``docs/chat.md`` and ``docs/presence.md`` run, and print what the pages say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .checking import complaints
from .kit import TIMEOUT_S, environment, page

PROGRAM = re.compile(r"^```python\n(.*?)^```$\n\n^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["chat", "presence"])
def test_the_program(name: str, tmp_path: Path) -> None:
    """It is whole and typed, ends, and prints exactly what stands below it."""
    ((program, expected),) = PROGRAM.findall(page(f"docs/{name}.md"))
    (tmp_path / "program.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected
    assert complaints(tmp_path) == ""
