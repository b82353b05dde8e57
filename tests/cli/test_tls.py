"""The certificate and key: what loads, and how each mistake is told."""

import ssl
import subprocess
from pathlib import Path

import pytest

from crdtsync.config import Config
from crdtsync.errors import ConfigError
from tests.needs import program


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two self-signed certificates, and an encrypted copy of the first key."""
    folder = tmp_path_factory.mktemp("pem")
    for name in ("one", "two"):
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"),
        )  # fmt: skip
    both = (folder / "one.crt").read_text() + (folder / "one.key").read_text()
    (folder / "both.pem").write_text(both)
    run(
        "openssl", "ec", "-in", str(folder / "one.key"), "-aes256", "-passout", "pass:secret",
        "-out", str(folder / "locked.key"),
    )  # fmt: skip
    return folder


def run(name: str, *arguments: str) -> None:
    subprocess.run([program(name), *arguments], check=True, capture_output=True)


def test_no_certificate() -> None:
    """Without a certificate there is no TLS."""
    assert Config().ssl_context() is None
    assert not Config().tls


def test_certificate_and_key(pem: Path) -> None:
    """Certificate and key load from two files or from one."""
    two = Config(certfile=str(pem / "one.crt"), keyfile=str(pem / "one.key"))
    one = Config(certfile=str(pem / "both.pem"))
    assert two.tls
    assert isinstance(two.ssl_context(), ssl.SSLContext)
    assert isinstance(one.ssl_context(), ssl.SSLContext)


@pytest.mark.parametrize(
    ("certfile", "keyfile", "message"),
    [
        ("gone.crt", "one.key", "certfile: can't read .*gone.crt: No such file"),
        ("one.crt", "gone.key", "keyfile: can't read .*gone.key: No such file"),
        ("one.crt", "two.key", "not a certificate and its key .*KEY_VALUES_MISMATCH"),
        ("one.key", "one.key", "not a certificate and its key"),
        ("one.crt", "one.crt", "not a certificate and its key"),
        ("one.crt", "locked.key", "not a certificate and its key"),
    ],
)
def test_mistakes(pem: Path, certfile: str, keyfile: str, message: str) -> None:
    """A missing, foreign, mismatched or encrypted file is told with what to use instead."""
    config = Config(certfile=str(pem / certfile), keyfile=str(pem / keyfile))
    with pytest.raises(ConfigError, match=message) as caught:
        config.ssl_context()
    assert "PEM file" in caught.value.hint
