"""``crdtsync token``: keys and tokens for development, and what a token says."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import human_time, note, print_json, print_table, printable
from crdtsync.config import Config, Resolved
from crdtsync.config.quantities import Duration
from crdtsync.config.values import nearest
from crdtsync.errors import ConfigError, OperatorError

# What reads keys is imported where it is called: `serve` without tokens has none of it.
if TYPE_CHECKING:
    from crdtsync.identity import JWTAuthenticator
    from crdtsync.identity.explaining import Explanation

__all__ = ["token"]

_ALGORITHMS: Final = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_MAX_INPUT: Final = 1 << 20
_LIFETIME: Final = Duration(1, 10 * 365 * 86400)


@click.group()
def token() -> None:
    """Make keys and tokens for development, and explain tokens."""


def _algorithm_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--algorithm", type=click.Choice(_ALGORITHMS), metavar="NAME", help=text)


@token.command("key", cls=Command)
@click.argument("file", type=click.Path(dir_okay=False))
@_algorithm_option("What it is for: ES256, EdDSA, RS256, HS256 and so on.  [default: ES256]")
@click.option("--jwks", is_flag=True, help="Print the public half as a JWK set, too.")
def key_(file: str, *, algorithm: str | None, jwks: bool) -> None:
    """Make a key to sign tokens with.

    FILE gets the private key, or the shared secret for an algorithm with HS, and may be read by
    its owner alone. The public key goes to FILE.pub: that is what the server gets. Overwrites
    nothing.
    """
    from crdtsync.identity.issuing import make_key, public_set

    algorithm = algorithm or "ES256"
    private, public = make_key(algorithm)
    if jwks and public is None:
        raise OperatorError(f"{algorithm} has no public key to print", hint="Leave --jwks out")
    if public is not None:
        _write_new(f"{file}.pub", public, 0o644)
    try:
        _write_new(file, private, 0o600)
    except OperatorError:
        if public is not None:
            os.unlink(f"{file}.pub")
        raise
    note(f"{file}: {'the key that signs' if public else 'the secret of issuer and server'}.")
    if public is not None:
        note(f"{file}.pub: for --auth-key-file.")
    if jwks:
        click.echo(public_set(private, algorithm=algorithm))


@token.command("issue", cls=Command)
@click.argument("subject")
@click.option(
    "--key", "key_file", metavar="FILE", help="The key that signs.  [default: auth_key_file]"
)
@_algorithm_option("What to sign with, where several fit the key.")
@click.option("--name", metavar="TEXT", help="A name for people to read.")
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="PATTERN=ROLE",
    help="A role in documents, such as 'team/*=write'. May be given several times.",
)
@click.option("--role", metavar="ROLE", help="One role for all documents: short for '*=ROLE'.")
@click.option("--expires", default="1h", metavar="TIME", help="How long it holds.  [default: 1h]")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=JSON",
    help="Another claim; what is no JSON is taken as text. May be given several times.",
)
@with_config("Authentication")
def issue(
    resolved: Resolved,
    *,
    subject: str,
    key_file: str | None,
    algorithm: str | None,
    name: str | None,
    documents: tuple[str, ...],
    role: str | None,
    expires: str,
    claims: tuple[str, ...],
) -> None:
    """Print a token for SUBJECT.

    Its issuer and audience are the first that the server's options name, so that a server with
    the same options takes it. Its roles have to be among those of these options.
    """
    from crdtsync.identity.issuing import issue_token
    from crdtsync.identity.keyfiles import key_file_bytes
    from crdtsync.identity.keys import KeyProblem

    config = resolved.config
    path = key_file or config.auth_key_file
    if path is None:
        raise ConfigError("there is no key to sign with", hint="Name its file with --key")
    now_s = int(time.time())
    said: dict[str, Any] = {"sub": subject, "iat": now_s, "exp": now_s + int(_lifetime(expires))}
    if name is not None:
        said["name"] = name
    if config.auth_issuer:
        said["iss"] = config.auth_issuer.split(",")[0]
    if config.auth_audience:
        said["aud"] = config.auth_audience.split(",")[0]
    grants = dict(_pair(text, "--document") for text in documents)
    for each in (*grants.values(), *(() if role is None else (role,))):
        _check_role(each, config)
    if role is not None:
        grants.setdefault("*", role)
    if grants:
        said[config.auth_documents_claim] = grants
    for text in claims:
        at, value = _pair(text, "--claim")
        said[at] = _json_or_text(value)
    try:
        made = issue_token(key_file_bytes(Path(path)), said, algorithm=algorithm)
    except KeyProblem as problem:
        raise ConfigError(
            f"the key can't sign: {problem}", hint="Name another file with --key"
        ) from None
    click.echo(made)
    if not said.get(config.auth_documents_claim) and config.auth_role_claim not in said:
        note("It gives access to no document: see --document and --role.")


@token.command("show", cls=Command)
@click.argument("text", metavar="[TOKEN]", required=False)
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="NAME",
    help="Say which role it gives in this document. May be given several times.",
)
@json_option
@with_config("Authentication")
def show(resolved: Resolved, *, text: str | None, documents: tuple[str, ...], as_json: bool) -> int:
    """Explain a token: what it says, and whether this server would take it.

    Reads it from standard input where there is no TOKEN, which keeps it out of the shell's
    history. It is sent nowhere. Exits with 1 where it would be refused, or is no token.
    """
    import anyio

    from crdtsync.identity.explaining import explain

    if text is None or text == "-":
        text = sys.stdin.buffer.read(_MAX_INPUT).decode("utf-8", "replace")
    text = text.strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip()
    found = anyio.run(explain, text, _checker(resolved.config), documents)
    if as_json:
        print_json(
            {
                "header": found.header,
                "claims": found.claims,
                "verifies": found.verifies,
                "reason": found.reason or None,
                "roles": found.roles,
            }
        )
    else:
        _print(found)
    return 1 if found.verifies is False or not (found.header and found.claims) else 0


def _print(found: "Explanation") -> None:
    now_s = time.time()
    rows = [("header", name, _shown(value), "") for name, value in found.header.items()]
    for name, value in found.claims.items():
        when = found.words(name, now_s)
        if when:
            when = f"{human_time(int(float(value) * 1000))}, {when}"
        rows.append(("claim", name, _shown(value), when))
    rows += [("role in", name, role, "") for name, role in found.roles.items()]
    print_table(("PART", "NAME", "VALUE", "MEANING"), rows)
    if not (found.header or found.claims):
        note("Nothing in it can be read: it is no token.")
    elif not (found.header and found.claims):
        note("Not everything in it can be read.")
    match found.verifies:
        case True:
            note("It verifies: a server with these options takes it.")
        case False:
            note(f"It does not verify: {found.reason}.")
        case None:
            note(f"It was not checked: {found.reason}.")


def _checker(config: Config) -> "JWTAuthenticator | None":
    if config.auth_key_file is None and config.auth_jwks_url is None:
        return None
    from crdtsync.identity.configured import jwt_authenticator

    return jwt_authenticator(config)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)


def _lifetime(text: str) -> float:
    try:
        value = _LIFETIME.from_text(text)
    except ValueError as error:
        raise ConfigError(f"--expires: {text!r} {error}") from None
    assert isinstance(value, float)
    return value


def _pair(text: str, flag: str) -> tuple[str, str]:
    before, sign, behind = text.rpartition("=") if flag == "--document" else text.partition("=")
    if not sign or not before or not behind:
        raise ConfigError(f"{flag} {text!r} has no = in it", hint="See crdtsync token issue --help")
    return before, behind


def _check_role(name: str, config: Config) -> None:
    """Refuse a role that this server doesn't have: the token would give nothing."""
    if name not in config.roles:
        raise ConfigError(
            f"there is no role {name!r}{nearest(name, list(config.roles))}",
            hint="See crdtsync config for the roles; --claim puts anything into a token",
        )


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _write_new(path: str, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
        except OSError:
            os.unlink(path)
            raise
    except FileExistsError:
        raise OperatorError(
            f"{path} is there already", hint="Choose another name: keys are not overwritten"
        ) from None
    except OSError as error:
        raise OperatorError(
            f"can't write {path}: {error.strerror}", hint="Choose a folder that may be written"
        ) from None
