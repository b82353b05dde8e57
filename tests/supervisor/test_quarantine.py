"""A document that kills the server: found out by the second death, shut out, shown, released."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pycrdt
import pytest

from crdtsync.guarding import guard_folder
from tests.cli.running import run
from tests.docs.kit import TIMEOUT_S, Client, Process, environment, serving

from .test_restarts import DEADLY, store_url

KINDS = ["sqlite", "file"]
A_VECTOR = b"\x01\x01\x01"
"""Of a client that nobody knows: what it lacks only the CRDT can say."""


@contextmanager
def deadly(folder: Path, kind: str, *options: str) -> Iterator[tuple[Process, str]]:
    """Run a server whose CRDT library dies of the marker."""
    address = ("--host", "127.0.0.1", "--port", "0")
    arguments = ("serve", *address, "--store", store_url(kind, folder), *options)
    with Process(str(DEADLY), *arguments, cwd=folder, DEADLY="marker") as process:
        port = process.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]
        yield process, f"ws://127.0.0.1:{port}"


def write(url: str, text: str) -> bytes:
    """Write a text, and return the whole document once it is stored."""
    with Client(f"{url}?ack=1") as client:
        client.sync()
        client.append(text)
        client.receive()
        return client.doc.get_update()


def make_it_integrate(url: str) -> None:
    """Ask for a difference that only the CRDT can give; hear of its death."""
    with Client(url) as client:
        client.ask(A_VECTOR)
        client.ended()


def deadly_run(*args: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose CRDT library dies of the marker."""
    return subprocess.run(
        [sys.executable, str(DEADLY), *args],
        cwd=cwd,
        env=environment(DEADLY="marker"),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def kill_twice(process: Process, url: str) -> None:
    """Let the server die of a document twice."""
    for _ in range(2):
        make_it_integrate(url)
        process.wait_for("serving again")


def test_the_second_death_quarantines(tmp_path: Path) -> None:
    """Its clients are told with 4500, others are served on, and the operator is shown all of it."""
    store = ("--store", store_url("sqlite", tmp_path))
    with deadly(tmp_path, "sqlite") as (process, url):
        write(f"{url}/good", "good")
        whole = write(f"{url}/bad", "deadly")
        kill_twice(process, f"{url}/bad")
        with Client(f"{url}/bad") as client:
            closed = client.closed()
        assert closed.code == 4500
        assert closed.reason.startswith("the document is quarantined: the server died 2 times")
        assert client.reasons == [closed.reason]
        write(f"{url}/good", "better, ")
        with Client(f"{url}/good") as other:
            assert sorted(str(other.sync().text)) == sorted("goodbetter, ")

        listed = json.loads(run("documents", "list", "--json", *store, cwd=tmp_path).stdout)
        assert [each["quarantined"] for each in listed["documents"]] == [True, False]
        assert b"bad\t" in run("documents", "quarantined", *store, cwd=tmp_path).stdout
        shown = json.loads(run("documents", "quarantined", "--json", *store, cwd=tmp_path).stdout)
        (record,) = shown["documents"]
        assert record["name"] == "bad"
        assert [death["work"] for death in record["deaths"]] == ["integrating"] * 2
        assert [death["signal"] for death in record["deaths"]] == [signal.SIGSEGV] * 2
        check = run("check", *store, cwd=tmp_path)
        assert b"warning: bad at 1: not loaded" in check.stdout
        assert check.returncode == 0
        assert process.stop() == 0

    # The same commands with a library that dies: none of them gives it the document.
    for command in (("export", "bad"), ("show", "bad"), ("list",)):
        result = deadly_run("documents", *command, *store, cwd=tmp_path)
        assert result.returncode == 0, result
    exported = deadly_run("documents", "export", "bad", *store, cwd=tmp_path).stdout
    assert pycrdt.get_state(exported) == pycrdt.get_state(whole)
    refused = deadly_run("documents", "export", "bad", "--format", "json", *store, cwd=tmp_path)
    assert refused.returncode == 1
    assert b"quarantined" in refused.stderr

    assert run("documents", "release", "bad", *store, cwd=tmp_path).returncode == 0
    assert run("documents", "release", "bad", *store, cwd=tmp_path).returncode == 1
    with serving(tmp_path, *store) as (_, url), Client(f"{url}/bad") as client:
        assert str(client.sync().text) == "deadly"


def test_released_beside_the_server(tmp_path: Path) -> None:
    """A release holds from the next client on; the document that kills again is back in."""
    with deadly(tmp_path, "sqlite") as (process, url):
        write(f"{url}/bad", "deadly")
        kill_twice(process, f"{url}/bad")
        with Client(f"{url}/bad") as client:
            assert client.closed().code == 4500
        released = run("documents", "release", "bad", "--store", "sqlite:store", cwd=tmp_path)
        assert released.returncode == 0
        with Client(f"{url}/bad") as client:
            assert str(client.sync().text) == "deadly"  # by its bytes
        kill_twice(process, f"{url}/bad")
        with Client(f"{url}/bad") as client:
            assert client.closed().code == 4500


def test_over_http(tmp_path: Path) -> None:
    """Metadata says so, content is 423, the stored update can be had; it shows when released."""
    with deadly(tmp_path, "sqlite") as (process, url):
        whole = write(f"{url}/a/b", "deadly")
        kill_twice(process, f"{url}/a/b")
        with httpx.Client(base_url=url.replace("ws:", "http:"), timeout=TIMEOUT_S) as http:
            api = "/api/v1/documents/a/b"
            reason = http.get(api).json()["quarantined"]
            assert "while" not in reason
            assert reason.startswith("the document is quarantined")
            for shape in ("json", "text", "update"):
                answer = http.get(api, params={"format": shape})
                assert (answer.status_code, answer.json()["code"]) == (423, "quarantined")
                assert answer.json()["detail"] == reason
            assert "crdtsync_documents_quarantined 1.0" in http.get("/metrics").text
            (record,) = http.get("/api/v1/quarantined").json()["documents"]
            one = "/api/v1/quarantined/a/b"
            assert http.get(one).json() == record
            assert (record["name"], record["reason"]) == ("a/b", reason)
            assert http.get(one, params={"format": "json"}).status_code == 423
            update = http.get(one, params={"format": "update"}).content
            assert pycrdt.get_state(update) == pycrdt.get_state(whole)
            assert http.delete(one).json()["code"] == "forbidden"  # nobody administers here
            run(
                "documents",
                "release",
                "a/b",
                "--store",
                store_url("sqlite", tmp_path),
                cwd=tmp_path,
            )
            assert http.get(one).json()["code"] == "not-quarantined"
            assert http.get("/api/v1/documents").json()["documents"][0]["quarantined"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadly_checkpoint(tmp_path: Path, kind: str) -> None:
    """It counts, too, where the state that is stored is what kills, before any update does."""
    store = ("--store", store_url(kind, tmp_path))
    with serving(tmp_path, *store) as (process, url):
        write(f"{url}/bad", "deadly")
        assert process.stop() == 0  # writes a checkpoint
    with deadly(tmp_path, kind) as (process, url):
        kill_twice(process, f"{url}/bad")
        with Client(f"{url}/bad") as client:
            assert client.closed().code == 4500
    shown = json.loads(run("documents", "quarantined", "--json", *store, cwd=tmp_path).stdout)
    assert [death["work"] for death in shown["documents"][0]["deaths"]] == ["loading"] * 2


def test_without_a_supervisor(tmp_path: Path) -> None:
    """Started again by something else, the server finds the note, though nobody saw the death."""
    for number in range(2):
        with deadly(tmp_path, "sqlite", "--no-supervise") as (process, url):
            if number == 0:
                write(f"{url}/bad", "deadly")
            make_it_integrate(f"{url}/bad")
            assert process.wait() == -signal.SIGSEGV
    with deadly(tmp_path, "sqlite", "--no-supervise") as (process, url):
        with Client(f"{url}/bad") as client:
            assert client.closed().code == 4500
        assert process.stop() == 0
    assert "nobody saw how" in process.output


def test_in_memory(tmp_path: Path) -> None:
    """Where nothing is stored, the supervisor remembers for as long as it lives."""
    with deadly(tmp_path, "memory") as (process, url):
        for _ in range(2):
            write(f"{url}/bad", "deadly")
            make_it_integrate(f"{url}/bad")
            process.wait_for("serving again")
        with Client(f"{url}/bad") as client:
            assert client.closed().code == 4500
        assert process.stop() == 0


def test_what_is_quarantined_is_left_alone(tmp_path: Path) -> None:
    """Nothing is imported into it; deleting it leaves the name shut until it is released."""
    store = ("--store", store_url("sqlite", tmp_path))
    with deadly(tmp_path, "sqlite") as (process, url):
        update = write(f"{url}/bad", "deadly")
        kill_twice(process, f"{url}/bad")
        assert process.stop() == 0
    refused = run("documents", "import", "bad", "-", "--merge", *store, cwd=tmp_path, data=update)
    assert refused.returncode == 1
    assert b"Release it first" in refused.stderr
    assert run("documents", "delete", "bad", "--yes", *store, cwd=tmp_path).returncode == 0
    with deadly(tmp_path, "sqlite") as (process, url), Client(f"{url}/bad") as client:
        assert client.closed().code == 4500


PROGRAM = """
import pycrdt
from crdtsync import Config, SQLiteStore, run, supervise
from tests.supervisor.deadly import apply_update

pycrdt.Doc.apply_update = apply_update
config = Config(host="127.0.0.1", port=0, store="memory:")
supervised = supervise(config)
run(
    config,
    store=SQLiteStore("own.db"),
    supervised=supervised,
    started=lambda listening: print("at", listening.urls[0], flush=True),
)
"""


def test_a_program_with_a_supervisor(tmp_path: Path) -> None:
    """A program asks for one in a line; its own store's note is the one that is read."""
    with Process("-c", PROGRAM, cwd=tmp_path) as process:
        url = process.wait_for(r"at (http:\S+)")[1].replace("http:", "ws:")
        write(f"{url}/bad", "deadly")
        make_it_integrate(f"{url}/bad")
        process.wait_for("document 'bad' in hand: integrating its updates")
        process.wait_for("at http")
        assert process.stop() == 0
    assert guard_folder(f"sqlite:{tmp_path / 'own.db'}") == tmp_path / "own.db.guard"
    assert (tmp_path / "own.db.guard" / "suspects.json").exists()
