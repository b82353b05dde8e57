"""Run the real server and real JavaScript clients as processes, and talk to both.

A test reads top to bottom in Python; each call either answers at once or waits for an event
with a deadline. Nothing here knows what the server is made of.
"""

import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from tests.ports import reserved_port
from tests.processes import kill

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
NODE_MODULES = HERE / "node_modules"

VERSIONS = ("1.5", "2.1", "3.0", "3.1", "3.1-rc", "4.0")
"""The y-websocket clients under test; 4.0 is @y/websocket on Yjs 14."""

COMMAND_VARIABLE = "INTEROP_SERVER_COMMAND"
"""Another server's command line, to check these tests themselves against it."""

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
WAIT_TIMEOUT_S = 15.0


class Output:
    """Collects a process's output lines and lets tests wait for one."""

    def __init__(self, stream: IO[str], *, after: "Output | None" = None) -> None:
        self.lines: list[str] = [] if after is None else ["---- started again ----\n"]
        self._before = "" if after is None else str(after)
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
        self._thread.start()

    def _collect(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Return the first match in any line so far or to come; raise AssertionError if none."""

        def find() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or self._ended, timeout_s)
            if (match := find()) is None:
                raise AssertionError(f"no line matches {pattern!r} in:\n{self}")
            return match

    def __str__(self) -> str:
        return self._before + "".join(self.lines)


class Server:
    """Starts, stops, kills and restarts one `crdtsync serve` on one port and one store."""

    def __init__(self, folder: Path, *options: str, script: Path | None = None) -> None:
        """``script`` is started in the place of `crdtsync`, with the same options."""
        self.store = folder / "store.db"
        self.options = options
        self.script = script
        self.host = "127.0.0.1"
        self.port = 0
        self._reserved = reserved_port(self.host)
        self.output: Output | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The address that clients connect to; the room's name goes after it."""
        return f"ws://{self.host}:{self.port}"

    @property
    def http(self) -> str:
        """The same address for HTTP."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start the process and return when it listens."""
        override = os.environ.get(COMMAND_VARIABLE)
        if self.script is not None:
            command = [sys.executable, str(self.script)]
        else:
            command = shlex.split(override) if override else [sys.executable, "-m", "crdtsync"]
        command += ["serve", "--host", self.host, "--port", str(self.port)]
        command += ["--store", f"sqlite:{self.store}", "--durability", "fsync", *self.options]
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CRDTSYNC_")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.store.parent,
            env={**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None
        self.output = Output(self._process.stdout, after=self.output)
        self.output.wait_for(rf"http://[^\s/:]+:{self.port}\b", START_TIMEOUT_S)
        return self

    def stop(self) -> int:
        """Ask the process to end (SIGTERM) and return its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once (SIGKILL): nothing of it runs any more after this."""
        assert self._process is not None
        kill(self._process)

    def restart(self) -> None:
        """Start again on the same port and store; stop first where it still runs."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.port = self._reserved.__enter__()
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._reserved.__exit__(None, None, None)
        if kind is None:
            assert "Traceback" not in str(self.output), str(self.output)


class Driver:
    """Owns one Node.js process that runs clients (driver.mjs)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / "driver.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=HERE,
        )
        self._replies: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._next = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            self._replies[reply["id"]].put(reply)
        for waiting in list(self._replies.values()):
            waiting.put({"error": "the Node.js process ended"})

    def request(self, *, timeout_s: float = WAIT_TIMEOUT_S, **fields: Any) -> Any:
        """Send one request and return its value; raise AssertionError with the client's error."""
        self._next += 1
        number = self._next
        reply: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._replies[number] = reply
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, **fields}) + "\n")
        self._process.stdin.flush()
        try:
            answer = reply.get(timeout=timeout_s + 5)
        except queue.Empty:
            raise AssertionError(f"Node.js does not answer {fields['op']!r}") from None
        finally:
            del self._replies[number]
        if "error" in answer:
            raise AssertionError(f"{fields['op']} {fields.get('condition', '')}: {answer['error']}")
        return answer["value"]

    def kill(self) -> None:
        """End the process at once: its sockets close without a goodbye of the clients."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()


class Client:
    """Speaks for one client inside a driver's process."""

    def __init__(self, driver: Driver, name: str, fields: dict[str, Any]) -> None:
        self._driver = driver
        self.name = name
        self.open = True
        self.id: int = self._call("open", **fields)["id"]

    def _call(self, op: str, **fields: Any) -> Any:
        return self._driver.request(op=op, client=self.name, **fields)

    def read(self) -> dict[str, Any]:
        """Return text, map, presence and counters as they are now."""
        return dict(self._call("read"))

    def wait(self, *, timeout_s: float = WAIT_TIMEOUT_S, **condition: Any) -> dict[str, Any]:
        """Return what ``read`` gives as soon as the condition holds (see driver.mjs, holds)."""
        return dict(
            self._driver.request(
                op="until",
                client=self.name,
                condition=condition,
                timeout=timeout_s,
                timeout_s=timeout_s,
            )
        )

    def insert(self, text: str, *, at: int = -1) -> None:
        """Insert into the text, at its end by default."""
        self._call("insert", at=at, text=text)

    def remove(self, at: int, length: int) -> None:
        """Delete from the text."""
        self._call("remove", at=at, length=length)

    def scribble(self, edits: int) -> None:
        """Insert and delete a little, here and there."""
        self._call("scribble", edits=edits)

    def carry(self) -> str:
        """Return the whole document, for ``bring``."""
        return str(self._call("carry"))

    def bring(self, update: str) -> None:
        """Put an update into the document as another provider would."""
        self._call("bring", update=update)

    def seen(self) -> str | None:
        """Return what the client was last told to be on the disk, for ``has``."""
        return self._call("seen")  # type: ignore[no-any-return]

    def has(self, update: str) -> bool:
        """Return whether the document holds all of an update."""
        return bool(self._call("has", update=update))

    def set(self, key: str, value: Any) -> None:
        """Set a key of the map."""
        self._call("set", key=key, value=value)

    def present(self, state: dict[str, Any] | None) -> None:
        """Set the own awareness state; None leaves."""
        self._call("present", state=state)

    def type(self, word: str, *, every_ms: int = 1) -> None:
        """Append the word with a running number, again and again, until ``rest``."""
        self._call("type", word=word, every=every_ms)

    def rest(self) -> int:
        """Stop typing and return how many words were typed."""
        return int(self._call("rest"))

    def connect(self) -> None:
        """Let the provider connect."""
        self._call("connect")

    def disconnect(self) -> None:
        """Let the provider say goodbye and disconnect; the document lives on."""
        self._call("disconnect")

    def goodbye(self) -> None:
        """Tell the others that this client is gone, without disconnecting."""
        self._call("goodbye")

    def drop(self) -> None:
        """Destroy the socket without a goodbye; the provider comes back."""
        self._call("drop")

    def cut(self) -> None:
        """Destroy the socket without a goodbye; the provider does not come back."""
        self._call("cut")

    def destroy(self) -> None:
        """Disconnect and free the client; idempotent."""
        if self.open:
            self.open = False
            self._call("destroy")


class Clients:
    """Opens clients in one driver and closes the test's own at its end."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._opened: list[Client] = []

    def open(self, version: str, server: str, room: str, **options: Any) -> Client:
        """Open a client of this version. ``options`` are the provider's own, and driver.mjs's:
        ``text`` (what it holds before it connects), ``state`` (awareness), ``fragment`` (bytes),
        ``saved`` (whether docs/saved.md watches it)."""
        fields = {"version": version, "server": server, "room": room, **options}
        client = Client(self._driver, f"{room}#{len(self._opened)}@{id(self)}", fields)
        self._opened.append(client)
        return client

    def close(self) -> None:
        """Destroy all that are still open."""
        for client in self._opened:
            client.destroy()


@contextmanager
def running_driver() -> Iterator[Driver]:
    """Run a driver for the block."""
    driver = Driver()
    try:
        yield driver
    finally:
        driver.close()


def run_node(script: Path, *args: str, timeout_s: float = 60.0) -> str:
    """Run a script to its end and return what it printed; raise AssertionError if it failed."""
    done = subprocess.run(
        ["node", str(script), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=HERE,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{script.name}: {done.stdout}\n{done.stderr}"
    return done.stdout


__all__: Sequence[str] = [
    "HERE",
    "NODE_MODULES",
    "VERSIONS",
    "Client",
    "Clients",
    "Driver",
    "Output",
    "Server",
    "run_node",
    "running_driver",
]
