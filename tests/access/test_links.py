"""The text forms of share links, ranks of roles, and the count of failures."""

import inspect
import re

import pytest

from crdtsync.access import links, passwords, shares
from crdtsync.access.links import clean, read_token, visitor_digest, write_token
from crdtsync.access.passwords import hash_password, verify_password
from crdtsync.access.ranks import covers
from crdtsync.access.throttle import MAX_KEYS, Throttle
from crdtsync.clock import ManualClock
from crdtsync.errors import TooManyRequests
from crdtsync.roles import ADMIN, COMMENT, READ, WRITE, Role, Rule

ID, SECRET = "0123456789abcdef", "A" * 32


def test_ids_and_secrets() -> None:
    """A secret has at least 128 bits and never comes twice; ids are fit for a command line."""
    secrets = {links.make_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert links.SECRET_BYTES * 8 >= 128
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", secret) for secret in secrets)
    assert re.fullmatch(r"[0-9a-f]{16}", links.make_id())


@pytest.mark.parametrize("password", ["", "pass", "schlüssel & ?", "x" * 100])
def test_tokens_come_back(password: str) -> None:
    """A token is read as it was written, in characters that fit any place for tokens."""
    written = write_token(ID, SECRET, password)
    assert re.fullmatch(r"share\.[A-Za-z0-9_.-]+", written)
    token = read_token(written)
    assert token is not None
    assert (token.id, token.secret, token.password) == (ID, SECRET, password)
    assert SECRET not in repr(token)
    assert not password or password not in repr(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "share.",
        "share..",
        f"share.{ID}",
        f"share.{ID}.",
        f"share.{ID}.{SECRET[1:]}",
        f"share.{ID}.{SECRET}A",
        f"share.{ID[1:]}.{SECRET}",
        f"share.{ID.upper()}.{SECRET}",
        f"share.{ID}.{SECRET}.!",
        f"share.{ID}.{SECRET}.A",
        f"share.{ID}.{SECRET}._w",
        f"share.{ID}.{SECRET}.{'A' * 4096}",
        f"share.{ID}.{SECRET}\n",
        f"xhare.{ID}.{SECRET}",
        f"share.{ID}.{'ü' * 32}",
    ],
)
def test_what_is_no_token(token: str) -> None:
    """Anything else is none."""
    assert read_token(token) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ann", "Ann"),
        ("  Ann \n Lee\t", "Ann Lee"),
        ("a\u202eb\u200bc\x00d\x1b[31m", "abcd[31m"),
        ("", "Guest"),
        ("\u200b \u202e", "Guest"),
        ("x" * 100, "x" * 64),
        ("e\u0301", "\u00e9"),
        ("\ud800", "Guest"),
        ("a" * 63 + " b", "a" * 63),
    ],
)
def test_names_of_strangers(text: str, shown: str) -> None:
    """A name is one visible line of bounded length, whatever was sent."""
    assert clean(text, 64, otherwise="Guest") == shown


def test_visitors_keys() -> None:
    """A visitor's own key names him for one link alone, and isn't seen in his name."""
    key = "k" * 16
    name = visitor_digest(ID, key)
    assert name is not None
    assert key not in name
    assert visitor_digest(ID, key) == name
    assert visitor_digest("f" * 16, key) != name
    for bad in ("", "k" * 15, "k" * 129, "k" * 15 + "!", "k" * 16 + "\n"):
        assert visitor_digest(ID, bad) is None


def test_passwords_are_kept_by_scrypt() -> None:
    """What is kept differs each time, holds no password, and recognises only the right one."""
    one, other = hash_password("pass"), hash_password("pass")
    assert one != other
    assert b"pass" not in one
    assert verify_password("pass", one)
    assert not verify_password("Pass", one)
    assert not verify_password("", one)
    assert passwords.COST * passwords.BLOCK * 128 >= 16 * 1024 * 1024


def test_secrets_are_compared_in_constant_time() -> None:
    """Digests and passwords are compared by ``hmac.compare_digest`` and never by ``==``."""
    assert "compare_digest" in inspect.getsource(links.same)
    assert "compare_digest" in inspect.getsource(verify_password)
    checked = inspect.getsource(passwords.Passwords.check)
    assert "compare_digest" in checked
    assert "==" not in checked
    assert "same(" in inspect.getsource(shares.Shares._found)


CHAT = Role(name="chat", write=(Rule(root="chat"),))


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (ADMIN, WRITE, True),
        (ADMIN, READ, True),
        (WRITE, READ, True),
        (WRITE, COMMENT, True),
        (COMMENT, COMMENT, True),
        (COMMENT, CHAT, True),
        (COMMENT, READ, True),
        (READ, COMMENT, False),
        (COMMENT, WRITE, False),
        (CHAT, COMMENT, False),
        (WRITE, ADMIN, False),
        (READ, Role(name="x", restore=True), False),
        (Role(name="x", awareness=False), READ, False),
        (Role(name="x", history=False), READ, False),
        # A rule of the owner's own on one root holds for what he gives on all roots.
        (
            Role(name="x", write=(Rule(), Rule(root="log", append_only=True))),
            Role(name="y", write=(Rule(),)),
            False,
        ),
        (
            Role(name="x", write=(Rule(root="m", keys=frozenset("ab")),)),
            Role(name="y", write=(Rule(root="m", keys=frozenset("a")),)),
            True,
        ),
        (
            Role(name="x", write=(Rule(root="m", keys=frozenset("ab")),)),
            Role(name="y", write=(Rule(root="m", keys=frozenset("ac")),)),
            False,
        ),
        (
            Role(name="x", write=(Rule(max_update_bytes=10),)),
            Role(name="y", write=(Rule(max_update_bytes=10),)),
            True,
        ),
        (
            Role(name="x", write=(Rule(max_update_bytes=10),)),
            Role(name="y", write=(Rule(max_update_bytes=11),)),
            False,
        ),
        (Role(name="x", write=(Rule(own_key=True),)), Role(name="y", write=(Rule(),)), False),
        (Role(name="x", write=(Rule(append_only=True),)), WRITE, False),
        (Role(name="x"), Role(name="y", moderate=True), False),
        (Role(name="x", moderate=True), Role(name="y", moderate=True), True),
        # What holds for all roots that begin so holds for each of them.
        (
            Role(name="x", write=(Rule(), Rule(root="log/*", append_only=True))),
            Role(name="y", write=(Rule(root="log/2026"),)),
            False,
        ),
        (
            Role(name="x", write=(Rule(root="log/*"), Rule(root="log/2026", append_only=True))),
            Role(name="y", write=(Rule(root="log/*"),)),
            False,
        ),
        (
            Role(name="x", write=(Rule(root="log/*"),)),
            Role(name="y", write=(Rule(root="log/2026", append_only=True),)),
            True,
        ),
    ],
)
def test_ranks(own: Role, other: Role, expected: bool) -> None:
    """One role covers another where nothing that the other may do is more."""
    assert covers(own, other) is expected


def test_failures_are_counted_for_a_minute() -> None:
    """At the limit a key is refused, until the oldest failure is a minute old; others aren't."""
    clock = ManualClock()
    throttle = Throttle(3, clock)
    for _ in range(3):
        throttle.check("a")
        throttle.failed("a")
        clock.advance(10)
    with pytest.raises(TooManyRequests):
        throttle.check("a")
    throttle.check("b")
    clock.advance(30)
    throttle.check("a")
    throttle.failed("a")
    with pytest.raises(TooManyRequests):
        throttle.check("a")


def test_what_is_remembered_is_bounded() -> None:
    """However many fail, the latest are remembered, and no more."""
    throttle = Throttle(1, ManualClock())
    for number in range(MAX_KEYS + 10):
        throttle.failed(str(number))
    assert len(throttle._failures) == MAX_KEYS
    throttle.check("0")
    with pytest.raises(TooManyRequests):
        throttle.check(str(MAX_KEYS))
