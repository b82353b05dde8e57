"""History under ``crdtsync serve``: on by itself, in processes that end with the server's."""

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import httpx
import psutil

from tests.cli.running import run
from tests.client import Client
from tests.docs.kit import serving
from tests.processes import serving_process, wait_gone

QUICK = (
    *("--max-log-records", "1", "--housekeeping-interval-s", "0.05", "--checkpoint-rest-s", "0"),
)
"""Each edit or two make a checkpoint due."""


def worker_of(serving: int) -> psutil.Process:
    """Wait until a server has a worker, and return it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(serving).children():
            if "crdtsync.history.working" in child.cmdline():
                return child
        time.sleep(0.01)
    raise AssertionError("no worker was started")


def write_much(url: str) -> None:
    """Write enough for a history that is not folded in place."""
    with Client(f"{url}/d?ack=1") as client:
        client.sync()
        for seed in range(3):
            client.append(random.Random(seed).randbytes(10_000).hex())
            client.receive()


def test_workers_end_with_the_server(tmp_path: Path) -> None:
    """Below a supervisor a worker starts, and is gone when the serving process is killed."""
    store = f"sqlite:{tmp_path / 'db'}"
    with serving(tmp_path, "--store", store, *QUICK) as (process, url):
        write_much(url)
        serving_pid = serving_process(process.pid)
        worker = worker_of(serving_pid)
        os.kill(serving_pid, signal.SIGKILL)
        wait_gone(worker, 60)
        write_much(url)  # it is back, and folds again
        again = worker_of(serving_process(process.pid))
        assert process.stop() == 0
        wait_gone(again, 60)


def test_it_is_on_by_itself(tmp_path: Path) -> None:
    """A server that nothing is told keeps history, counts that, and leaves it with the store."""
    with serving(tmp_path, "--store", f"sqlite:{tmp_path / 'db'}") as (process, url):
        with Client(f"{url}/d?ack=1") as client:
            client.sync()
            client.append("x")
            client.receive()
        metrics = httpx.get(url.replace("ws:", "http:") + "/metrics").text
        assert "crdtsync_history_folds_total 0.0" in metrics
        assert process.stop() == 0
    connection = sqlite3.connect(tmp_path / "db.guard" / "history.db")
    assert connection.execute("SELECT document, sequence FROM histories").fetchall() == [("d", 1)]
    assert connection.execute("SELECT kind, sequence FROM versions").fetchall() == [("auto", 1)]
    connection.close()
    found = run("check", "--store", f"sqlite:{tmp_path / 'db'}", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (0, b"")


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    """Without history there is no file of it; of what is left out nothing is in it."""
    for options, expected in ((("--no-history",), None), (("--history-except", "scratch/*"), [])):
        folder = tmp_path / options[0]
        folder.mkdir()
        with serving(folder, "--store", f"sqlite:{folder / 'db'}", *options) as (process, url):
            with Client(f"{url}/scratch/d?ack=1") as client:
                client.sync()
                client.append("x")
                client.receive()
            assert process.stop() == 0
        path = folder / "db.guard" / "history.db"
        assert path.exists() == (expected is not None)
        if expected is not None:
            connection = sqlite3.connect(path)
            assert connection.execute("SELECT document FROM histories").fetchall() == expected
            connection.close()
