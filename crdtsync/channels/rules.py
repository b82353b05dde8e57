"""Which documents have a chat, and in which the server keeps presence."""

from dataclasses import dataclass

from crdtsync.channels.names import archive_of
from crdtsync.roles import fits

__all__ = ["ChannelRules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRules:
    """Patterns of document names; ``*`` in one stands for any run of characters.

    In a document that none fits, the roots of channels are roots like any other.
    """

    chat: tuple[str, ...] = ()
    presence: tuple[str, ...] = ()

    def chats(self, document: str) -> bool:
        """Return whether a document has a chat, or is the archive of one that has."""
        archive = archive_of(document)
        if archive is not None and self._fits(self.chat, archive.document):
            return True
        return self._fits(self.chat, document)

    def present(self, document: str) -> bool:
        """Return whether the server keeps presence in a document; in an archive it does not."""
        return self._fits(self.presence, document) and not (
            archive_of(document) is not None and self.chats(document)
        )

    def concerns(self, document: str) -> bool:
        """Return whether anything of a document is a channel."""
        return self.chats(document) or self.present(document)

    def _fits(self, patterns: tuple[str, ...], document: str) -> bool:
        return any(fits(pattern, document) for pattern in patterns)
