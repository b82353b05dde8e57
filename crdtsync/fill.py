"""How large a document is, and whether more may be written to it.

Owns the estimate: the size of the newest checkpoint's state, and what was stored since. A log is
larger than what it adds to the state (20 bytes for a keystroke's one), so it may exceed the limit
by ``max_log_bytes``, or a quarter, until a checkpoint has shown how large the document really is.
"""

from collections.abc import Callable

from crdtsync.errors import MessageTooLarge
from crdtsync.limits import Limits
from crdtsync.structs import Scan

__all__ = ["Fill"]

WORTH = 16
"""A checkpoint is made to know better once the log is this part of the limit."""


class Fill:
    """One document's size against its limit."""

    __slots__ = ("_slack", "full", "limit", "log_bytes", "pending_bytes", "state_bytes")

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.max_document_bytes
        """0: there is none."""
        self._slack = min(limits.max_log_bytes, self.limit // 4)
        self.state_bytes = 0
        """Of the newest checkpoint."""
        self.log_bytes = 0
        """Stored behind it."""
        self.pending_bytes = 0
        """Let in, and not yet stored."""
        self.full = False
        """Whether nothing but deletions is let in."""

    def note(self, log_bytes: int, pending_bytes: int) -> bool:
        """Take note of what is stored and what waits; return whether ``full`` has changed."""
        self.log_bytes, self.pending_bytes = log_bytes, pending_bytes
        full = self._over(0)
        changed, self.full = full != self.full, full
        return changed

    def _over(self, size: int) -> bool:
        state = self.state_bytes + size
        stored = state + self.log_bytes + self.pending_bytes
        return bool(self.limit) and (state > self.limit or stored > self.limit + self._slack)

    def check(self, update: bytes, found: Scan, known: Callable[[Scan], bool]) -> None:
        """Raise ``MessageTooLarge`` where an update would make the document too large.

        Updates that only delete, and those that bring nothing new, are let pass.
        """
        if self._over(len(update)) and found.ranges and not known(found):
            raise MessageTooLarge(
                "the document would be over its size limit (max_document_bytes)",
                kind="document-too-large",
            )
        self.pending_bytes += len(update)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether one would tell at once; a full document's wait for housekeeping."""
        return self.uncertain and not self.full

    @property
    def uncertain(self) -> bool:
        """Whether a checkpoint would tell more."""
        if not self.limit or not self.log_bytes:
            return False
        if self.full:
            return True
        estimate = self.state_bytes + self.log_bytes
        return estimate > self.limit and self.log_bytes * WORTH > self.limit
