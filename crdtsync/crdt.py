"""The one place that calls pycrdt.

Owns every call into the CRDT library and what goes wrong in it. pycrdt raises exceptions of all
kinds, ``BaseException`` among them (a Rust panic), and can end the process when it is given
bytes that leave gaps; so only checked, causally complete updates come here, whatever it
raises all the same leaves as one ``IntegrationError``, and before each call the document's
*watch* takes note of it.
"""

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pycrdt

from crdtsync.clock import Clock, ManualClock
from crdtsync.errors import CrdtsyncError
from crdtsync.guard import NO_WATCH, Watch, Work
from crdtsync.portions import PORTION_BYTES, portions_of
from crdtsync.recursion import deep_recursion
from crdtsync.structs import EMPTY_UPDATE

__all__ = ["VERSION", "IntegrationError", "Pen", "Replica", "read_roots", "read_shown", "write"]

VERSION: str = pycrdt.__version__

T = TypeVar("T")

PATIENCE_S = 0.25
"""Integrating may take so long in any case,"""
PATIENCE_S_PER_BYTE = 2e-6
"""and so long for its size: ten times what the slowest known document takes."""


class IntegrationError(CrdtsyncError):
    """The CRDT library refused bytes that the update reader had let through."""


def _contained(call: Callable[[], T], watch: Watch, work: Work) -> T:
    watch.enter(work)
    try:
        return call()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise IntegrationError(f"{type(error).__name__}: {error}") from error
    finally:
        watch.leave()


def _integrate(doc: "pycrdt.Doc[Any]", updates: Iterable[bytes], clock: Clock) -> None:
    """Integrate updates that follow one another, some kilobytes in one transaction.

    One each costs 2.6 us a keystroke, 2,000 joined ones 0.3, all 259,778 of a paper 7; and one
    update of as many items as characters takes the square of their number in bytes, unless it is
    cut.
    """
    waiting = (portion for update in updates for portion in portions_of(update))
    portion = next(waiting, None)
    total = 0
    started_s = clock.monotonic_s()
    while portion is not None:
        size = 0
        with doc.transaction():
            while portion is not None and size < PORTION_BYTES:
                doc.apply_update(portion)
                size += len(portion)
                portion = next(waiting, None)
        total += size
        took_s = clock.monotonic_s() - started_s
        if portion is not None and took_s > PATIENCE_S + total * PATIENCE_S_PER_BYTE:
            raise IntegrationError("it takes too long")


class Replica:
    """A document in memory, for answering "what do I lack" and for making one update of many."""

    __slots__ = ("_clock", "_doc", "_watch")

    def __init__(
        self,
        state: bytes = EMPTY_UPDATE,
        watch: Watch = NO_WATCH,
        clock: Clock | None = None,
        *,
        work: Work = Work.LOADING,
        joined: bool = False,
    ) -> None:
        """``joined`` says that the state is known not to be loose: it need not be looked at."""
        self._doc = pycrdt.Doc[Any]()
        self._watch = watch
        self._clock = clock or ManualClock()  # stands still: there is all the time
        if joined and state != EMPTY_UPDATE:
            _contained(lambda: self._doc.apply_update(state), watch, work)
        elif state != EMPTY_UPDATE:
            self.apply((state,), work=work)

    def apply(self, updates: Iterable[bytes], *, work: Work = Work.INTEGRATING) -> None:
        """Integrate updates that follow one another.

        Raises ``IntegrationError``, also where it takes too long (items that compete for one
        place take the square of their number); the replica may hold a part then, and is to be
        thrown away.
        """
        _contained(lambda: _integrate(self._doc, updates, self._clock), self._watch, work)

    def state(self) -> bytes:
        """Return the whole document as one update."""
        return _contained(self._doc.get_update, self._watch, Work.READING)

    def state_vector(self) -> bytes:
        """Return the encoded state vector."""
        return _contained(self._doc.get_state, self._watch, Work.READING)

    def diff(self, state_vector: bytes) -> bytes:
        """Return what a document with ``state_vector`` lacks; every deletion is in it."""
        return _contained(lambda: self._doc.get_update(state_vector), self._watch, Work.READING)


_ROOT_TYPES: dict[str, type[Any]] = {
    "array": pycrdt.Array,
    "map": pycrdt.Map,
    "text": pycrdt.Text,
    "xml": pycrdt.XmlFragment,
}


def read_roots(state: bytes, kinds: Mapping[str, str], watch: Watch = NO_WATCH) -> dict[str, Any]:
    """Return the values of named roots, whose kinds are known, as JSON's kinds.

    Raises ``IntegrationError``.
    """

    def call() -> dict[str, Any]:
        doc = pycrdt.Doc[Any]()
        _integrate(doc, (state,), ManualClock())
        return {name: _plain(doc.get(name, type=_ROOT_TYPES[kind])) for name, kind in kinds.items()}

    with deep_recursion():
        return _contained(call, watch, Work.EXPORTING)


def read_shown(
    updates: Iterable[bytes], kinds: Mapping[str, str], watch: Watch = NO_WATCH
) -> list[dict[str, Any]]:
    """Return all that users see of named roots after each of some updates.

    It is for comparing: made of JSON's kinds, formats, embeds and attributes too, in a form of
    its own. No root or type other than a text may hold characters: pycrdt reads them for ever.
    Raises ``IntegrationError``.
    """

    def call() -> list[dict[str, Any]]:
        doc = pycrdt.Doc[Any]()
        found: list[dict[str, Any]] = []
        for update in updates:
            _integrate(doc, (update,), ManualClock())
            roots = ((name, doc.get(name, type=_ROOT_TYPES[kind])) for name, kind in kinds.items())
            found.append({name: _shown(root) for name, root in roots})
        return found

    with deep_recursion():
        return _contained(call, watch, Work.PROVING)


def _shown(value: Any) -> Any:
    if isinstance(value, pycrdt.Text | pycrdt.XmlText):
        runs: list[list[Any]] = []
        for run, attributes in value.diff():
            formats = {key: _plain(each) for key, each in (attributes or {}).items()}
            formats = {key: each for key, each in formats.items() if each is not None}
            if isinstance(run, str) and runs and runs[-1][1] == formats and runs[-1][2]:
                runs[-1][0] += run
            else:
                runs.append([_shown(run), formats, isinstance(run, str)])
        return [runs, _attributes(value) if isinstance(value, pycrdt.XmlText) else {}]
    if isinstance(value, pycrdt.Map):
        plain = _plain_map(value)
        return {key: _shown(value[key]) if plain[key] is not None else None for key in plain}
    if isinstance(value, pycrdt.Array):
        return [_shown(each) for each in value]
    if isinstance(value, pycrdt.XmlElement):
        return [value.tag, _attributes(value), [_shown(each) for each in value.children]]
    if isinstance(value, pycrdt.XmlFragment):
        return [_shown(each) for each in value.children]
    return _plain(value)


def _attributes(value: Any) -> dict[str, Any]:
    return {key: _shown(each) for key, each in value.attributes}


def _plain_map(value: "pycrdt.Map[Any]") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in sorted(value.keys()):
        try:
            found[key] = _plain(value[key])
        except KeyError:  # its newest item holds no value, such as a mark: Yjs's undefined
            found[key] = None
    return found


def _plain(value: Any) -> Any:
    """Turn a shared type or a value into what JSON has words for."""
    if isinstance(value, pycrdt.Map):
        return _plain_map(value)
    if isinstance(value, pycrdt.Array):
        return [_plain(each) for each in value]
    if isinstance(value, pycrdt.Text):
        return str(value)
    if isinstance(value, pycrdt.XmlFragment | pycrdt.XmlElement | pycrdt.XmlText):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    return value if value is None or isinstance(value, str | int | bool) else None


def write(
    updates: Iterable[bytes],
    client: int,
    work: Callable[["Pen", bytes], CrdtsyncError | None],
    watch: Watch = NO_WATCH,
) -> bytes:
    """Return what ``work`` does to a document, as one update of exactly this change.

    The document is made of updates that follow one another; ``work`` is handed its state, too,
    and returns what it finds wrong, which is raised then. ``client`` is the new items' id. Raises
    ``IntegrationError``.
    """

    def call() -> bytes | CrdtsyncError:
        doc = pycrdt.Doc[Any](client_id=client, skip_gc=True)
        _integrate(doc, updates, ManualClock())
        state = doc.get_update()
        changes: list[bytes] = []
        subscription = doc.observe(lambda event: changes.append(event.update))
        with doc.transaction():
            wrong = work(Pen(doc), state)
        doc.unobserve(subscription)
        if wrong is not None:
            return wrong
        return changes[0] if changes else EMPTY_UPDATE

    with deep_recursion():
        found = _contained(call, watch, Work.INTEGRATING)
    if isinstance(found, CrdtsyncError):
        raise found
    return found


class Pen:
    """Writes in the document that ``write`` has open, within its ``work`` alone.

    Shared types are opaque to who uses it. Positions in text are bytes of UTF-8, where an embed
    counts one: that is how the library counts.
    """

    __slots__ = ("_doc",)

    def __init__(self, doc: "pycrdt.Doc[Any]") -> None:
        self._doc = doc

    def root(self, name: str, kind: str) -> Any:
        """Return a root of one of the four kinds."""
        return self._doc.get(name, type=_ROOT_TYPES[kind])

    def kind(self, shared: Any) -> str:
        """Return what a shared type is; nothing for what is none."""
        return next((kind for kind, each in _KINDS.items() if isinstance(shared, each)), "")

    def value(self, shared: Any, key: str) -> Any:
        """Return what a map has under a key. Raises ``KeyError``."""
        return shared[key]

    def element(self, shared: Any, index: int) -> Any:
        """Return a value of an array, or a node in XML."""
        return (shared if isinstance(shared, pycrdt.Array) else shared.children)[index]

    def length(self, shared: Any) -> int:
        """Return how many values or nodes there are."""
        return len(shared if isinstance(shared, pycrdt.Array) else shared.children)

    def runs(self, shared: Any) -> list[tuple[Any, dict[str, Any]]]:
        """Return a text's characters, and what else stands there, with their formats."""
        return [(run, attributes or {}) for run, attributes in shared.diff()]

    def text_bytes(self, shared: Any) -> int:
        """Return how long a text is as positions in it are counted."""
        return len(shared)

    def insert(self, shared: Any, index: int, value: Any) -> None:
        """Insert one value into an array, or one node into XML."""
        if isinstance(shared, pycrdt.Array):
            shared.insert(index, value)
        else:
            shared.children.insert(index, value)

    def delete(self, shared: Any, index: int, length: int) -> None:
        """Delete values, nodes, or bytes of a text."""
        listed = isinstance(shared, pycrdt.Array | pycrdt.Text | pycrdt.XmlText)
        del (shared if listed else shared.children)[index : index + length]

    def insert_text(self, shared: Any, index: int, text: str, attributes: dict[str, Any]) -> None:
        """Insert characters with exactly these formats."""
        shared.insert(index, text, attributes)

    def insert_embed(self, shared: Any, index: int, value: Any, attributes: dict[str, Any]) -> None:
        """Insert an embed, or a shared type, with exactly these formats."""
        shared.insert_embed(index, value, attributes)

    def format(self, shared: Any, index: int, length: int, attributes: dict[str, Any]) -> None:
        """Set formats of bytes of a text; ``None`` takes one away."""
        shared.format(index, index + length, attributes)

    def set(self, shared: Any, key: str, value: Any) -> None:
        """Set a key of a map, or an attribute."""
        (shared if isinstance(shared, pycrdt.Map) else shared.attributes)[key] = value

    def remove(self, shared: Any, key: str) -> bool:
        """Remove a key of a map, or an attribute; return whether there was one."""
        if isinstance(shared, pycrdt.Map):
            keyed: Any = shared
            there = key in shared.keys()  # noqa: SIM118 - the library's own iteration differs
        else:
            keyed = shared.attributes
            there = any(name == key for name, _ in keyed)
        if there:
            del keyed[key]
        return there

    def new(self, kind: str, name: str = "") -> Any:
        """Return a shared type that is nowhere yet; put it somewhere, then fill it."""
        return pycrdt.XmlElement(name) if kind == "element" else _KINDS[kind]()


_KINDS: dict[str, type[Any]] = {
    "text": pycrdt.Text,
    "map": pycrdt.Map,
    "array": pycrdt.Array,
    "element": pycrdt.XmlElement,
    "xml-text": pycrdt.XmlText,
    "xml": pycrdt.XmlFragment,
}
