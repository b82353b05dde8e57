"""Log lines: text that can't be forged, JSON that can be parsed."""

import json
import logging
import sys

import pytest

from crdtsync.cli.logs import JsonFormatter, TextFormatter, configure_logging


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("crdtsync.hub").makeRecord(
        "crdtsync.hub", logging.INFO, __file__, 1, message, args, None, extra=extra
    )
    made.created = 1_700_000_000.5
    return made


def test_text_line() -> None:
    """A text line has UTC time, level, logger, message and the record's extras."""
    line = TextFormatter().format(record("opened %s", "a/b", clients=3, why="first one"))
    assert line == (
        '2023-11-14T22:13:20.500Z INFO crdtsync.hub: opened a/b clients=3 why="first one"'
    )


def test_text_line_stays_one_line() -> None:
    """A name with line breaks and escapes can't make a second line or colour the terminal."""
    line = TextFormatter().format(record("opened %s", "a\n2023 ERROR x\x1b[31m", peer="b\nc"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith("opened a\\n2023 ERROR x\\x1b[31m peer=b\\nc")


def test_json_line() -> None:
    """A JSON line is one object, extras included, that never replaces the standard fields."""
    line = JsonFormatter().format(record("opened %s", "a\nb", level="forged", peer=b"x"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "crdtsync.hub",
        "message": "opened a\nb",
        "peer": "b'x'",
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_traceback(formatter: logging.Formatter) -> None:
    """An exception's traceback is part of the entry."""
    failed = record("failed")
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        failed.exc_info = sys.exc_info()
    assert "ZeroDivisionError: why" in formatter.format(failed)


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """The level is crdtsync's own; other packages speak from ``warning`` on."""
    root, own = logging.getLogger(), logging.getLogger("crdtsync")
    before = (root.handlers[:], root.level, own.level)
    try:
        configure_logging("debug", "json")
        logging.getLogger("crdtsync.hub").debug("shown")
        logging.getLogger("other").info("hidden")
        logging.getLogger("other").warning("also shown")
        configure_logging("error", "json")
        logging.getLogger("crdtsync.hub").warning("hidden")
        logging.getLogger("other").warning("hidden")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
        logging.captureWarnings(False)
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["shown", "also shown"]
