"""What some tests need that Python does not bring along: programs, npm packages, recordings."""

import os
import shutil

import pytest

__all__ = ["program", "require"]

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
"""Daemons are where an ordinary user's shell does not look."""


def require(available: object, what: str) -> None:
    """Skip where something is missing, and say what; in CI, where it has to be there, fail."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and this is CI", pytrace=False)
    pytest.skip(what)


def program(name: str) -> str:
    """Return a program's path, or skip, or fail in CI."""
    found = shutil.which(name, path=PATH)
    require(found, f"{name} is not installed")
    assert found is not None
    return found
