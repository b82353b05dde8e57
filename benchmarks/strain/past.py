"""Version history at work: the past is read and restored, and logs go into it all the time."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.clients import Inbox, Writer, join_all
from benchmarks.edits import load_trace
from benchmarks.history import DOCUMENT, opened, record
from benchmarks.load import Setting
from benchmarks.servers import Kind, Server
from benchmarks.strain.stage import Figures, Strain, hold, offending
from benchmarks.strain.wire import paragraphs, pastes

__all__ = ["PASTS"]

READERS = 2
_PER_CHECKPOINT = 20_000
_LARGE_BYTES = 5_000_000
_PARAGRAPH_BYTES = 200
_EDITS_PER_S = 50
_EDIT_BYTES = 10
_LOG_RECORDS = 50
_WRITER = 1_850_000_000
_WORDS = {"content": "opened", "diff": "compared", "blame": "blamed", "restore": "restored"}


_folders: dict[Path, tempfile.TemporaryDirectory[str]] = {}


async def _recorded(trace: Path) -> Path:
    """Return a folder that has the document; it is made once and goes with this process."""
    if trace not in _folders:
        folder = tempfile.TemporaryDirectory()
        async with opened(Path(folder.name)) as histories:
            updates = load_trace(trace).updates
            await record(histories, updates, per_checkpoint=_PER_CHECKPOINT)
        _folders[trace] = folder
    return Path(_folders[trace].name)


async def _past(kind: Kind, setting: Setting, work: str, clients: int) -> Figures:
    """Measure while a document's past is asked for."""

    async def fill(folder: Path) -> None:
        shutil.copytree(await _recorded(setting.trace), folder, dirs_exist_ok=True)

    @asynccontextmanager
    async def offence(server: Server, figures: Figures) -> AsyncIterator[None]:
        options = {"document": DOCUMENT, "work": work, "clients": clients}
        async with offending(server, "past", **options) as offender:
            offender.tell()
            yield
        figures["offender"] = ", ".join(
            f"{facts['count']} x {_WORDS[each]} in {facts['median_ms']:.0f} ms"
            for each, facts in offender.facts.items()
        )

    return await hold(kind, setting, offence, settle_s=1.0, shared=False, fill=fill)


async def _folds(server: Server) -> int:
    """Ask the server's metrics how often a log went into its history."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    found = re.findall(r"^crdtsync_history_folds_total (\d+)", text, re.MULTILINE)
    return int(found[0]) if found else 0


async def _large(kind: Kind, setting: Setting, *options: str) -> Figures:
    """Measure while checkpoints of a large document are written without end."""

    def command(port: int, data: Path) -> list[str]:
        return [*kind.command(port, data), "--max-log-records", str(_LOG_RECORDS), *options]

    @asynccontextmanager
    async def offence(server: Server, figures: Figures) -> AsyncIterator[None]:
        state = paragraphs(_WRITER, _LARGE_BYTES, _PARAGRAPH_BYTES)
        edits = pastes(_WRITER + 1, 600 * _EDITS_PER_S, _EDIT_BYTES)
        clocks = range(len(edits) + 2)
        dialect = server.kind.dialect
        writer = Writer("large", dialect, Inbox(), _WRITER, [state, *edits], clocks)
        await join_all(server, [writer])

        async def edit() -> None:
            while writer.sent < writer.limit:
                writer.send_one()
                await asyncio.sleep(1 / _EDITS_PER_S)

        task = asyncio.create_task(edit())
        before = await _folds(server)
        try:
            yield
            folds = await _folds(server) - before
            figures["offender"] = f"{writer.sent:,} edits, {folds} folds"
        finally:
            task.cancel()
            writer.leave()

    changed = dataclasses.replace(kind, command=command)
    return await hold(changed, setting, offence, settle_s=5.0, shared=False)


async def _reading(kind: Kind, setting: Setting) -> Figures:
    return await _past(kind, setting, "read", READERS)


async def _restoring(kind: Kind, setting: Setting) -> Figures:
    return await _past(kind, setting, "restore", 1)


async def _folding(kind: Kind, setting: Setting) -> Figures:
    return await _large(kind, setting)


async def _unfolded(kind: Kind, setting: Setting) -> Figures:
    return await _large(kind, setting, "--no-history")


_PAPER = "a document of 260,000 keystrokes with 1,000 versions"
_EDITED = (
    f"A document of {_LARGE_BYTES // 1_000_000} MB gets {_EDITS_PER_S} edits a second, and a "
    f"checkpoint every {_LOG_RECORDS} records"
)
PASTS = (
    Strain(
        "history-read",
        f"{READERS} clients open, compare and blame random versions of {_PAPER}, each one after "
        "another without a pause.",
        _reading,
    ),
    Strain(
        "history-restore",
        f"A client restores random versions of {_PAPER}, one after another without a pause.",
        _restoring,
    ),
    Strain("history-fold", f"{_EDITED}, before which its log goes into its history.", _folding),
    Strain("history-off", f"{_EDITED}, without history: to compare with.", _unfolded),
)
