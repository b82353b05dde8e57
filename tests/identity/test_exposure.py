"""Without authentication nobody else's machine is served, unless that is said."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crdtsync.config import Config
from crdtsync.errors import ConfigError
from crdtsync.supervisor.listen import check_exposure
from tests.cli.running import run, server

from .making import SECRET

ANYWHERE = ("--host", "0.0.0.0", "--port", "0", "--store", "memory:")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_come(host: str) -> None:
    """Every spelling of loopback may be listened on."""
    check_exposure(Config(host=host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1", "::ffff:0.0.0.0"]
)
def test_others_may_not(host: str) -> None:
    """Every other address is refused, with what to do, unless something else is said."""
    with pytest.raises(ConfigError, match="without authentication") as caught:
        check_exposure(Config(host=host))
    assert "--auth jwt" in caught.value.hint
    assert "--allow-anonymous" in caught.value.hint
    check_exposure(Config(host=host, allow_anonymous=True))
    check_exposure(Config(host=host, auth="jwt"))
    check_exposure(Config(host=host, unix_socket="s"))


@pytest.mark.parametrize("supervise", ["--supervise", "--no-supervise"])
def test_serve_refuses(tmp_path: Path, supervise: str) -> None:
    """``crdtsync serve`` ends with 2 and one line, and has bound nothing."""
    done = run("serve", *ANYWHERE, supervise, cwd=tmp_path)
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b""), err
    assert err.count("\n") == 1
    assert "0.0.0.0 would let in everyone" in err
    assert "--allow-anonymous" in err


def test_serve_listens_where_told(tmp_path: Path) -> None:
    """With ``--allow-anonymous``, or with tokens, it serves the network."""
    (tmp_path / "secret").write_bytes(SECRET)
    for options in (("--allow-anonymous",), ("--auth", "jwt", "--auth-key-file", "secret")):
        with server(tmp_path, *ANYWHERE, *options) as started:
            started.wait_for(r"http://0\.0\.0\.0:\d+")
            if "--allow-anonymous" in options:
                started.wait_for("note: whoever reaches this address may read and write")
            assert started.stop(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--auth", "jwt"), "keys of one place"),
        (("--auth-key-file", "secret"), "auth is none"),
        (("--auth", "jwt", "--auth-key-file", "gone"), "auth_key_file: the file can't be read"),
        (("--auth", "jwt", "--auth-jwks-url", "http://id.example.org/"), "https://"),
        (("--auth", "jwt", "--auth-key-file", "secret", "--auth-algorithms", "RS256"), "fit"),
    ],
)
def test_options_that_can_not_be_right(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    """A server whose authentication is configured wrongly does not start."""
    (tmp_path / "secret").write_bytes(SECRET)
    done = run("serve", "--port", "0", "--store", "memory:", *options, cwd=tmp_path)
    err = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b""), err
    assert err.count("\n") == 1
    assert message in err


def test_a_program_answers_for_itself() -> None:
    """``run`` refuses the network only where it is given no authenticator."""
    program = """
import asyncio, sys
from crdtsync import CallableAuthenticator, Config, ConfigError, Principal, serve

async def main():
    config = Config(host="0.0.0.0", port=0, store="memory:")
    try:
        await serve(config)
    except ConfigError as error:
        print("refused:", error)
    stop = asyncio.Event()
    def started(listening):
        print("listening")
        stop.set()
    who = CallableAuthenticator(lambda request: Principal(id="ada"))
    await serve(config, authenticator=who, started=started, stop=stop)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    refused, listening = done.stdout.splitlines()
    assert refused.startswith("refused: without authentication")
    assert listening == "listening"
