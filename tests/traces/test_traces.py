"""Real editing histories go through a running server and come out exactly as they ended."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.traces.histories import Author, friends, history, paper
from tests.traces.peers import Peer, Reader, Server

PATIENCE_S = 50.0
BURST = 64
"""Updates that a client sends before it listens again."""

Replay = Callable[[Server, str, dict[str, Any]], Coroutine[Any, Any, None]]


async def _paper(server: Server, document: str, trace: dict[str, Any]) -> None:
    author = Author(1)
    writer = Peer(author.doc, author.doc.apply_update)
    reader = Reader()
    await writer.open(server, document)
    await reader.peer.open(server, document)
    for number, update in enumerate(paper(trace, author)):
        await writer.send(update)
        if number % BURST == 0:
            await asyncio.sleep(0)  # let others run
    await reader.read(trace["endContent"])
    writer.close()
    reader.peer.close()


async def _friends(server: Server, document: str, trace: dict[str, Any]) -> None:
    # The ids decide who stands first where both typed at one place: as in the recording.
    authors = [Author(1), Author(2)]
    # What they see is what their next transaction's parents say, not what has come by then.
    shown = [Reader() for _ in authors]
    peers = [
        Peer(author.doc, reader.doc.apply_update)
        for author, reader in zip(authors, shown, strict=True)
    ]
    reader = Reader()
    for peer in (*peers, reader.peer):
        await peer.open(server, document)
    for number, sent in enumerate(friends(trace, authors)):
        shown[sent.agent].doc.apply_update(sent.update)
        await peers[sent.agent].send(sent.update)
        if number % BURST == 0:
            await asyncio.sleep(0)  # let others run
    await reader.read(trace["endContent"])
    for peer, each in zip(peers, shown, strict=True):
        await peer.until(lambda each=each: each.text == trace["endContent"])
    for peer in (*peers, reader.peer):
        peer.close()


async def _read(server: Server, document: str, wanted: str) -> None:
    reader = Reader()
    await reader.peer.open(server, document)
    await reader.read(wanted)
    reader.peer.close()


@pytest.mark.parametrize(
    ("name", "replay", "ends"),
    [
        pytest.param("automerge-paper", _paper, (signal.SIGTERM, signal.SIGKILL), id="paper"),
        pytest.param("friendsforever", _friends, (signal.SIGKILL, signal.SIGTERM), id="friends"),
    ],
)
def test_a_history_ends_as_it_did(
    tmp_path: Path, name: str, replay: Replay, ends: tuple[signal.Signals, signal.Signals]
) -> None:
    """Readers get exactly the recorded text, live and from a server ended either way."""
    trace = history(name)
    with Server.running(tmp_path) as server:
        asyncio.run(asyncio.wait_for(replay(server, name, trace), PATIENCE_S))
        for how in ends:
            server.restart(how)
            reading = _read(server, name, trace["endContent"])
            asyncio.run(asyncio.wait_for(reading, PATIENCE_S))
