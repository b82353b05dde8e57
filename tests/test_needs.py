"""Nothing is skipped in CI."""

import ast
from pathlib import Path

import pytest

from tests.needs import program, require

TESTS = Path(__file__).parent


def test_what_is_there_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything is there, a test goes on, in CI and elsewhere."""
    for value in ("true", ""):
        monkeypatch.setenv("CI", value)
        require(True, "is there")
        assert program("sh").endswith("/sh")


def test_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI, a missing part fails the test that needs it, and is named."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^a part is missing, and this is CI$"):
        require(None, "a part is missing")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        program("no-such-program")


@pytest.mark.parametrize("value", [None, ""])
def test_elsewhere_it_is_skipped(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Elsewhere, a missing part skips the test, and is named."""
    monkeypatch.delenv("CI", raising=False) if value is None else monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match=r"^a part is missing$"):
        require(False, "a part is missing")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        program("no-such-program")


def test_nobody_skips_in_another_way() -> None:
    """No test skips by itself; what is left out by platform says which one."""
    for path in TESTS.rglob("*.py"):
        if path.name == "needs.py" or {"node_modules", ".cache"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="skip" | "importorskip" | "xfail")):
                    assert path == Path(__file__), f"{path}:{node.lineno}"
                case ast.Call(func=ast.Attribute(attr="skipif"), args=[condition, *_]):
                    assert "sys.platform" in ast.unparse(condition), f"{path}:{node.lineno}"
