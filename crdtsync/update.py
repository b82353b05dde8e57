"""The update reader: one strict pass over a Yjs v1 update, and the way to cut one.

Owns what an update's bytes say: which struct ranges it brings, what they depend on, what it
deletes, which roots it names. It refuses what no Yjs client writes and what is known to crash,
stall or mislead a CRDT library, so that only sound bytes are ever stored, relayed or
integrated. It knows no document: whether the update fits is decided by ``document``.

The format (Yjs 13, ``encoding.js``, ``structs/*.js``), all integers varints::

    update   := clients:n (block){n} deletes
    block    := structs:n client clock (struct){n}            clocks follow one another
    struct   := 0x00 length                                   GC
              | 0x0A length                                   Skip
              | info [origin] [right origin] [parent [key]] content
    info     := content kind (bits 0-4) | 0x20 has key | 0x40 has right origin | 0x80 has origin
    origin   := client clock                                  parent only where no origin is
    parent   := 1 string | 0 client clock
    deletes  := clients:n (client ranges:n (clock length){n}){n}
"""

from typing import Final

from crdtsync.encoding import read_var_bytes, read_var_string, read_var_uint
from crdtsync.errors import InvalidUpdate
from crdtsync.joining import read_deletes
from crdtsync.limits import Limits
from crdtsync.structs import (
    ANY,
    BINARY,
    DELETED,
    DOC,
    EMBED,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT,
    JSON,
    MAX_CLOCK,
    NO_ROOTS,
    SKIP,
    STRING,
    TYPE,
    Id,
    Range,
    Scan,
    Struct,
)
from crdtsync.values import ANY_BIGINT, ANY_OBJECT, check_json, has_bigint, skip_any

__all__ = ["MARKED_STRUCTS", "scan"]

MANY_STRUCTS: Final = 1000
"""Of an update of more it is told what joining its items takes,"""
MARKED_STRUCTS: Final = 1000
"""and where it may be cut, so many apart."""

_XML_ELEMENT: Final = 3
_XML_HOOK: Final = 5
_LAST_TYPE: Final = 6


def scan(data: bytes, limits: Limits, *, structs: bool = False) -> Scan:
    """Read a v1 update in one pass; with ``structs``, describe each of them too.

    Raises ``InvalidUpdate``, and nothing else, for anything that is not a sound v1 update.
    """
    # The hot path: once per keystroke. Varints of one byte are read in place, and a client id
    # that repeats the block's own is recognised by its bytes (2.1 us instead of 3.6 for a
    # keystroke with two origins).
    try:
        size = len(data)
        described: list[Struct] | None = [] if structs else None
        ranges: list[Range] = []
        needs: dict[int, int] = {}
        roots: set[str] | None = None
        types = skips = keys = False
        places: dict[bytes, int] | None = None
        total = patience = joining = run_bytes = 0
        many = follows = False
        last_kind = -1
        pairs: list[Id] | None = None
        parents: list[Id] | None = None
        verbatim = False
        bodies: list[Range] = []
        voids: list[Range] | None = None
        marks: list[Range] | None = None

        clients = data[0]
        position = 1
        if clients >= 0x80:
            clients, position = read_var_uint(data, 0)
        seen: set[int] | None = None
        if clients > 1:
            if clients > limits.max_update_clients:
                raise InvalidUpdate("the update names too many clients", kind="update-clients")
            seen = set()

        for _ in range(clients):
            count = data[position]
            position += 1
            if count >= 0x80:
                count, position = read_var_uint(data, position - 1)
            if not count:
                raise InvalidUpdate(
                    "a client of the update has no structs", kind="update-empty-client"
                )
            total += count
            if total > limits.max_update_structs:
                raise InvalidUpdate("the update has too many structs", kind="update-structs")
            if total > limits.max_conflicts and places is None:
                places = {}
                patience = limits.max_conflicts**2 // 2  # steps that integrating may take
            many = many or total > MANY_STRUCTS
            begin = position
            client = data[position]
            position += 1
            if client >= 0x80:
                client, position = read_var_uint(data, begin)
            own = data[begin:position]
            if seen is not None:
                if client in seen:
                    raise InvalidUpdate("a client stands in the update twice")
                seen.add(client)
            clock = data[position]
            position += 1
            if clock >= 0x80:
                clock, position = read_var_uint(data, position - 1)
            run = clock
            body = position
            left = count

            while left:
                left -= 1
                begin = position
                info = data[position]
                position += 1
                kind = info & 0x1F
                origin = right = None
                parent: Id | str | None = None
                key: str | None = None
                type_ref = -1
                if kind == SKIP or kind == GC:
                    if info != kind:
                        raise InvalidUpdate("a struct has flags that its kind can't have")
                    length, position = read_var_uint(data, position)
                    if kind == SKIP:
                        skips = True
                        if clock > run:
                            ranges.append((client, run, clock))
                        run = clock + length
                    else:
                        voids = voids or []
                        _note_void(voids, client, clock, clock + length)
                else:
                    place = position
                    if info & HAS_KEY:
                        keys = True
                    if info & 0xC0:
                        if info & HAS_ORIGIN:
                            if data.startswith(own, position):
                                position += len(own)
                                other = client
                            else:
                                other, position = read_var_uint(data, position)
                            at = data[position]
                            position += 1
                            if at >= 0x80:
                                at, position = read_var_uint(data, position - 1)
                            if other == client:
                                if at >= clock:
                                    raise InvalidUpdate(
                                        "an item stands behind a later one of its own"
                                    )
                                follows = at + 1 == clock
                            elif needs.get(other, 0) <= at:
                                needs[other] = at + 1
                            if described is not None:
                                origin = (other, at)
                        if info & HAS_RIGHT:
                            if data.startswith(own, position):
                                position += len(own)
                                other = client
                            else:
                                other, position = read_var_uint(data, position)
                            at = data[position]
                            position += 1
                            if at >= 0x80:
                                at, position = read_var_uint(data, position - 1)
                            if other == client:
                                if at >= clock:
                                    raise InvalidUpdate(
                                        "an item stands before a later one of its own"
                                    )
                            elif needs.get(other, 0) <= at:
                                needs[other] = at + 1
                            if described is not None:
                                right = (other, at)
                    else:
                        named = data[position]
                        position += 1
                        if named == 1:
                            parent, position = read_var_string(data, position)
                            if roots is None:
                                roots = set()
                            roots.add(parent)
                        elif named == 0:
                            other, position = read_var_uint(data, position)
                            at, position = read_var_uint(data, position)
                            if other == client:
                                if at >= clock:
                                    raise InvalidUpdate("an item lies in a later one of its own")
                            elif needs.get(other, 0) <= at:
                                needs[other] = at + 1
                            parent = (other, at)
                            if parents is None:
                                parents = []
                            parents.append(parent)
                        else:
                            raise InvalidUpdate("an item's parent is neither a name nor an id")
                        if info & HAS_KEY:
                            key, position = read_var_string(data, position)
                    if places is not None:
                        at_place = bytes((info & 0xE0,)) + data[place:position]
                        conflicts = places.get(at_place, 0)
                        patience -= conflicts
                        if conflicts >= limits.max_conflicts or patience < 0:
                            raise InvalidUpdate(
                                "too many items of the update compete for one place",
                                kind="update-conflicts",
                            )
                        places[at_place] = conflicts + 1
                    if kind == STRING:
                        length = data[position]
                        position += 1
                        if length >= 0x80:
                            length, position = read_var_uint(data, position - 1)
                        end = position + length
                        if end > size:
                            raise IndexError
                        text = data[position:end]
                        if not text.isascii():
                            string = text.decode()
                            length = len(string.encode("utf-16-le")) >> 1
                            if length != len(string):
                                if pairs is None:
                                    pairs = []
                                _note_pairs(pairs, string, client, clock)
                        position = end
                    elif kind == TYPE:
                        types = True
                        type_ref, position = read_var_uint(data, position)
                        if type_ref > _LAST_TYPE:
                            raise InvalidUpdate("the update makes a shared type of an unknown kind")
                        if type_ref in (_XML_ELEMENT, _XML_HOOK):
                            _, position = read_var_string(data, position)
                            verbatim |= type_ref == _XML_HOOK
                        length = 1
                    else:
                        place = position
                        length, position = _read_content(kind, data, position, limits)
                        if kind == ANY and data.find(ANY_BIGINT, place, position) >= 0:
                            verbatim |= has_bigint(data, place)
                        elif kind == DELETED:
                            voids = voids or []
                            _note_void(voids, client, clock, clock + length)
                if not length:
                    raise InvalidUpdate(
                        "a struct of the update has no length", kind="update-zero-length"
                    )
                if described is not None:
                    described.append(
                        Struct(
                            client, clock, length, kind, begin, position,
                            origin, right, parent, key, info & HAS_KEY != 0, type_ref,
                        )
                    )  # fmt: skip
                if many:
                    if follows and kind == last_kind and (kind == STRING or kind == ANY):
                        run_bytes += position - begin
                        joining += run_bytes
                    else:
                        run_bytes = position - begin
                    last_kind = kind
                    follows = False
                    if not left % MARKED_STRUCTS and left:
                        marks = marks or []
                        marks.append((clock + length, position, left))
                clock += length
                if clock > MAX_CLOCK:
                    raise InvalidUpdate("a clock of the update is above 2^31", kind="update-clock")
            if clock > run:
                ranges.append((client, run, clock))
            bodies.append((body, position, count))

        deletes: tuple[Range, ...] = ()
        if data[position]:
            deletes, position = read_deletes(data, position, limits)
        else:
            position += 1
        if position != size:
            raise InvalidUpdate("bytes stand behind the update's end", kind="update-trailing")
        return Scan(
            tuple(ranges),
            tuple(bodies),
            deletes,
            skips,
            needs,
            NO_ROOTS if roots is None else frozenset(roots),
            types,
            parents,
            keys,
            pairs,
            verbatim,
            described,
            voids,
            joining if many else None,
            marks or (),
        )
    except IndexError:
        raise InvalidUpdate("the update is truncated", kind="update-truncated") from None
    except UnicodeDecodeError:
        raise InvalidUpdate("the update holds text that is not UTF-8") from None
    except ValueError as error:
        raise InvalidUpdate(f"the update is damaged: {error}") from None


def _note_void(voids: list[Range], client: int, start: int, end: int) -> None:
    if voids and voids[-1][2] == start and voids[-1][0] == client:
        start = voids.pop()[1]
    voids.append((client, start, end))


def _note_pairs(pairs: list[Id], string: str, client: int, clock: int) -> None:
    for char in string:
        clock += 1
        if char > "\uffff":
            pairs.append((client, clock))
            clock += 1


def _read_content(kind: int, data: bytes, position: int, limits: Limits) -> tuple[int, int]:
    """Check the less frequent contents; return their length in clocks and the next position."""
    if kind == DELETED:
        return read_var_uint(data, position)
    if kind == ANY:
        length, position = read_var_uint(data, position)
        for _ in range(length):
            position = skip_any(data, position, limits.max_any_depth)
        return length, position
    if kind == FORMAT:
        _, position = read_var_string(data, position)
        return 1, check_json(data, position)
    if kind == EMBED:
        return 1, check_json(data, position)
    if kind == BINARY:
        _, position = read_var_bytes(data, position)
        return 1, position
    if kind == DOC:
        _, position = read_var_string(data, position)
        if data[position] != ANY_OBJECT:
            raise InvalidUpdate("a subdocument's options are not an object")
        return 1, skip_any(data, position, limits.max_any_depth)
    if kind == JSON:
        raise InvalidUpdate("the update holds JSON structs, which Yjs gave up", kind="update-json")
    raise InvalidUpdate("the update holds a struct of an unknown kind (is it a V2 update?)")
