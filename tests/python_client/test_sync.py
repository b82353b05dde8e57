"""The client for scripts: no event loop in sight, threads allowed."""

import threading
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtsync.client import (
    ClientError,
    NotSaved,
    Options,
    Refused,
    Status,
    SyncDocument,
    connect_sync,
)
from crdtsync.errors import Forbidden
from tests.native.kit import Recorder, Server

from .kit import OPTIONS, TIMEOUT_S, address


def text_of(document: SyncDocument) -> str:
    """Return the document's text."""
    with document.transaction() as doc:
        return str(doc.get("text", type=pycrdt.Text))


def write(document: SyncDocument, words: str) -> None:
    """Add to the document's text."""
    with document.transaction() as doc:
        text = doc.get("text", type=pycrdt.Text)
        text += words


def test_a_script(server: Server) -> None:
    """Write, save, read elsewhere, save again."""
    with connect_sync(address(server), options=OPTIONS) as one:
        write(one, "Hello")
        one.saved(TIMEOUT_S)
        one.synced(TIMEOUT_S)
        assert one.status is Status.SYNCED
        assert one.durable
        assert server.text() == "Hello"
        with connect_sync(address(server), wait=True, options=OPTIONS) as two:
            assert text_of(two) == "Hello"
            write(two, ", you")
            two.saved(TIMEOUT_S)
        assert server.text() == "Hello, you"


def test_threads_edit_at_once(server: Server) -> None:
    """Four threads of two clients write without a pause: nothing is lost, all are the same."""
    with (
        connect_sync(address(server), options=OPTIONS) as one,
        connect_sync(address(server), options=OPTIONS) as two,
    ):

        def work(document: SyncDocument, letter: str) -> None:
            for _ in range(200):
                write(document, letter)

        threads = [
            threading.Thread(target=work, args=(document, letter))
            for document, letter in ((one, "a"), (one, "b"), (two, "c"), (two, "d"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        one.saved(TIMEOUT_S)
        two.saved(TIMEOUT_S)
        text = server.text()
        assert sorted(text) == sorted("abcd" * 200)
        with connect_sync(address(server), wait=True, options=OPTIONS) as three:
            assert text_of(three) == text


def test_waiting_inside_a_transaction_is_refused(server: Server) -> None:
    """It would wait for ever: nothing comes in meanwhile."""
    with connect_sync(address(server), options=OPTIONS) as document:
        with document.transaction(), pytest.raises(RuntimeError, match="leave it"):
            document.saved()
        document.saved(TIMEOUT_S)


def test_offline(tmp_path: Path) -> None:
    """A local store works here, too; what would be lost without one is told."""
    store = tmp_path / "offline.db"
    with connect_sync("ws://127.0.0.1:9/doc", store=store, options=OPTIONS) as document:
        write(document, "offline")
        document.kept(TIMEOUT_S)
        with pytest.raises(TimeoutError):
            document.synced(0.05)
    with connect_sync("ws://127.0.0.1:9/doc", store=store, options=OPTIONS) as document:
        assert text_of(document) == "offline"

    def lose() -> None:
        with connect_sync("ws://127.0.0.1:9/doc", options=Options(close_timeout_s=0.1)) as lost:
            write(lost, "lost")

    with pytest.raises(NotSaved):
        lose()


def test_a_refusal() -> None:
    """A final close is raised with code and reason."""
    with (
        Server(authenticator=Recorder(error=Forbidden("not you"))) as server,
        connect_sync(address(server), options=OPTIONS) as document,
        pytest.raises(Refused, match="not you"),
    ):
        document.synced(TIMEOUT_S)


def test_a_document_outlives_a_client_that_never_began() -> None:
    """It is the program's own: it can be edited, and nobody listens any more."""
    doc = pycrdt.Doc[Any](allow_multithreading=True)
    with Server(authenticator=Recorder(error=Forbidden("not you"))) as server:
        for _ in range(2):
            with (
                pytest.raises(Refused),
                connect_sync(address(server), doc=doc, wait=True, options=OPTIONS),
            ):
                pass
            text = doc.get("text", type=pycrdt.Text)
            text += "more"
    assert str(text) == "moremore"


def test_presence(server: Server) -> None:
    """What a script says of itself can be seen, and it sees others."""
    with (
        connect_sync(address(server), user={"name": "Ann"}, wait=True, options=OPTIONS) as one,
        connect_sync(address(server), wait=True, options=OPTIONS) as two,
    ):
        changed = threading.Event()
        two.on_status(lambda _: changed.set())
        two.present({"name": "Bob"})
        deadline = threading.Event()
        for _ in range(1000):
            if {"name": "Bob"} in one.states.values():
                break
            deadline.wait(0.01)
        assert {"name": "Bob"} in one.states.values()
        assert any(state.get("user", {}).get("name") == "Ann" for state in one.states.values())


def test_a_document_for_one_thread_is_refused() -> None:
    """A pycrdt document that only its own thread may use is no use here."""
    with pytest.raises(ClientError), connect_sync("ws://127.0.0.1:9/doc", doc=pycrdt.Doc()):
        pass
