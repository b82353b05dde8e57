"""What a document holds now, in the forms of its history's content, read from its bytes.

Exact for every document, also for those that the CRDT library can't carry.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from crdtsync.content import RootKind
from crdtsync.history.content import one_root
from crdtsync.history.forms import Forms
from crdtsync.history.model import Snapshot, WrongKind
from crdtsync.history.reading import at_work, chosen
from crdtsync.history.view import View
from crdtsync.history.weave import weave
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.slicing import weave_updates
from crdtsync.state_vector import encode_state_vector
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

__all__ = ["ReadFormat", "Shown", "read_content"]

ReadFormat = Literal["json", "rich", "delta", "text", "xml", "update"]


class Shown(NamedTuple):
    """What was read."""

    value: Any
    """JSON's kinds by root's name, a text, or bytes."""
    state_vector: bytes
    """Of exactly this content."""


def read_content(updates: Sequence[bytes], format: ReadFormat, root: str | None = None) -> Shown:
    """Return a document's content, given as updates that follow one another.

    ``json`` is plain values by root, ``rich`` and ``delta`` are by root what history's content is,
    ``text`` and ``xml`` one root's, ``update`` the whole document. Raises ``UnknownRoot``,
    ``WrongKind``, ``HistoryUnavailable`` where it is nested too deeply.
    """
    limits = trusting(Limits())
    with at_work():
        state = updates[0] if len(updates) == 1 else EMPTY_UPDATE
        if len(updates) > 1:
            state, _ = weave_updates(iter(updates), limits)
        found = scan(state, limits, structs=True)
        clocks = {client: end for client, _, end in found.ranges}
        vector = encode_state_vector(clocks)
        if format == "update":
            return Shown(state, vector)
        deletes = IdSet()
        deletes.add(found.deletes)
        view = View(weave(state, found), Snapshot(clocks, deletes))
        return Shown(_shown(view, format, root), vector)


def _shown(view: View, format: ReadFormat, root: str | None) -> Any:
    forms = Forms(view)
    kinds = view.roots()
    roots = view.weave.roots
    if format == "text" or format == "xml":
        name = one_root(kinds, format, root)
        return forms.text(roots[name]) if format == "text" else forms.xml(roots[name])
    found: dict[str, Any] = {}
    for name in chosen(kinds, root):
        kind: RootKind = kinds[name]
        if format == "json":
            found[name] = forms.plain(roots[name], kind)
        elif format == "rich":
            found[name] = forms.rich(roots[name], kind)
        elif kind == "text":
            found[name] = {"kind": kind, "delta": forms.delta(roots[name])}
        elif root is not None:
            raise WrongKind(f"root {root!r} is no text but {kind}", hint="Read it as json")
    return found
