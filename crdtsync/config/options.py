"""Every option, declared once.

From this table come the command line's options, the ``CRDTSYNC_*`` variables, the keys of the
TOML file, the output of ``crdtsync config`` and ``docs/configuration.md``. The defaults are
those of ``Config`` and ``Limits``.
"""

from typing import Final

from crdtsync.config.history import check_pattern, read_retention
from crdtsync.config.limit_options import LIMIT_OPTIONS
from crdtsync.config.option import Option
from crdtsync.config.quantities import Duration, Integer
from crdtsync.config.values import Choice, Entries, Switch, Text, Words
from crdtsync.forwarded import check_proxy
from crdtsync.origins import Origins

__all__ = ["GROUPS", "OPTIONS", "Option"]

GROUPS: Final = (
    "Listening",
    "Authentication",
    "Store",
    "Access",
    "Channels",
    "Process",
    "Logging",
    "Limits",
)

OPTIONS: Final = (
    Option(
        "host",
        Text("HOST"),
        "Listening",
        "Address or name to listen on: localhost stands for both loopback addresses, 0.0.0.0 and "
        ":: for the whole network.",
    ),
    Option("port", Integer(0, 65535, "PORT"), "Listening", "Port; 0 takes any free one."),
    Option(
        "uds",
        Text("PATH"),
        "Listening",
        "Unix socket to listen on, instead of host and port.",
        attribute="unix_socket",
    ),
    Option(
        "certfile",
        Text("FILE"),
        "Listening",
        "PEM file with the TLS certificate and its chain: clients then connect to wss://.",
    ),
    Option(
        "keyfile",
        Text("FILE"),
        "Listening",
        "PEM file with the certificate's key, where certfile does not hold it.",
    ),
    Option(
        "transport",
        Choice(("auto", "native", "asgi")),
        "Listening",
        "WebSocket implementation: native is the fastest, asgi runs everywhere, auto takes native "
        "where it can.",
    ),
    Option(
        "auth",
        Choice(("none", "jwt")),
        "Authentication",
        "Who is let in: none, everyone, to write; jwt, who brings a signed token.",
    ),
    Option(
        "allow_anonymous",
        Switch(),
        "Authentication",
        "Let auth none listen beyond this machine: whoever reaches it may read and write.",
    ),
    Option(
        "auth_key_file",
        Text("FILE"),
        "Authentication",
        "Keys that tokens are checked with: PEM, JWK, JWK set, or a shared secret.",
        private=True,
    ),
    Option(
        "auth_jwks_url",
        Text("URL"),
        "Authentication",
        "Where the issuer publishes its JWK set, instead of a file.",
        private=True,
    ),
    Option(
        "auth_signing_key_file",
        Text("FILE"),
        "Authentication",
        "Private key, or shared secret, that signs the tokens which admins ask for over HTTP; "
        "without, none are issued.",
        private=True,
    ),
    Option(
        "auth_algorithms",
        Words("NAMES"),
        "Authentication",
        "Algorithms that tokens may be signed with; without, one by each key's kind.",
    ),
    Option(
        "auth_audience",
        Words("NAMES"),
        "Authentication",
        "What a token's aud has to name, one of them.",
    ),
    Option(
        "auth_issuer",
        Words("NAMES"),
        "Authentication",
        "What a token's iss has to be, one of them.",
    ),
    Option(
        "auth_required_claims",
        Words("NAMES"),
        "Authentication",
        "Claims that a token has to have, beside sub.",
    ),
    Option(
        "auth_documents_claim",
        Text("NAME"),
        "Authentication",
        "The claim that has roles by pattern of document names.",
    ),
    Option(
        "auth_role_claim",
        Text("NAME"),
        "Authentication",
        "A claim that has one role for all documents; without, there is none.",
    ),
    Option(
        "auth_leeway",
        Duration(0, 300),
        "Authentication",
        "How far the issuer's clock may be from this one.",
        attribute="auth_leeway_s",
    ),
    Option(
        "auth_refresh",
        Duration(1, 86400),
        "Authentication",
        "A JWK set from a URL that is older is fetched again before it is used.",
        attribute="auth_refresh_s",
    ),
    Option(
        "auth_stale",
        Duration(0, 604800),
        "Authentication",
        "How long keys are used after that, while they can't be had anew.",
        attribute="auth_stale_s",
    ),
    Option(
        "store",
        Text("URL"),
        "Store",
        "Where documents are kept: sqlite:FILE, file:FOLDER or memory: (gone when it stops).",
    ),
    Option(
        "durability",
        Choice(("fsync", "os", "none")),
        "Store",
        "What a committed edit survives: fsync, a power loss; os, a crash of the process; none, "
        "nothing.",
    ),
    Option(
        "history",
        Switch(),
        "Store",
        "Keep the history of documents: every moment, and who did what.",
    ),
    Option(
        "history_except",
        Entries("patterns of document names", check_pattern),
        "Store",
        "Documents without history; * in a pattern stands for any run of characters.",
    ),
    Option(
        "history_retention",
        Entries("PATTERN=EVERYTHING/HOURLY/DAILY, with ages like 30d or forever", read_retention),
        "Store",
        "How old moments may get: all of them, the last of each hour, the last of each day; "
        "without, all are kept for ever, and named versions are in any case.",
    ),
    Option(
        "allowed_origins",
        Entries("origins like https://example.com, same-host, null, or *", lambda o: Origins((o,))),
        "Access",
        "Web pages that may connect: same-host stands for those of the host that they connect to, "
        "https://*.example.com for all hosts below, * for any page.",
    ),
    Option(
        "trusted_proxies",
        Entries("addresses, networks like 10.0.0.0/8, or unix", check_proxy),
        "Access",
        "Proxies whose word on a client's address, host and TLS is taken; unix is any peer on the "
        "unix socket.",
    ),
    Option(
        "forwarded_header",
        Choice(("x-forwarded", "forwarded")),
        "Access",
        "Headers that the trusted proxies write: X-Forwarded-For, -Proto, -Host and -Prefix, or"
        " Forwarded.",
    ),
    Option(
        "stamp_user",
        Switch(),
        "Access",
        "Put the id and name of the principal into the user field of its awareness, whatever its "
        "client says.",
    ),
    Option(
        "chat",
        Entries("patterns of document names", check_pattern),
        "Channels",
        "Documents with a chat, whose rules the server keeps; * in a pattern stands for any run of "
        "characters.",
    ),
    Option(
        "presence",
        Entries("patterns of document names", check_pattern),
        "Channels",
        "Documents in which the server keeps presence: who is there, with which status.",
    ),
    Option(
        "supervise",
        Switch(),
        "Process",
        "Run the server below a small process that starts it again when it dies.",
    ),
    Option(
        "log_level",
        Choice(("debug", "info", "warning", "error")),
        "Logging",
        "The least severe messages to log.",
    ),
    Option(
        "log_format",
        Choice(("text", "json")),
        "Logging",
        "Log lines on stderr, for people or one JSON object each.",
    ),
    Option(
        "audit_log",
        Text("FILE"),
        "Logging",
        "File for the audit log, one JSON object per line: who came, what was refused; - is "
        "standard output.",
    ),
    *LIMIT_OPTIONS,
)
