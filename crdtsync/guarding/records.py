"""Suspects and quarantined documents, in a folder beside the store.

``suspects.json`` holds the deaths that were counted; the one process that has the store writes
it. ``quarantined/`` holds one file per quarantined document, so that taking it away is one
step: that releases the document, also beside a running server.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crdtsync.errors import OperatorError
from crdtsync.guard import Death, Quarantined, Work

__all__ = ["MAX_SUSPECTS", "SUSPICION_S", "Records"]

log = logging.getLogger("crdtsync.guard")

SUSPICION_S: Final = 24 * 3600.0
"""A death counts for so long."""
MAX_SUSPECTS: Final = 1000
"""Documents of which a death is remembered; the latest."""


class Records:
    """The records in one folder, which need not be there."""

    def __init__(self, folder: Path) -> None:
        self._suspects = folder / "suspects.json"
        self._folder = folder / "quarantined"

    # Suspects

    def suspects(self, now_ms: int) -> dict[str, tuple[Death, ...]]:
        """Return the deaths that still count, by document."""
        try:
            found = json.loads(self._suspects.read_bytes())
            deaths = {str(name): tuple(map(_death, each)) for name, each in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("deaths that were counted are forgotten: %s: %s", self._suspects, error)
            return {}
        since = now_ms - SUSPICION_S * 1000
        recent = {
            name: tuple(each for each in counted if each.time_ms > since)
            for name, counted in deaths.items()
        }
        return {name: counted for name, counted in recent.items() if counted}

    def keep_suspects(self, suspects: Mapping[str, tuple[Death, ...]]) -> None:
        """Write the deaths that count."""
        latest = sorted(suspects.items(), key=lambda each: each[1][-1].time_ms)[-MAX_SUSPECTS:]
        _write(
            self._suspects, {name: [_fields(each) for each in deaths] for name, deaths in latest}
        )

    # Quarantined documents

    def quarantined(self) -> dict[str, Quarantined]:
        """Return the quarantined documents by name, in order.

        Raises ``OperatorError`` where they can't be read: a server would die of them.
        """
        found: dict[str, Quarantined] = {}
        try:
            names = sorted(os.listdir(self._folder))
        except (FileNotFoundError, NotADirectoryError):
            return found
        except OSError as error:
            raise _unreadable(self._folder, error) from None
        for path in [self._folder / name for name in names if name.endswith(".json")]:
            try:
                fields = json.loads(path.read_bytes())
                name = str(fields["document"])
                deaths = tuple(map(_death, fields["deaths"]))
                found[name] = Quarantined(name, int(fields["time_ms"]), deaths)
            except FileNotFoundError:
                continue  # released this moment
            except OSError as error:
                raise _unreadable(path, error) from None
            except (ValueError, TypeError, KeyError) as error:
                log.warning("a quarantined document is not known any more: %s: %s", path, error)
        return dict(sorted(found.items()))

    def quarantine(self, record: Quarantined) -> None:
        """Write a quarantined document's record."""
        deaths = [_fields(each) for each in record.deaths]
        fields = {"document": record.document, "time_ms": record.time_ms, "deaths": deaths}
        _write(self._path(record.document), fields)

    def holds(self, document: str) -> bool:
        """Return whether a document's record is there."""
        return self._path(document).exists()

    def release(self, document: str) -> bool:
        """Take a record away; return whether there was one."""
        try:
            self._path(document).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise OperatorError(
                f"document {document!r} can't be released: {error.strerror}",
                hint=f"Give this user write access to {self._folder}",
            ) from None
        return True

    def _path(self, document: str) -> Path:
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()[:40]}.json"


def _unreadable(path: Path, error: OSError) -> OperatorError:
    return OperatorError(
        f"which documents are quarantined can't be read: {path}: {error.strerror}",
        hint="Run this as the user that the server runs as, or let this one read there",
    )


def _fields(death: Death) -> dict[str, object]:
    return {
        "time_ms": death.time_ms,
        "work": death.work.name.lower(),
        "pid": death.pid,
        "signal": death.signum,
    }


def _death(fields: Mapping[str, Any]) -> Death:
    work = Work[str(fields["work"]).upper()]
    return Death(int(fields["time_ms"]), work, int(fields["pid"]), int(fields["signal"]))


def _write(path: Path, value: object) -> None:
    """Write beside a file, sync and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    with beside.open("w", encoding="ascii") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
