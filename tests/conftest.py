"""How many processes the tests run in, where those keep what Python has compiled, and patience.

Properties have no deadline: other processes take their time, too.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

WORKERS = 4
"""More than a small machine has cores: much of a test's time is waiting."""

BYTECODE = Path(__file__).parents[1] / ".pytest_cache" / "bytecode"


def keep_bytecode() -> None:
    """Where no bytecode may be written beside the sources, keep it in the tests' own cache.

    Tests start hundreds of processes, and without any each of them compiles all its modules anew,
    which takes longer than what the test is about.
    """
    if sys.dont_write_bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(BYTECODE)
        sys.dont_write_bytecode = False


keep_bytecode()
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run whole folders in several processes, and what is named or picked out in this one.

    It takes each process some seconds to find all tests, which one file is not worth.
    """
    picked = any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf"))
    if picked or not all(os.path.isdir(path) for path in config.args):
        return 0
    return max(WORKERS, os.cpu_count() or 1)
