"""Log lines on stderr: text for people, or one JSON object per line for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from crdtsync.cli.output import printable
from crdtsync.config import LogFormat, LogLevel

__all__ = ["JsonFormatter", "TextFormatter", "configure_logging"]

_STANDARD: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": "", "asctime": ""}
)


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send all logging to stderr; other packages' from ``warning`` on only.

    Replaces what an earlier call set up.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("crdtsync").setLevel(number)
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO crdtsync.hub: message key=value``, always one line.

    Only a traceback adds lines: what a client sent can't forge a log line.
    """

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {key}={_text(value)}" for key, value in _extras(record).items())
        line = (
            f"{_time(record)} {record.levelname} {record.name}: "
            f"{printable(record.getMessage())}{extras}"
        )
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(logging.Formatter):
    """One object with ``time``, ``level``, ``logger``, ``message`` and the record's extras."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _extras(record).items():
            fields.setdefault(key, value)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _text(value: object) -> str:
    text = printable(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or " " in text else text


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
