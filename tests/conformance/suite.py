"""The Autobahn test suite: where it is installed, and one run of its fuzzing client.

It runs under CPython 2.7 alone, in a process of its own, from a folder in the cache.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

__all__ = ["VERSION", "SuiteFailed", "find_python", "install", "run"]

VERSION: Final = "25.10.1"
CACHE: Final = Path(__file__).parent / ".cache"
RUN_TIMEOUT_S: Final = 3600.0
_AGENT: Final = "crdtsync"
_PING: Final = "import autobahntestsuite.wstest"
_WSTEST: Final = "from autobahntestsuite.wstest import run; run()"


class SuiteFailed(Exception):
    """The suite can't be installed or did not come to its end."""


def find_python() -> str:
    """Return the path of a CPython 2.7, from the PATH or pyenv; raise ``SuiteFailed``."""
    found = shutil.which("python2.7")
    # pyenv's shim is on the PATH even where its 2.7 is not the chosen version.
    candidates = [found] if found else []
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(root.glob("versions/2.7*/bin/python2.7"))]
    for path in candidates:
        done = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
        )
        if done.returncode == 0 and done.stdout.strip() == "(2, 7)":
            return path
    raise SuiteFailed("the suite needs CPython 2.7: install it, for example with pyenv")


def install(python: str, log: Callable[[str], None]) -> Path:
    """Return the folder with the suite, which is installed first where it is not there."""
    folder = CACHE / f"autobahntestsuite-{VERSION}"
    if _works(python, folder):
        return folder
    log(f"installing autobahntestsuite {VERSION} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), f"autobahntestsuite=={VERSION}"]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise SuiteFailed("the suite could not be installed")
    # A namespace package, which Python 2 does not see without this.
    (folder / "zope" / "__init__.py").touch()
    if not _works(python, folder):
        raise SuiteFailed(f"the suite in {folder} does not start: remove it and try again")
    return folder


def _works(python: str, folder: Path) -> bool:
    command = [python, "-c", _PING]
    return subprocess.run(command, env=_environment(folder), capture_output=True).returncode == 0


def _environment(folder: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    return {**environment, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _prepare(spec: Path, text: str, index: Path) -> None:
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(text, "utf-8")
    index.unlink(missing_ok=True)


async def run(python: str, folder: Path, *, url: str, cases: Sequence[str], out: Path) -> Path:
    """Run cases against a server; return the path of the suite's index of results.

    The suite's own HTML report, with the bytes of every case, is in ``out`` afterwards.
    """
    index, spec, output = out / "index.json", out / "spec.json", out / "wstest.log"
    servers = [{"agent": _AGENT, "url": url}]
    text = json.dumps(
        {
            "outdir": str(out),
            "servers": servers,
            "cases": [*cases],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
    )
    _prepare(spec, text, index)
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(python, "-u", "-c", _WSTEST, "-m", "fuzzingclient", "-s", str(spec)),
            env=_environment(folder),
            stdout=file,
            stderr=file,
        )
        try:
            await asyncio.wait_for(process.wait(), RUN_TIMEOUT_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode or not index.exists():
        raise SuiteFailed(f"the suite failed: see {output}")
    return index
