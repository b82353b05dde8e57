"""``crdtsync serve`` when its serving process dies: soon back, on its port, with everything."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.running import run
from tests.docs.kit import TIMEOUT_S, Client, Process, serving
from tests.processes import environment, serving_process, wait_gone

DEADLY = Path(__file__).with_name("deadly.py")
BACK_S = 10.0
"""Far more than it takes, on a machine that does other things, without compiled modules."""


def store_url(kind: str, folder: Path) -> str:
    return "memory:" if kind == "memory" else f"{kind}:{folder / 'store'}"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_a_dead_server_is_back(
    tmp_path: Path,
    kind: str,
    signum: signal.Signals,
    record_property: Callable[[str, object], None],
) -> None:
    """Who comes right after the death waits, and then gets all that anyone ever saw."""
    with serving(tmp_path, "--store", store_url(kind, tmp_path)) as (process, url):
        with Client(f"{url}/d?ack=1") as ann:
            ann.sync()
            ann.append("before it died")
            ann.receive()  # it is stored
            dead = serving_process(process.pid)
            begin = time.monotonic()
            os.kill(dead, signum)
            ann.ended()
        with Client(f"{url}/d") as bob:  # connects once: the port never refuses
            assert str(bob.sync().text) == "before it died"
            took = time.monotonic() - begin
            bob.append(" and after")
        assert took < BACK_S
        record_property("seconds", took)
        assert serving_process(process.pid) != dead
        assert f"signal {int(signum)}" in process.wait_for(r"the server \(process").string
        assert process.stop() == 0
    options = ("--store", store_url(kind, tmp_path))
    with serving(tmp_path, *options) as (_, url), Client(f"{url}/d") as eve:
        assert str(eve.sync().text) == "before it died and after"


def test_restarts_are_counted(tmp_path: Path) -> None:
    """Metrics and health say how often the server died; the announcement is not repeated."""
    with serving(tmp_path) as (process, url):
        http = url.replace("ws:", "http:")
        for _ in range(2):
            os.kill(serving_process(process.pid), signal.SIGKILL)
            assert httpx.get(f"{http}/health/live", timeout=TIMEOUT_S).status_code == 200
        assert httpx.get(f"{http}/health/ready").json()["restarts"] == 2
        assert "crdtsync_restarts_total 2.0" in httpx.get(f"{http}/metrics").text
        assert process.stop() == 0
    assert process.output.count("listening on") == 1


def test_the_supervisor_is_small(tmp_path: Path) -> None:
    """It loads nothing of what serves: no CRDT, no transport, no event loop, no store."""
    with serving(tmp_path, "--store", "memory:") as (process, _):
        loaded = {Path(each.path).name for each in psutil.Process(process.pid).memory_maps()}
        served = psutil.Process(serving_process(process.pid)).memory_maps()
    heavy = ("pycrdt", "picows", "loop.cpython", "sqlite3")
    assert [name for name in loaded if any(each in name for each in heavy)] == []
    for each in heavy:
        assert any(each in Path(found.path).name for found in served), each


@pytest.mark.parametrize("store", ["sqlite:store", "memory:"])
def test_no_orphan_is_left(tmp_path: Path, store: str) -> None:
    """Without its supervisor the server commits, says good-bye to its clients, and ends."""
    with serving(tmp_path, "--store", store) as (process, url), Client(f"{url}/d") as ann:
        ann.sync()
        server = psutil.Process(serving_process(process.pid))
        os.kill(process.pid, signal.SIGKILL)
        assert ann.closed().code == 1012
        wait_gone(server, TIMEOUT_S)


def test_the_next_server_waits_for_the_orphan(tmp_path: Path) -> None:
    """Started on the same store and port while the old server ends, the new one waits for both."""
    options = ("--store", "sqlite:store")
    with serving(tmp_path, *options) as (process, url), Client(f"{url}/d") as ann:
        ann.sync()
        ann.append("kept")
        port = url.rpartition(":")[2]
        orphan = psutil.Process(serving_process(process.pid))
        os.kill(process.pid, signal.SIGKILL)
        arguments = ("-m", "crdtsync", "serve", "--host", "127.0.0.1", "--port", port, *options)
        with Process(*arguments, cwd=tmp_path) as second:
            second.wait_for("listening on")
            with Client(f"{url}/d") as bob:
                assert str(bob.sync().text) == "kept"
            wait_gone(orphan, TIMEOUT_S)
            assert second.stop() == 0


def live(path: Path) -> None:
    """Wait until a server says on a unix socket that it lives."""
    deadline = time.monotonic() + TIMEOUT_S
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        while True:
            try:
                assert client.get("http://localhost/health/live").status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "nobody answers"
                time.sleep(0.01)


@pytest.mark.parametrize("out", ["/dev/full", "a pipe that nobody reads"])
def test_who_can_t_write_a_log_serves_all_the_same(tmp_path: Path, out: str) -> None:
    """Neither the start nor a restart depends on anybody's hearing of it."""
    arguments = ("serve", "--uds", "s", "--store", "memory:")
    with ExitStack() as stack:
        if out.startswith("/"):
            stream = os.open(out, os.O_WRONLY)
        else:
            read, stream = os.pipe()
            os.close(read)
        stack.callback(os.close, stream)
        process = subprocess.Popen(
            [sys.executable, "-m", "crdtsync", *arguments],
            cwd=tmp_path,
            stdout=stream,
            stderr=stream,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        live(tmp_path / "s")
        dead = serving_process(process.pid)
        os.kill(dead, signal.SIGKILL)
        live(tmp_path / "s")
        assert serving_process(process.pid) != dead
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def test_a_stop_is_one_where_standard_output_was_full(tmp_path: Path) -> None:
    """What could not be said at the start is neither an error nor a word at the end."""
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full, Path(tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crdtsync", "serve", "--uds", "s", "--store", "memory:"],
            cwd=tmp_path,
            env=buffered,
            stdout=full,
            stderr=log,
        )
    try:
        live(tmp_path / "s")
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
    words = (tmp_path / "log").read_text()
    assert "can't say on standard output" in words
    assert "OSError" not in words


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_is_passed_on(tmp_path: Path, signum: signal.Signals) -> None:
    """The drain is the server's: clients hear 1012, the exit code is 0, nothing is left."""
    with serving(tmp_path) as (process, url), Client(f"{url}/d") as ann:
        ann.sync()
        server = psutil.Process(serving_process(process.pid))
        process.send(signum)
        assert ann.closed().code == 1012
        assert process.stop(signum) == 0  # a second signal changes nothing
        wait_gone(server, TIMEOUT_S)
    assert "Traceback" not in process.output


def test_a_stopping_server_takes_nobody_new(tmp_path: Path) -> None:
    """Once it was told to stop the port refuses: nobody waits for a server that won't come."""
    with serving(tmp_path, "--store", "memory:") as (process, url):
        port = int(url.rpartition(":")[2])
        assert process.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S)


def test_a_stop_closes_the_supervisor_s_sockets(tmp_path: Path) -> None:
    """They are closed as soon as it is told to stop, not only when the server has drained."""
    with serving(tmp_path, "--store", "memory:") as (process, _):
        supervisor = psutil.Process(process.pid)
        server = psutil.Process(serving_process(process.pid))
        assert listens(supervisor)
        server.suspend()
        try:
            process.send(signal.SIGTERM)
            deadline = time.monotonic() + TIMEOUT_S
            while listens(supervisor):
                assert time.monotonic() < deadline, "it listens on"
                time.sleep(0.01)
            assert listens(server)  # it has not drained yet
        finally:
            server.resume()
        assert process.wait() == 0


def listens(process: psutil.Process) -> bool:
    """Return whether a process has a socket that listens."""
    return any(each.status == psutil.CONN_LISTEN for each in process.net_connections())


IGNORING = """
import runpy, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
runpy.run_module("crdtsync", run_name="__main__", alter_sys=True)
"""


def test_who_starts_it_may_ignore_ends(tmp_path: Path) -> None:
    """The supervisor sees the server's end also where it was started without a look at ends."""
    arguments = ("-c", IGNORING, "serve", "--host", "127.0.0.1", "--port", "0")
    with Process(*arguments, "--store", "memory:", cwd=tmp_path) as process:
        url = process.wait_for(r"listening on (\S+)")[1].replace("ws:", "http:").rstrip("/,")
        os.kill(serving_process(process.pid), signal.SIGKILL)
        process.wait_for("it is started again")
        assert httpx.get(f"{url}/health/live", timeout=TIMEOUT_S).status_code == 200
        assert process.stop() == 0


FIRST = """
import os, socket, sys
from crdtsync.supervisor import lives

def child(lives_on=None):
    pid = os.fork()
    if not pid:
        if lives_on is not None:
            os.read(lives_on, 1)
        os._exit(3)
    return pid

os.getpid = lambda: int(sys.argv[1])  # the first process of a container
supervisor = object.__new__(lives._Supervisor)
supervisor._channel, theirs = socket.socketpair()
theirs.close()
orphans = [child() for _ in range(3)]
for each in orphans:
    os.waitid(os.P_PID, each, os.WEXITED | os.WNOWAIT)
waits, goes = os.pipe()
alive = child(waits)
supervisor._child = child()
assert supervisor._wait() == 3
left = 0
while os.waitpid(-1, os.WNOHANG)[0]:
    left += 1
os.write(goes, b"x")
os.waitpid(alive, 0)
supervisor._channel, theirs = socket.socketpair()
theirs.close()
supervisor._child = child()
assert supervisor._wait() == 3  # and where nobody is left
print(left)
"""


@pytest.mark.parametrize(("pid", "left"), [("1", b"0\n"), ("2", b"3\n")])
def test_the_first_process_lets_go_of_orphans(tmp_path: Path, pid: str, left: bytes) -> None:
    """In a container nobody else takes note of their ends; who still lives is not waited for."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST, pid],
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, left), done.stderr


def test_ending_the_serving_process_itself(tmp_path: Path) -> None:
    """SIGTERM to the serving process is a stop, not a death."""
    with serving(tmp_path, "--store", "memory:") as (process, _):
        os.kill(serving_process(process.pid), signal.SIGTERM)
        process.wait_for("stopping")
        assert process.wait() == 0


def test_a_wrong_configuration_is_told_once(tmp_path: Path) -> None:
    """What the serving process can't start with ends both, with one line and exit code 2."""
    (tmp_path / "file").touch()
    result = run("serve", "--port", "0", "--store", "sqlite:file/x.db", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count(b"\n") == 1


def test_it_gives_up(tmp_path: Path) -> None:
    """A server that dies at every start, over no document, is given up with a line and a 1."""
    arguments = (str(DEADLY), "serve", "--host", "127.0.0.1", "--port", "0", "--store", "memory:")
    with Process(*arguments, cwd=tmp_path, DEADLY="start") as process:
        process.wait_for(r"crdtsync: the server died 8 times within 10 s of its start.*SIGSEGV")
        assert process.wait() == 1
    assert process.output.count("it is started again") == 7


def test_a_stop_between_two_lives(tmp_path: Path) -> None:
    """Told to stop while it waits with the next start, the supervisor ends with 0."""
    arguments = (str(DEADLY), "serve", "--host", "127.0.0.1", "--port", "0", "--store", "memory:")
    with Process(*arguments, cwd=tmp_path, DEADLY="start", DELAY="600") as process:
        process.wait_for("it is started again in 600 s")
        assert process.stop() == 0
        assert "Traceback" not in process.output


def test_without_a_supervisor(tmp_path: Path) -> None:
    """``--no-supervise`` runs one process, whose death is its end."""
    with serving(tmp_path, "--store", "memory:", "--no-supervise") as (process, _):
        assert psutil.Process(process.pid).children() == []
        os.kill(process.pid, signal.SIGSEGV)
        assert process.wait() == -signal.SIGSEGV


def test_a_unix_socket_outlives_the_server(tmp_path: Path) -> None:
    """A unix socket is the supervisor's, too: it answers after a death."""
    arguments = ("-m", "crdtsync", "serve", "--uds", "s", "--store", "memory:")
    with Process(*arguments, cwd=tmp_path) as process:
        process.wait_for("listening on unix socket")
        os.kill(serving_process(process.pid), signal.SIGKILL)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(str(tmp_path / "s"))
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 200")
        assert process.stop() == 0
    assert not (tmp_path / "s").exists()
