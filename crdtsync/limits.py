"""Every limit, with its name, its unit and its default. A test reaches each one.

The sizes are for what a client sends; times are in seconds. ``Limits()`` is what
``crdtsync serve`` uses when nothing else is configured.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

__all__ = ["Limits", "naming", "trusting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server accepts, keeps and waits for."""

    max_message_bytes: int = 64 * 1024 * 1024
    """One WebSocket message, continuation frames joined. A long-offline client returns with
    one big step 2, so this is far above a keystroke."""
    max_document_name_bytes: int = 512
    """A document's name, in UTF-8."""
    max_any_depth: int = 512
    """Nesting of arrays and objects inside one value."""
    max_type_depth: int = 256
    """Nesting of shared types inside one another (a Y.Map in a Y.Array in ...)."""
    max_conflicts: int = 2_000
    """Items of one update that compete for one place: the same key, or the same two
    neighbours. Integrating n of them takes n squared steps."""
    max_update_clients: int = 65_536
    """Different client ids in one update or state vector; or, where that is more, twice as many
    as the document has."""
    max_update_structs: int = 4_000_000
    """Structs of one update, and deleted ranges: reading them takes some 150 bytes of memory each.
    A document of 50 MB has fewer."""
    max_held_updates: int = 1_000
    """Updates of one document that wait for something missing."""
    max_held_bytes: int = 16 * 1024 * 1024
    """The same, in bytes."""
    max_merge: int = 512
    """Updates joined into one frame or one stored record; 1 turns coalescing off."""
    max_frame_bytes: int = 1024 * 1024
    """Above this a state or a merged update is sent in several frames."""
    max_pending_bytes: int = 16 * 1024 * 1024
    """Updates of all documents that wait for a commit; above, their senders are not read."""
    max_backlog_bytes: int = 1024 * 1024
    """What a connection may send while its document loads; above, it is not read."""
    max_backlog_log_bytes: int = 16 * 1024 * 1024
    """Committed updates of one document kept for connections that lag behind; above, a
    laggard gets one difference from the document instead."""
    max_tail_updates: int = 2_000
    """Committed updates that wait to be integrated into the document in memory."""
    max_log_records: int = 2_000
    """Stored records after the newest checkpoint; above, the next checkpoint is written."""
    max_log_bytes: int = 4 * 1024 * 1024
    """The same, in bytes."""
    checkpoint_rest_s: float = 30.0
    """No edit is committed while a checkpoint is written; after one that took long the next one
    of the same document waits, until such ones take little of the time, or for this long."""
    max_awareness_clients: int = 10_000
    """Awareness states of one document, and entries of one awareness message."""
    max_awareness_bytes: int = 64 * 1024
    """One client's awareness state, as JSON in UTF-8."""
    max_ignored_messages: int = 1_000
    """Messages of one connection, between two pings, that mean nothing to a server; above, it
    is closed."""
    awareness_bytes_per_s: int = 128 * 1024 * 1024
    """Awareness sent to all connections of one document together, each frame counted with 8 KiB
    on top; where there is more, its frames go out less often."""
    max_token_bytes: int = 8 * 1024
    """A token, also one that a client hands in on an open connection."""
    token_refreshes_per_minute: int = 10
    """Tokens of one connection that are looked at in a minute; the others are refused."""
    share_failures_per_minute: int = 30
    """Wrong share links and passwords in a minute, of one link and of one address; above, no
    more are looked at."""
    max_shares: int = 1_000
    """Share links of one document that can be joined by."""
    max_awareness_per_connection: int = 100
    """Awareness states that one connection may bring; what is beyond is ignored."""
    max_awareness_clock_jump: int = 1 << 24
    """How far a connection may take a client id's awareness clock beyond where it found it."""
    max_connections: int = 100_000
    """Connections of the whole server."""
    reserved_descriptors: int = 128
    """Files and sockets that the process may open and clients may not take: the store's, and
    those of work in processes of its own. Of a very small limit, half."""
    max_connections_per_document: int = 20_000
    """Connections of one document."""
    max_connections_per_address: int = 10_000
    """Connections from one address, or one /64 network of IPv6; loopback is not counted."""
    max_connections_per_principal: int = 1_000
    """Connections of one principal; anonymous ones are not counted."""
    max_bytes_per_s: int = 16 * 1024 * 1024
    """What one connection sends; above, it is read more slowly. 0: as fast as it likes."""
    max_messages_per_s: int = 0
    """The same, in messages. Off: what a message costs is in its bytes."""
    rate_burst_s: float = 10.0
    """What a rate brings in this time may come at once."""
    max_slowed_s: float = 60.0
    """A connection that goes on above its rate for this long is closed."""
    max_document_bytes: int = 0
    """The state of one document, as stored; above, nothing is added to it. 0: any size."""
    commit_interval_s: float = 0.0025
    """An update waits this long for others to share its commit; if the last commit is longer ago,
    not at all. So at most one starts in this time. The timers of event loops count in milliseconds:
    2.5 ms are 2.1 to 2.5."""
    commit_retry_s: float = 5.0
    """A failing store is retried for this long before the affected clients are sent away."""
    awareness_interval_s: float = 0.05
    """At most one awareness frame per document goes out in this time."""
    housekeeping_interval_s: float = 1.0
    """How often idle rooms, laggards and silent peers are looked for."""
    keepalive_s: float = 20.0
    """A client that got no message for this long gets an empty awareness message."""
    ping_interval_s: float = 25.0
    """A WebSocket ping goes out this often; a peer that sent nothing between two is gone."""
    idle_room_s: float = 30.0
    """A room without connections stays open for this long."""
    max_lag_s: float = 60.0
    """A connection that takes nothing for this long while something waits is closed with 1013."""
    refusal_delay_s: float = 0.25
    """Between telling a client why it is refused and closing, so that the reason arrives."""
    max_refusal_delay_s: float = 20.0
    """The same for a client that comes back with the edits that it was refused: the pause grows
    from one time to the next, up to this."""
    max_quarantine_author_updates: int = 2_000
    """Refused updates of one author that are kept, those that follow one another counted as one;
    above this and the next ones, the oldest are dropped."""
    max_quarantine_author_bytes: int = 16 * 1024 * 1024
    """The same, in bytes."""
    max_quarantine_document_updates: int = 10_000
    """Refused updates of one document that are kept."""
    max_quarantine_document_bytes: int = 64 * 1024 * 1024
    """The same, in bytes."""
    max_quarantine_updates: int = 50_000
    """Refused updates of all documents that are kept."""
    max_quarantine_bytes: int = 256 * 1024 * 1024
    """The same, in bytes."""
    history_pause_s: float = 120.0
    """A document that was edited, and then not for this long, gets a version."""
    history_interval_s: float = 600.0
    """One that is edited all the time gets a version this often."""
    history_processes: int = 2
    """Processes that put histories together, and read them, at the same time."""
    history_timeout_s: float = 60.0
    """What one of them is asked has to be done in this time."""
    max_chat_text_bytes: int = 10_000
    """The text of one chat message, in UTF-8."""
    chat_messages_per_minute: int = 60
    """What one person may write to one chat: messages, edits, reactions; 0: without a limit."""
    chat_burst: int = 120
    """So much of it may come at once; after a time offline, as much more as the rate allows for
    the time in which it was said."""
    chat_edit_window_s: float = 900.0
    """For so long a message may be edited by its author."""
    chat_future_s: float = 60.0
    """How far the clock of a message's author may be ahead,"""
    chat_past_s: float = 7 * 86400.0
    """and how long a message may have been on its way: its author may have been offline."""
    chat_live_messages: int = 1_000
    """Messages of one chat that stay in its document when older ones go to an archive; it is
    half as many more before they do."""
    chat_archive_messages: int = 5_000
    """Messages of one archive."""
    presence_interval_s: float = 0.5
    """What presence changes in one document in this time is one update."""
    presence_grace_s: float = 5.0
    """Who comes back so soon was never gone: a page that is loaded anew."""
    max_edit_bytes: int = 8 * 1024 * 1024
    """The JSON of one request that writes a document: operations, or new content."""
    max_edit_parts: int = 10_000
    """Operations of one request, and the values, nodes and pieces of text in them."""
    idempotency_keep_s: float = 86_400.0
    """For how long a request with an idempotency key that comes again gets the first answer."""
    max_idempotency_keys: int = 100_000
    """Such keys; above, the oldest are forgotten."""
    request_timeout_s: float = 30.0
    """How long an HTTP client may keep the server waiting for more of a body (which has ten minutes
    in all, and has to come at 1 KiB a second), or take nothing of its answer."""
    drain_timeout_s: float = 10.0
    """How long a shutdown waits for commits and checkpoints."""


@lru_cache
def trusting(limits: Limits) -> Limits:
    """Return the limits for what was let in before: whatever was stored can be read again."""
    most = 1 << 62
    return replace(
        limits,
        max_conflicts=most,
        max_update_clients=most,
        max_update_structs=most,
        max_any_depth=most,
        max_type_depth=most,
    )


def naming(limits: Limits, clients: int) -> Limits:
    """Return the limits for what is read for a document of so many client ids.

    It has one for each page load that ever edited, and a client that has it names them all.
    """
    if 2 * clients <= limits.max_update_clients:
        return limits
    return replace(limits, max_update_clients=2 * clients)
