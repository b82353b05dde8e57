"""``crdtsync config``: what would be served, and whether it would be."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.needs import program

from .invoking import in_a_folder, invoke, ok
from .running import run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own, with a key of each kind and what is none."""
    in_a_folder(tmp_path, monkeypatch)
    ok("token", "key", "sign.pem")
    Path("nothing").write_text("nothing")
    Path("folder").mkdir()
    return tmp_path


JWT = ("--auth", "jwt", "--auth-key-file", "sign.pem.pub")
ISSUING = (*JWT, "--auth-signing-key-file")

REFUSED = [
    (("--host", "0.0.0.0"), "would let in everyone who reaches this machine"),
    (("--host", "no.such.host.invalid"), "can't find the address of 'no.such.host.invalid'"),
    (("--uds", "s" * 200), "AF_UNIX path too long"),
    (("--auth", "jwt"), "tokens are checked with the keys of one place"),
    (("--auth-key-file", "sign.pem.pub"), "auth is none: nobody would be asked"),
    (("--auth", "jwt", "--auth-key-file", "gone"), "auth_key_file: the file can't be read"),
    (("--auth", "jwt", "--auth-key-file", "nothing"), "auth_key_file: "),
    (("--auth", "jwt", "--auth-jwks-url", "http://a.example/keys"), "auth_jwks_url "),
    ((*JWT, "--auth-algorithms", "none"), "auth_algorithms: none is not one of"),
    ((*ISSUING, "nothing"), "auth_signing_key_file: "),
    (("--certfile", "gone"), "certfile: can't read gone"),
    (("--certfile", "nothing"), "not a certificate and its key"),
    (("--store", "sqllite:x.db"), "Did you mean sqlite:x.db"),
    (("--audit-log", "gone/audit.log"), "audit_log: can't write gone/audit.log"),
    (("--audit-log", "folder"), "audit_log: can't write folder: Is a directory"),
    (("--keyfile", "sign.pem"), "keyfile is set, certfile is not"),
]


@pytest.mark.parametrize(("args", "text"), REFUSED)
def test_what_serve_refuses(args: tuple[str, ...], text: str, folder: Path) -> None:
    """What a server would not start with is told in the same line, with the same exit code."""
    before = sorted(folder.iterdir())
    result = invoke("config", *args)
    assert result.exit_code == 2
    assert result.stderr.count("\n") <= 2, "at most the note about the file, and the line"
    line = result.stderr.splitlines()[-1]
    assert text in line
    assert sorted(folder.iterdir()) == before, "nothing was made"
    if "--store" not in args:
        args += ("--store", "memory:")
    served = run("serve", "--port", "0", *args, cwd=folder)
    assert (served.returncode, served.stderr.decode().splitlines()[-1:]) == (2, [line])


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--host", "0.0.0.0", "--allow-anonymous"),
        ("--uds", "gone/s.sock"),  # where a service makes the folder when it starts
        JWT,
        (*ISSUING, "sign.pem"),
        ("--auth", "jwt", "--auth-jwks-url", "https://keys.invalid/jwks"),  # which isn't asked
        ("--store", "sqlite:gone/x.db"),  # which isn't opened
        ("--audit-log", "audit.log"),
        ("--audit-log", "-"),
    ],
)
def test_what_may_be_served(args: tuple[str, ...], folder: Path) -> None:
    """What only the place or the moment of a start decides is not looked at; nothing is made."""
    before = sorted(folder.iterdir())
    ok("config", *args)
    assert sorted(folder.iterdir()) == before


def test_values_are_shown_all_the_same(folder: Path) -> None:
    """What is wrong is told behind what is set: one sees where it comes from."""
    result = invoke("config", "--json", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["options"]["host"]["value"] == "0.0.0.0"


def test_a_certificate_that_ends_soon(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is no mistake, and told of."""
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "crt.pem"),
        ],
        check=True,
        capture_output=True,
    )
    ok("config", "--certfile", "crt.pem", "--keyfile", "key.pem")
    assert "the certificate in crt.pem expires in" in caplog.text
