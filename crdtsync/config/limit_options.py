"""The options that are fields of ``Limits``: the part of the table of options that is longest."""

from typing import Final

from crdtsync.config.option import Option
from crdtsync.config.quantities import Duration, Integer, Size
from crdtsync.config.values import Kind

__all__ = ["LIMIT_OPTIONS"]

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


LIMIT_OPTIONS: Final = (
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
        "Different client ids in one update or state vector; or, where that is more, twice as "
        "many as the document has.",
    ),
    _limit(
        "max_update_structs",
        Integer(1_000, 1 << 30),
        "Structs of one update, and deleted ranges; reading takes some 150 bytes of memory each.",
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
        "checkpoint_rest_s",
        Duration(0, 3600),
        "After a checkpoint that took long to write, a document's next one waits up to this long.",
    ),
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
        "Awareness sent to all connections of one document together; above, less often.",
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
    _limit(
        "max_awareness_per_connection",
        _COUNT,
        "Awareness states that one connection may bring; more are ignored.",
    ),
    _limit(
        "max_awareness_clock_jump",
        Integer(1, 1 << 31),
        "How far a connection may take an awareness clock beyond where it found it.",
    ),
    _limit("max_connections", _COUNT, "Connections of the whole server."),
    _limit(
        "reserved_descriptors",
        Integer(0, 65_536),
        "Of the files that the process may open, those that clients' sockets leave free.",
    ),
    _limit("max_connections_per_document", _COUNT, "Connections of one document."),
    _limit(
        "max_connections_per_address",
        _COUNT,
        "Connections from one address, or IPv6 network of 64 bits; loopback is not counted.",
    ),
    _limit(
        "max_connections_per_principal",
        _COUNT,
        "Connections of one principal; anonymous ones are not counted.",
    ),
    _limit(
        "max_bytes_per_s",
        Size(0, 16 * _GIB),
        "Bytes per second that a connection sends; above, it is read more slowly. 0 turns it off.",
    ),
    _limit(
        "max_messages_per_s",
        Integer(0, 1_000_000_000),
        "The same, in messages.",
    ),
    _limit(
        "rate_burst_s",
        Duration(0.1, 3600),
        "What a rate brings in this time may come at once.",
    ),
    _limit(
        "max_slowed_s",
        Duration(1, 86400),
        "A connection that goes on above its rate for this long is closed.",
    ),
    _limit(
        "max_document_bytes",
        Size(0, 16 * _GIB),
        "State of one document; above, nothing is added to it. 0 turns it off.",
    ),
    _limit(
        "commit_interval_s",
        Duration(0, 1),
        "An update waits this long for others, if the last commit isn't longer ago; 0: never.",
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
        "history_pause_s",
        Duration(0.1, 86400),
        "A document that was edited, and then not for this long, gets a version.",
    ),
    _limit(
        "history_interval_s",
        Duration(0.1, 86400),
        "A document that is edited all the time gets a version this often.",
    ),
    _limit(
        "history_processes",
        Integer(1, 64),
        "Processes that put histories together, and read them, at the same time.",
    ),
    _limit(
        "history_timeout_s",
        Duration(1, 3600),
        "How long one thing that is asked of a history may take.",
    ),
    _limit("max_chat_text_bytes", Size(1, 16 * _MIB), "The text of one chat message, in UTF-8."),
    _limit(
        "chat_messages_per_minute",
        Integer(0, 1_000_000),
        "Messages, edits and reactions of one person in one chat; 0 is no limit.",
    ),
    _limit("chat_burst", _COUNT, "So many of them may be said at once."),
    _limit(
        "chat_edit_window_s",
        Duration(0, 100 * 366 * 86400),
        "For how long a message may be edited by its author.",
    ),
    _limit(
        "chat_future_s",
        Duration(0, 86400),
        "How far the clock of a message's author may be ahead.",
    ),
    _limit(
        "chat_past_s",
        Duration(1, 100 * 366 * 86400),
        "How long a message may have been on its way, its author offline.",
    ),
    _limit(
        "chat_live_messages",
        Integer(10, 100_000),
        "Messages that stay in a chat's document when older ones go to an archive.",
    ),
    _limit("chat_archive_messages", Integer(10, 100_000), "Messages of one archive."),
    _limit(
        "presence_interval_s",
        Duration(0.05, 60),
        "What presence changes in one document in this time is one update.",
    ),
    _limit(
        "presence_grace_s",
        Duration(0, 300),
        "Who comes back so soon was never gone.",
    ),
    _limit(
        "max_edit_bytes",
        Size(_KIB, _MAX_MESSAGE),
        "The JSON of one request that writes a document.",
    ),
    _limit(
        "max_edit_parts",
        Integer(1, 1_000_000),
        "Operations of one request, and the values, nodes and pieces of text in them.",
    ),
    _limit(
        "idempotency_keep_s",
        Duration(1, 31_536_000),
        "How long a request that comes again with its idempotency key gets the first answer.",
    ),
    _limit("max_idempotency_keys", _COUNT, "Such keys; above, the oldest are forgotten."),
    _limit(
        "request_timeout_s",
        Duration(1, 3600),
        "How long an HTTP client may keep the server waiting for more of a body (which has ten "
        "minutes in all, and has to come at 1 KiB a second), or take nothing of its answer.",
    ),
    _limit(
        "drain_timeout_s",
        Duration(0, 3600),
        "How long a shutdown waits for commits and checkpoints.",
    ),
)
