"""Refused work is not lost: through kills and restarts, to the document it would have been."""

import functools
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pycrdt
import pytest

from crdtsync.limits import Limits
from crdtsync.protocol import AuthMessage, SyncStep2
from crdtsync.state_vector import read_state_vector
from tests.docs.kit import REPOSITORY, Client, Process

from .running import run

GUARDED = REPOSITORY / "tests" / "interop" / "guarded_server.py"
STORES = ["sqlite:store.db", "file:store"]

every_store = pytest.mark.parametrize("store", STORES)


@contextmanager
def guarded(folder: Path, store: str) -> Iterator[tuple[Process, str]]:
    """Run the guarded server: ``reader`` may write nothing, nobody may write to ``map``."""
    options = ("--host", "127.0.0.1", "--port", "0", "--store", store, "--durability", "fsync")
    with Process(str(GUARDED), "serve", *options, cwd=folder) as process:
        yield process, process.wait_for(r"listening on http://(127\.0\.0\.1:\d+)")[1]


def entries(folder: Path, store: str, *options: str) -> list[dict[str, Any]]:
    """Return what the command line shows of the quarantine."""
    done = run("quarantine", "list", "--json", "--store", store, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["entries"])


def exported(folder: Path, store: str) -> pycrdt.Doc[Any]:
    """Return the stored document."""
    done = run("documents", "export", "doc", "--store", store, cwd=folder)
    assert done.returncode == 0, done.stderr
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(done.stdout)
    return doc


def content(doc: pycrdt.Doc[Any]) -> tuple[Any, dict[str, Any], dict[int, int]]:
    """Return all that a document holds, and its state vector."""
    text, shared = doc.get("text", type=pycrdt.Text), doc.get("map", type=pycrdt.Map)
    clocks = read_state_vector(doc.get_state(), Limits())  # its bytes come in any order
    return text.diff(), {key: str(shared[key]) for key in sorted(shared.keys())}, clocks


@every_store
def test_what_was_reported_as_kept_outlives_kills(tmp_path: Path, store: str) -> None:
    """After the 4409, and after it was listed, an entry is there however the server ends."""
    for number in range(2):
        with (
            guarded(tmp_path, store) as (process, address),
            Client(f"ws://{address}/doc?token=ann{number}") as writer,
        ):
            writer.sync()
            shared = writer.doc.get("map", type=pycrdt.Map)
            writer.edit(functools.partial(shared.update, {"k": "v"}))
            close = writer.closed()
            assert close is not None
            assert close.code == 4409
            process.stop(signal.SIGKILL)
        authors = [each["author"] for each in entries(tmp_path, store)]
        assert authors == [f"ann{each}" for each in range(number + 1)]
    with guarded(tmp_path, store) as (process, address):
        with Client(f"ws://{address}/doc?token=reader") as reader:
            reader.sync()
            reader.append("scribble")
            reader.receive_until(lambda: any(isinstance(m, AuthMessage) for m in reader.messages))
            url = f"http://{address}/api/v1/quarantine?token=root&author=reader"
            (listed,) = httpx.get(url, trust_env=False).json()["entries"]
        process.stop(signal.SIGKILL)
    assert [each["id"] for each in entries(tmp_path, store, "--author", "reader")] == [listed["id"]]


def work(client: Client, random: Random, number: int) -> None:
    """Do one of the things that people do all day."""
    text, length = client.text, len(str(client.text).encode())
    match random.randrange(6):
        case 0 if length > 20:
            at = random.randrange(length - 10)
            del text[at : at + random.randrange(1, 5)]
        case 1 if length > 20:
            at = random.randrange(length - 10)
            text.format(at, at + 5, {"bold": True})
        case 2:
            text.insert(random.randrange(length + 1), f"[{number}]")
        case _:
            text.insert(length, f"w{number} ")


def shows(client: Client, words: str) -> bool:
    return words in str(client.text)


def refused_hour(
    folder: Path, store: str, edits: int
) -> tuple[pycrdt.Doc[Any], Callable[..., None]]:
    """Let a reader work for an hour while somebody else does, too.

    Returns the document that it would have been, and what applies the refused part.
    """
    random = Random(edits)
    whole: pycrdt.Doc[Any] = pycrdt.Doc()
    with (
        guarded(folder, store) as (process, address),
        Client(f"ws://{address}/doc?token=ann&ack=1") as ann,
        Client(f"ws://{address}/doc?token=reader") as reader,
    ):
        ann.sync()
        reader.sync()
        for number in range(edits):
            reader.edit(functools.partial(work, reader, random, number))
            if number % 10 == 0:
                ann.append(f"ann{number} ")
                ann.receive()  # it is stored
                reader.receive_until(functools.partial(shows, reader, f"ann{number} "))
        reader.ask(reader.doc.get_state())
        reader.receive_until(lambda: isinstance(reader.messages[-1], SyncStep2))
        whole.apply_update(reader.doc.get_update())
        assert process.stop() == 0

    def apply(*options: str) -> None:
        done = run("quarantine", *options, "--store", store, cwd=folder)
        assert done.returncode == 0, done.stderr

    return whole, apply


@every_store
def test_a_refused_hour_is_applied_whole(tmp_path: Path, store: str) -> None:
    """Hundreds of refused updates, each on the one before, make the document it would have been."""
    whole, command = refused_hour(tmp_path, store, 300)
    (kept,) = {each["author"] for each in entries(tmp_path, store)}
    assert kept == "reader"
    assert 270 < sum(each["updates"] for each in entries(tmp_path, store)) <= 300  # some do nothing
    assert content(exported(tmp_path, store)) != content(whole)
    command("apply", "--document", "doc", "--author", "reader", "--all")
    assert content(exported(tmp_path, store)) == content(whole)
    assert entries(tmp_path, store) == []
    with guarded(tmp_path, store) as (_, address), Client(f"ws://{address}/doc?token=bob") as bob:
        assert content(bob.sync().doc) == content(whole)


@every_store
def test_a_refused_hour_is_exported_whole(tmp_path: Path, store: str) -> None:
    """The same as one update in a file, which import and every Yjs take."""
    whole, command = refused_hour(tmp_path, store, 200)
    command("export", "--all", "--author", "reader", "-o", "hour.bin")
    doc = exported(tmp_path, store)
    doc.apply_update((tmp_path / "hour.bin").read_bytes())
    assert content(doc) == content(whole)
    done = run("documents", "import", "doc", "hour.bin", "--merge", "--store", store, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert content(exported(tmp_path, store)) == content(whole)


def test_a_refused_writer_s_work_is_applied_whole(tmp_path: Path) -> None:
    """What a writer brings again and again behind a refused edit is there once, and whole."""
    store = STORES[0]
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    text, shared = doc.get("text", type=pycrdt.Text), doc.get("map", type=pycrdt.Map)
    with guarded(tmp_path, store) as (process, address):
        with Client(f"ws://{address}/doc?token=bob&ack=1") as bob:
            bob.sync().append("Bob's. ")
            bob.receive()
            doc.apply_update(bob.doc.get_update())
        for number in range(2):
            shared[f"key{number}"] = "v"
            text.insert(len(str(text)), f"line {number}. ")
            with Client(f"ws://{address}/doc?token=ann") as ann:
                ann.doc = doc  # the same document comes back
                ann.sync()
                close = ann.closed()
                assert close is not None
                assert close.code == 4409
        assert process.stop() == 0
    (entry,) = entries(tmp_path, store)
    assert entry["author"] == "ann"
    assert exported(tmp_path, store).get_state() != doc.get_state()
    done = run("quarantine", "apply", "--all", "--store", store, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert content(exported(tmp_path, store)) == content(doc)


@every_store
def test_what_a_full_document_did_not_take_is_applied(tmp_path: Path, store: str) -> None:
    """After the 4413 it is listed with its kind, and applied whole, whatever the size limit."""
    options = ("--host", "127.0.0.1", "--port", "0", "--store", store)
    small = (*options, "--max-document-bytes", "2KiB")
    with Process("-m", "crdtsync", "serve", *small, cwd=tmp_path) as process:
        address = process.wait_for(r"listening on http://(127\.0\.0\.1:\d+)")[1]
        with Client(f"ws://{address}/doc") as writer:
            writer.sync()
            writer.edit(lambda: writer.text.insert(0, "short"))
            writer.edit(lambda: writer.text.insert(5, "x" * 5_000))
            writer.edit(lambda: writer.text.insert(5_005, "end"))
            close = writer.closed()
            assert close is not None
            assert close.code == 4413
        process.stop(signal.SIGKILL)
    found = entries(tmp_path, store)
    assert {each["kind"] for each in found} == {"limit"}
    assert {each["document"] for each in found} == {"doc"}
    assert sum(each["updates"] for each in found) == 2
    (tmp_path / "crdtsync.toml").write_text('max_document_bytes = "2KiB"')
    options = ("--document", "doc", "--all", "--store", store)
    done = run("quarantine", "apply", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = exported(tmp_path, store).get("text", type=pycrdt.Text)
    assert str(text) == "short" + "x" * 5_000 + "end"
    assert entries(tmp_path, store) == []
