"""Every option, declared once.

From this table come the command line's options, the ``CRDTSYNC_*`` variables, the keys of the
TOML file, the output of ``crdtsync config`` and ``docs/configuration.md``. The defaults are
those of ``Config`` and ``Limits``.
"""

from dataclasses import dataclass
from typing import Final

from crdtsync.config.model import Config
from crdtsync.config.values import (
    Choice,
    Duration,
    Integer,
    Kind,
    Size,
    Switch,
    Text,
    Value,
    Words,
)

__all__ = ["GROUPS", "OPTIONS", "Option"]

GROUPS: Final = ("Listening", "Authentication", "Store", "Process", "Logging", "Limits")

_DEFAULTS: Final = Config()


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    name: str
    """The TOML key; the others derive from it."""
    kind: Kind
    group: str
    help: str
    """What it means, without the default."""
    attribute: str = ""
    """Its field of ``Config`` or ``Limits``; the name where empty."""
    private: bool = False
    """Whether a value that is no file's name or URL is a secret by mistake, and is not shown."""

    @property
    def flag(self) -> str:
        """Return the command line's spelling: ``--max-message-bytes``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Return the environment's spelling: ``CRDTSYNC_MAX_MESSAGE_BYTES``."""
        return f"CRDTSYNC_{self.name.upper()}"

    @property
    def limit(self) -> bool:
        """Whether it is a field of ``Limits``, and may stand in the file's ``[limits]``."""
        return self.group == "Limits"

    @property
    def field(self) -> str:
        """Return the name of its field of ``Config`` or ``Limits``."""
        return self.attribute or self.name

    @property
    def default(self) -> Value:
        """Return the default, of the kind's type."""
        value: Value = getattr(_DEFAULTS.limits if self.limit else _DEFAULTS, self.field)
        return value

    @property
    def shown_default(self) -> str:
        """Return the default as text; empty where the option is not set by default."""
        return self.kind.show(self.default)


_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_GIB: Final = 1024 * _MIB

# Upper bounds that are more than "a sane number":
# - a store keeps an update in one piece, and SQLite's pieces end below 1 GB;
# - browsers can't read a value nested some 5,000 deep, far above it native code overflows, and
#   long before it Python's recursion ends;
# - y-websocket gives a connection up 30 s after its last message.
_MAX_MESSAGE: Final = 512 * _MIB
_MAX_DEPTH: Final = 1_000
_MAX_KEEPALIVE_S: Final = 28.0

_COUNT: Final = Integer(1, 1_000_000_000)
_BUFFER: Final = Size(64 * _KIB, 16 * _GIB)


def _limit(name: str, kind: Kind, meaning: str) -> Option:
    return Option(name, kind, "Limits", meaning)


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
    _limit(
        "max_message_bytes", Size(_KIB, _MAX_MESSAGE), "One WebSocket message, fragments joined."
    ),
    _limit("max_document_name_bytes", Integer(1, 4096), "A document's name, bytes of UTF-8."),
    _limit("max_any_depth", Integer(1, _MAX_DEPTH), "Nesting of arrays and objects in a value."),
    _limit("max_type_depth", Integer(1, _MAX_DEPTH), "Nesting of shared types inside one another."),
    _limit(
        "max_conflicts",
        Integer(1, 100_000),
        "Items of one update that compete for one place; the work grows with the square.",
    ),
    _limit(
        "max_update_clients",
        Integer(1, 16_777_216),
        "Different client ids in one update or state vector.",
    ),
    _limit("max_held_updates", _COUNT, "Updates of a document that wait for a missing one."),
    _limit("max_held_bytes", _BUFFER, "Bytes of those updates."),
    _limit(
        "max_merge",
        Integer(1, 1024),
        "Updates merged into one frame or stored record; 1 merges none.",
    ),
    _limit(
        "max_frame_bytes",
        Size(_KIB, _MAX_MESSAGE),
        "Above this, a state or merged update goes out in several frames.",
    ),
    _limit(
        "max_pending_bytes",
        _BUFFER,
        "Updates of all documents that wait for a commit; above, their senders are not read.",
    ),
    _limit(
        "max_backlog_bytes",
        _BUFFER,
        "What a connection may send while its document loads; above, it is not read.",
    ),
    _limit(
        "max_backlog_log_bytes",
        _BUFFER,
        "Committed updates kept for connections that lag; above, they get one difference.",
    ),
    _limit("max_tail_updates", _COUNT, "Committed updates that wait for integration in memory."),
    _limit("max_log_records", _COUNT, "Stored records that make the next checkpoint due."),
    _limit("max_log_bytes", _BUFFER, "Stored bytes that make the next checkpoint due."),
    _limit(
        "max_awareness_clients",
        _COUNT,
        "Awareness states of a document, and entries of one awareness message.",
    ),
    _limit("max_awareness_bytes", Size(_KIB, _MAX_MESSAGE), "One client's awareness state."),
    _limit(
        "max_ignored_messages",
        _COUNT,
        "Messages of one connection, between two pings, that mean nothing to a server.",
    ),
    _limit(
        "awareness_bytes_per_s",
        _BUFFER,
        "Presence sent to all connections of one document together; above, less often.",
    ),
    _limit(
        "max_token_bytes",
        Size(_KIB, 64 * _KIB),
        "A token, also one that a client hands in on an open connection.",
    ),
    _limit(
        "token_refreshes_per_minute",
        _COUNT,
        "Tokens of one connection that are looked at in a minute.",
    ),
    _limit(
        "share_failures_per_minute",
        _COUNT,
        "Wrong share links and passwords in a minute, of one link and of one address.",
    ),
    _limit("max_shares", _COUNT, "Share links of one document that can be joined by."),
    _limit("max_connections", _COUNT, "Connections of the whole server."),
    _limit(
        "commit_interval_s",
        Duration(0, 1),
        "At most one commit starts in this time; 0 commits as fast as the disk can.",
    ),
    _limit(
        "commit_retry_s",
        Duration(0, 600),
        "How long a failing store is retried before the affected clients are sent away.",
    ),
    _limit(
        "awareness_interval_s",
        Duration(0, 10),
        "At most one awareness frame per document goes out in this time.",
    ),
    _limit(
        "housekeeping_interval_s",
        Duration(0.01, 60),
        "How often idle rooms, laggards and silent peers are looked for.",
    ),
    _limit(
        "keepalive_s",
        Duration(0.1, _MAX_KEEPALIVE_S),
        "A client without messages for this long gets an empty one; it gives up after 30 s.",
    ),
    _limit(
        "ping_interval_s",
        Duration(0.1, 3600),
        "A WebSocket ping goes out this often; a peer silent between two is gone.",
    ),
    _limit(
        "idle_room_s", Duration(0, 86400), "How long a document without connections stays open."
    ),
    _limit(
        "max_lag_s",
        Duration(0.1, 3600),
        "A connection that takes nothing for this long while something waits is closed.",
    ),
    _limit(
        "refusal_delay_s",
        Duration(0, 10),
        "Between telling a client why it is refused and closing it.",
    ),
    _limit(
        "max_refusal_delay_s",
        Duration(0, _MAX_KEEPALIVE_S),
        "The longest that this gets for a client that comes back with the same refused edits.",
    ),
    _limit(
        "max_quarantine_author_updates",
        _COUNT,
        "Refused updates of one author that are kept, those that follow one another as one.",
    ),
    _limit("max_quarantine_author_bytes", _BUFFER, "Bytes of those updates."),
    _limit(
        "max_quarantine_document_updates", _COUNT, "Refused updates of one document that are kept."
    ),
    _limit("max_quarantine_document_bytes", _BUFFER, "Bytes of those updates."),
    _limit("max_quarantine_updates", _COUNT, "Refused updates of all documents that are kept."),
    _limit("max_quarantine_bytes", _BUFFER, "Bytes of those updates."),
    _limit(
        "drain_timeout_s",
        Duration(0, 3600),
        "How long a shutdown waits for commits and checkpoints.",
    ),
)
