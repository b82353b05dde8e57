"""Who was shown what, and whether it is still there.

Owns, for each document, how many edits of each writer are safe, and what clients were shown since
that was last looked at. A document has to hold exactly the first so many edits of each writer, at
least those that anyone was shown, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.crash.clients import Client, Writing
from tests.crash.edits import expected, holding

__all__ = ["Ledger", "Lost"]


class Lost(AssertionError):
    """Something that was shown is gone, or what is there is not what was written."""


@dataclass(slots=True)
class Ledger:
    """The books of one store."""

    writings: Sequence[Writing]
    found: int = 0
    """Edits that have been looked for, and were there."""
    safe: dict[str, dict[int, int]] = field(default_factory=dict)
    _shown: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.writings:
            self.safe.setdefault(each.document, {})[each.client] = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is known to be stored."""
        return not any(any(counts.values()) for counts in self.safe.values())

    def shown(self, client: Client) -> None:
        """Take into account what a client was shown."""
        self._shown.setdefault(client.document, []).extend(client.updates())

    def compare(self, document: str, state: Sequence[bytes]) -> None:
        """Compare what a document holds with all that was shown of it. Raises ``Lost``."""
        safe, shown = self.safe[document], self._shown.pop(document, [])
        held = holding(list(safe), state)
        wrong = [client for client, count in held.counts.items() if count is None]
        if wrong:
            raise Lost(f"{document!r} holds no first part of what {wrong} wrote: {held}")
        counts = {client: count or 0 for client, count in held.counts.items()}
        seen = holding(list(safe), shown).counts
        _find(document, "stored before", safe, counts)
        _find(document, "shown", {client: count or 0 for client, count in seen.items()}, counts)
        for each in self.writings:
            if each.document == document and counts[each.client] > each.sent:
                raise Lost(f"{document!r} holds more of {each.client} than the {each.sent} sent")
        right = expected(counts)
        for what, whole in (
            ("alone", held),
            ("with all that was shown", holding(list(safe), [*state, *shown])),
        ):
            if whole != right:
                raise Lost(f"{document!r} {what} is not the edits {counts}: {whole}")
        self.found += sum(counts.values()) - sum(safe.values())
        safe.update(counts)
        for each in self.writings:
            if each.document == document:
                each.sent = counts[each.client]


def _find(document: str, what: str, least: Mapping[int, int], counts: Mapping[int, int]) -> None:
    for client, count in least.items():
        if counts[client] < count:
            raise Lost(
                f"{counts[client]} are left of {count} edits of {client} in {document!r} "
                f"that were {what}"
            )
