"""The certificate and key: what loads, and how each mistake is told."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from crdtsync.clock import ManualClock
from crdtsync.config import Config
from crdtsync.config.certificates import worry_about
from crdtsync.errors import ConfigError
from tests.needs import program

from .running import server


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
    run(
        "openssl", "req", "-x509", "-key", str(folder / "one.key"), "-days", "60",
        "-subj", "/CN=localhost", "-out", str(folder / "dated.crt"),
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
    ("days", "text"),
    [
        (-30.0, "is not valid before "),
        (-0.1, "is not valid before "),
        (0.1, ""),
        (45.9, ""),
        (46.1, "expires in 13 days, at "),
        (58.9, "expires in 26 hours, at "),
        (59.9, "expires in 2 hours, at "),
        (60.1, "expired at "),
        (400.0, "expired at "),
    ],
)
def test_dates(pem: Path, days: float, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that clients refuse, or will within two weeks, is told of when it is loaded."""
    certfile = pem / "dated.crt"
    (certificate,) = x509.load_pem_x509_certificates(certfile.read_bytes())
    now = certificate.not_valid_before_utc + timedelta(days=days)
    clock = ManualClock(time_ms=int(now.timestamp() * 1000))
    config = Config(certfile=str(certfile), keyfile=str(pem / "one.key"))
    assert config.ssl_context(clock=clock) is not None
    assert text in caplog.text
    assert len(caplog.records) == bool(text)
    assert all(record.levelname == "WARNING" for record in caplog.records)


def test_a_chain(pem: Path) -> None:
    """It is the server's own certificate that counts, the first; a key may stand before it."""
    chain = [(pem / name).read_text() for name in ("one.key", "dated.crt", "one.crt")]
    (pem / "chain.pem").write_text("".join(chain))
    now_ms = int((datetime.now(UTC) + timedelta(days=3)).timestamp() * 1000)
    assert worry_about(str(pem / "chain.pem"), ManualClock(time_ms=now_ms)) == ""
    assert "expired" in worry_about(str(pem / "one.crt"), ManualClock(time_ms=now_ms))


def test_serve_says_so(pem: Path, tmp_path: Path) -> None:
    """A server with such a certificate starts, and its log says so."""
    args = ("--certfile", str(pem / "one.crt"), "--keyfile", str(pem / "one.key"))
    with server(tmp_path, "--port", "0", "--store", "memory:", *args) as started:
        started.wait_for("transport")
        code, _, err = started.stop()
    assert code == 0
    assert err.count("one.crt expires in ") == 1


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
