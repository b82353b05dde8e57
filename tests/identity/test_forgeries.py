"""Forged and misused tokens: each is refused, says nothing of itself, and asks nobody."""

import logging

import pytest

from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.tokens import read_token

from .asking import ask
from .forgeries import FORGERIES, HONEST, hs
from .making import CLAIMS, issue, rsa_key


@pytest.mark.parametrize("name", FORGERIES)
def test_refused(
    name: str, authenticator: JWTAuthenticator, caplog: pytest.LogCaptureFixture
) -> None:
    """The token is refused for good, with a reason that repeats nothing of it, and no log line."""
    caplog.set_level(logging.DEBUG)
    token = FORGERIES[name]()
    answer = ask(authenticator, token)
    assert isinstance(answer, Unauthenticated | Forbidden), answer
    pieces = [piece for piece in token.split(".") if len(piece) > 8] or [token]
    told = f"{answer} {caplog.text}"
    assert not any(piece in told for piece in pieces if len(piece) > 3)
    assert not any(hint in told for hint in ("evil", "ada", "passwd", "DROP"))
    assert len(str(answer)) < 120


def test_there_are_many() -> None:
    """The list is long, and no two tokens on it are one."""
    made = [make() for make in FORGERIES.values()]
    assert len(made) == len(set(made)) >= 150


def test_the_honest_ones_are_let_in(authenticator: JWTAuthenticator) -> None:
    """What the forgeries are made from is let in, so that nothing else is why they are not."""
    for token in (
        *HONEST,
        issue(rsa_key(), "RS256"),
        hs({"typ": "at+jwt"}),
        hs({"typ": "application/JWT"}),
        hs(aud=["another", "crdtsync"], exp=CLAIMS["exp"] + 0.5),
    ):
        answer = ask(authenticator, token)
        assert isinstance(answer, Principal), answer
        assert answer.id == "ada"
        assert answer.role is not None
        assert answer.role.name == "write"
    read = ask(authenticator, hs(), "team/minutes")
    assert isinstance(read, Principal)
    assert read.read_only


EARLY = [
    *(name for name in FORGERIES if name.startswith(("alg ", "no alg", "crit", "typ ", "b64 "))),
    *("kid is empty", "kid is a list", "kid is endless", "kid stands twice", "zip", "huge"),
    *("nested by cty", "made for something else", "encrypted", "encrypted, in three parts"),
    *("another spelling of the last character", "padding", "standard base64", "empty signature"),
    *("a line break inside", "a null character", "not ASCII", "over a megabyte", "no third part"),
    *("the header is a list", "the header is nested endlessly", "kid is half a surrogate pair"),
]


@pytest.mark.parametrize("name", EARLY)
def test_refused_before_a_key_is_looked_for(name: str) -> None:
    """What is wrong with a token's form is found without keys, and without asking for any."""
    with pytest.raises(Unauthenticated):
        read_token(FORGERIES[name](), max_bytes=8192)
