"""``crdtsync token``: keys, tokens and explanations that fit a server with the same options."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from crdtsync.cli.tokens import _ALGORITHMS
from crdtsync.identity.tokens import ALGORITHMS
from tests.identity.making import SECRET, unsigned

from .running import run

AUTH = ("--auth-key-file", "dev.pem.pub")


def out(*args: str, cwd: Path, data: bytes = b"", code: int = 0) -> str:
    """Run ``crdtsync token`` and return what it prints."""
    done = run("token", *args, cwd=cwd, data=data)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode()


def complaint(*args: str, cwd: Path) -> str:
    """Return the one line of an operator's error."""
    done = run("token", *args, cwd=cwd)
    assert (done.returncode, done.stdout) == (2, b""), done
    text = done.stderr.decode()
    assert text.count("\n") == 1, text
    return text


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_made_issued_and_shown(tmp_path: Path, algorithm: str) -> None:
    """A key, a token by it, and its explanation by the public half go together."""
    out("key", "dev.pem", "--algorithm", algorithm, cwd=tmp_path)
    assert stat.S_IMODE(os.stat(tmp_path / "dev.pem").st_mode) == 0o600
    options = ("--key", "dev.pem", "--document", "team/*=write", "--name", "Ada L.")
    if algorithm == "PS256":
        options += ("--algorithm", algorithm)
    made = out("issue", "ada", *options, cwd=tmp_path)
    args = (*AUTH, "--auth-algorithms", algorithm, "--document", "team/x", "--document", "mine")
    shown = json.loads(out("show", "--json", *args, cwd=tmp_path, data=made.encode()))
    assert shown["verifies"] is True
    assert shown["header"]["alg"] == algorithm
    assert shown["claims"]["name"] == "Ada L."
    assert shown["roles"]["team/x"] == "write"
    assert shown["roles"]["mine"].startswith("none: ")


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_a_shared_secret(tmp_path: Path, algorithm: str) -> None:
    """A secret is one file, long enough for its algorithm; a TOML file has all the options."""
    out("key", "s", "--algorithm", algorithm, cwd=tmp_path)
    assert not (tmp_path / "s.pub").exists()
    (tmp_path / "crdtsync.toml").write_text(
        f'auth_key_file = "s"\nauth_algorithms = ["{algorithm}"]\n'
        'auth_audience = ["crdtsync", "other"]\nauth_issuer = "me"\n'
    )
    made = out("issue", "ada", "--role", "read", "--algorithm", algorithm, cwd=tmp_path)
    shown = json.loads(out("show", "--json", made.strip(), "--document", "a", cwd=tmp_path))
    assert shown["verifies"] is True
    assert (shown["claims"]["iss"], shown["claims"]["aud"]) == ("me", "crdtsync")
    assert shown["roles"] == {"a": "read"}


def test_a_published_set(tmp_path: Path) -> None:
    """The printed JWK set is a key file, too, and its kid is the one that tokens name."""
    (tmp_path / "jwks.json").write_text(out("key", "dev.pem", "--jwks", cwd=tmp_path))
    made = out("issue", "ada", "--key", "dev.pem", cwd=tmp_path).strip()
    shown = json.loads(out("show", "--json", made, "--auth-key-file", "jwks.json", cwd=tmp_path))
    assert shown["verifies"] is True
    (key,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert shown["header"]["kid"] == key["kid"]
    assert "d" not in key


def test_times_in_words(tmp_path: Path) -> None:
    """A moment is told as a date and as how far it is away; an expired token exits with 1."""
    (tmp_path / "s").write_bytes(SECRET)
    key = ("--auth-key-file", "s")
    args = ("--claim", f"exp={int(time.time()) - 7300}", "--claim", "team=blue\x1b[2J")
    made = out("issue", "ada", *key, *args, cwd=tmp_path)
    done = run("token", "show", *key, cwd=tmp_path, data=b"Bearer " + made.encode())
    assert done.returncode == 1
    assert "2 hours ago" in done.stdout.decode()
    assert b"\x1b" not in done.stdout
    assert "does not verify: the token has expired" in done.stderr.decode()


def test_the_algorithms_are_all_there() -> None:
    """The command line offers what tokens may be signed with, and nothing else."""
    assert set(_ALGORITHMS) == set(ALGORITHMS)


def test_without_keys(tmp_path: Path) -> None:
    """Without keys a token is shown and not judged."""
    token = unsigned({"alg": "none"}, {"sub": "eve", "exp": 4_000_000_000})
    done = run("token", "show", token, cwd=tmp_path)
    assert done.returncode == 0
    assert "claim\tsub\teve" in done.stdout.decode()
    assert "not checked" in done.stderr.decode()


@pytest.mark.parametrize("text", ["nonsense", "a.b.c", "", "\xff\xfe.e30.e30", "..", "e30.W10.x"])
def test_what_is_no_token(tmp_path: Path, text: str) -> None:
    """Anything at all is explained, or said to be no token."""
    (tmp_path / "s").write_bytes(SECRET)
    args = ("token", "show", "--auth-key-file", "s")
    done = run(*args, cwd=tmp_path, data=text.encode("latin-1"))
    assert done.returncode == 1, done.stderr
    assert b"does not verify" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["nonsense", "", "a.b.c", "e30.e30.", "e30.W10.x", "{}"])
def test_what_is_no_token_without_keys(tmp_path: Path, text: str) -> None:
    """What is no token is none whether or not there is a key to check it with."""
    for form in ((), ("--json",)):
        done = run("token", "show", *form, cwd=tmp_path, data=text.encode())
        assert done.returncode == 1, done.stderr
        assert b"Traceback" not in done.stderr


def test_roles_that_are_none(tmp_path: Path) -> None:
    """A role that this server doesn't have gives nothing: it is refused, with the one meant."""
    out("key", "dev.pem", cwd=tmp_path)
    args = ("issue", "ada", "--key", "dev.pem")
    line = complaint(*args, "--document", "x=wriet", cwd=tmp_path)
    assert "there is no role 'wriet'; did you mean write? See crdtsync config" in line
    for given in (
        ("--role", "Admin"),
        ("--document", "a=read", "--document", "b=reed"),
        ("--document", "*=read", "--role", "editor"),
    ):
        assert "there is no role" in complaint(*args, *given, cwd=tmp_path)
    (tmp_path / "crdtsync.toml").write_text("[roles.editor]\nwrite = ['body']\n")
    assert out(*args, "--role", "editor", "--document", "x=write", cwd=tmp_path)
    elsewhere = ("--claim", 'documents={"x": "wriet"}')
    assert out(*args, *elsewhere, cwd=tmp_path)


def test_what_the_operator_has_to_mend(tmp_path: Path) -> None:
    """Each mistake is one line that says what to do; a key is never overwritten or shown."""
    out("key", "dev.pem", cwd=tmp_path)
    before = (tmp_path / "dev.pem").read_bytes()
    assert "there already" in complaint("key", "dev.pem", cwd=tmp_path)
    (tmp_path / "dev.pem.pub").unlink()
    assert "there already" in complaint("key", "dev.pem", cwd=tmp_path)
    assert (tmp_path / "dev.pem").read_bytes() == before
    assert not (tmp_path / "dev.pem.pub").exists()
    assert "no key to sign with" in complaint("issue", "ada", cwd=tmp_path)
    assert "can't be read" in complaint("issue", "ada", "--key", "gone", cwd=tmp_path)
    args = ("issue", "ada", "--key", "dev.pem")
    assert "no key for HS256" in complaint(*args, "--algorithm", "HS256", cwd=tmp_path)
    assert "no = in it" in complaint(*args, "--document", "x", cwd=tmp_path)
    assert "--expires" in complaint(*args, "--expires", "soon", cwd=tmp_path)
    hs = complaint("key", "x", "--algorithm", "HS256", "--jwks", cwd=tmp_path)
    assert "no public key" in hs
    assert "can't write" in complaint("key", "no/folder", cwd=tmp_path)
