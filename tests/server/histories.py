"""A history that is made up: moments with a text each, and every way to fail.

For what the routes do with a history, and not what a history says.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from crdtsync.audit import NOBODY, Caller
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryError, HistoryOff, UnknownMoment, Version, VersionKind
from crdtsync.history.retaining import Pruned
from crdtsync.history.retention import Retention
from crdtsync.history.words import instant
from crdtsync.server import rest_history, rest_retention, rest_versions

HOUR_MS = 3_600_000
FIRST_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when the first moment was; each next one is an hour later."""


def plant(monkeypatch: pytest.MonkeyPatch, history: "MadeUp") -> None:
    """Let the routes find a made up history, whatever their hub has."""
    for module in (rest_history, rest_retention, rest_versions):
        monkeypatch.setattr(module, "history_of", lambda hub: history)


def pruned(document: str, before: int) -> Pruned:
    """Return what is said of any pruning."""
    sizes = {"bytes_before": 30, "bytes": 10}
    return Pruned(document=document, moments_before=before, moments=1, versions=2, **sizes)


@dataclass(frozen=True)
class Found:
    """A moment."""

    sequence: int
    time_ms: int
    version: Version | None = None


@dataclass(frozen=True)
class Done:
    """A restore."""

    version_before: Version | None
    sequence: int
    changed: bool


class MadeUp:
    """Moments of documents, each a text of the root ``text``."""

    def __init__(self, **documents: list[str]) -> None:
        self.texts = documents
        self.kept: dict[int, Version] = {}
        self.first: dict[str, int] = {}
        """By document, the earliest moment that is kept; 1 where nothing is said."""
        self.error: HistoryError | None = None
        """What every question is answered with, if anything."""
        self.needs = ""
        self.writes = False
        """What whoever asked last needed of the store."""
        self.calls: list[tuple[Any, ...]] = []

    def add(self, document: str, sequence: int, **fields: Any) -> Version:
        version = Version(
            **{
                "id": len(self.kept) + 1,
                "document": document,
                "sequence": sequence,
                "time_ms": self.time_ms(sequence),
                "kind": "named",
                "label": f"Version {len(self.kept) + 1}",
                "author": "ada",
                "author_name": "Ada",
            }
            | fields
        )
        self.kept[version.id] = version
        return version

    def time_ms(self, sequence: int) -> int:
        return FIRST_MS + sequence * HOUR_MS

    def _ask(self, document: str | None = None) -> None:
        if self.error is not None:
            raise self.error
        if document is not None and document not in self.texts:
            raise HistoryOff("nothing is kept of it")

    async def versions(
        self,
        document: str,
        *,
        before: int | None = None,
        limit: int = 50,
        kind: VersionKind | None = None,
    ) -> list[Version]:
        self._ask(document)
        found = [each for each in self.kept.values() if each.document == document]
        found = [each for each in found if kind in (None, each.kind)]
        found = [each for each in found if before is None or each.id < before]
        return sorted(found, key=lambda each: -each.id)[:limit]

    async def version(self, id: int) -> Version:
        self._ask()
        if id not in self.kept:
            raise UnknownMoment("no such version")
        return self.kept[id]

    async def create(
        self, document: str, *, label: str, note: str = "", principal: Principal
    ) -> Version:
        self._ask(document)
        words = {"label": label, "note": note, "author": principal.id}
        return self.add(document, len(self.texts[document]), **words, author_name=principal.name)

    async def rename(
        self, id: int, *, label: str | None = None, note: str | None = None
    ) -> Version:
        self._ask()
        words = {"label": label, "note": note}
        given = {name: text for name, text in words.items() if text is not None}
        self.kept[id] = replace(self.kept[id], **given)  # type: ignore[arg-type]
        return self.kept[id]

    async def remove(self, id: int) -> None:
        self._ask()
        del self.kept[id]

    async def resolve(self, document: str, moment: str) -> Found:
        self._ask(document)
        version = None
        if moment == "now":
            sequence = len(self.texts[document])
        elif moment.startswith("v"):
            version = self.kept.get(int(moment[1:]))
            if version is None or version.document != document:
                raise UnknownMoment("no such version")
            sequence = version.sequence
        elif moment.startswith("s"):
            sequence = int(moment[1:])
        else:
            time_ms = datetime.fromisoformat(moment).timestamp() * 1000
            sequence = min(len(self.texts[document]), int((time_ms - FIRST_MS) // HOUR_MS))
        if not 1 <= sequence <= len(self.texts[document]):
            raise UnknownMoment("no such moment")
        if sequence < self.first.get(document, 1):
            raise UnknownMoment("pruned", pruned=True)
        return Found(sequence, self.time_ms(sequence), version)

    async def _text(self, document: str, moment: str) -> tuple[dict[str, Any], str]:
        found = await self.resolve(document, moment)
        about = {"sequence": found.sequence, "time": instant(found.time_ms)}
        return about, self.texts[document][found.sequence - 1]

    async def read(self, document: str, moment: str, *, format: str, root: str | None) -> bytes:
        about, text = await self._text(document, moment)
        self.calls.append(("read", document, moment, format, root))
        content: dict[str, Any] = {"kind": "text", "value": text}
        if format == "delta":
            content = {"kind": "text", "delta": [{"insert": text}]}
        if format in ("json", "delta"):
            return json.dumps({"moment": about, "roots": {"text": content}}).encode()
        return text.encode()

    async def compare_json(
        self, document: str, older: str, newer: str, *, root: str | None = None
    ) -> bytes:
        before, old = await self._text(document, older)
        after, new = await self._text(document, newer)
        by = {"author": "ada", "name": "Ada", "time": after["time"]}
        ops = [{"delete": len(old), "text": old, "by": by}, {"insert": new, "by": by}]
        roots = {} if old == new else {"text": {"kind": "text", "ops": ops}}
        return json.dumps({"from": before, "to": after, "roots": roots}).encode()

    async def blame_json(
        self, document: str, moment: str = "now", *, root: str | None = None
    ) -> bytes:
        about, text = await self._text(document, moment)
        by = {"author": "ada", "name": "Ada", "time": about["time"]}
        runs = {"kind": "text", "runs": [{"text": text, "by": by}]}
        return json.dumps({"moment": about, "roots": {"text": runs}}).encode()

    async def activity(
        self, document: str, *, before: str | None = None, limit: int = 50
    ) -> dict[str, Any]:
        last = (await self.resolve(document, before or "now")).sequence
        last -= before is not None
        sessions = [
            {
                "author": "ada",
                "name": "Ada",
                "from": instant(self.time_ms(sequence)),
                "to": instant(self.time_ms(sequence)),
                "first_sequence": sequence,
                "last_sequence": sequence,
                "inserted": len(self.texts[document][sequence - 1]),
                "deleted": 0,
            }
            for sequence in range(last, max(0, last - limit), -1)
        ]
        rest = f"s{sessions[-1]['first_sequence']}" if last > limit else None
        return {"sessions": sessions, "next": rest}

    async def restore(
        self,
        document: str,
        moment: str,
        *,
        root: str | None = None,
        note: str = "",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Done:
        _, text = await self._text(document, moment)
        self.calls.append(("restore", document, moment, root, note, principal.id, caller.address))
        if text == self.texts[document][-1]:
            return Done(None, len(self.texts[document]), False)
        before = self.add(document, len(self.texts[document]), kind="restore", label="")
        self.texts[document].append(text)
        return Done(before, len(self.texts[document]), True)

    async def undo(
        self,
        document: str,
        *,
        author: str,
        since: str,
        until: str = "now",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Done:
        self.calls.append(("undo", document, author, since, until, principal.id, caller.address))
        return await self.restore(document, since, principal=principal, caller=caller)

    async def prune(
        self, document: str, retention: Retention | None = None, *, dry_run: bool = False
    ) -> Pruned:
        self._ask(document)
        self.calls.append(("prune", document, retention, dry_run))
        return pruned(document, len(self.texts[document]))

    async def erase_before(self, document: str, moment: str) -> Pruned:
        await self.resolve(document, moment)
        self.calls.append(("erase_before", document, moment))
        return pruned(document, len(self.texts[document]))

    async def erase_author(self, author: str) -> int:
        self._ask()
        self.calls.append(("erase_author", author))
        return 3
