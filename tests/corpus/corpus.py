"""Read the recorded corpus: real Yjs updates, and what Yjs itself says about each."""

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))

SKIP = 10
"""The kind of a struct that is no content but a hole."""

Range = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Struct:
    """One struct as Yjs decodes it; the names are ``crdtsync.update.Struct``'s."""

    client: int
    clock: int
    length: int
    kind: int
    origin: tuple[int, int] | None
    right: tuple[int, int] | None
    parent: tuple[int, int] | str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One update and Yjs's report on it."""

    data: bytes
    structs: tuple[Struct, ...]
    deletes: tuple[Range, ...]
    start: dict[int, int]
    """`parseUpdateMeta().from`: each client's first clock."""
    end: dict[int, int]
    """`parseUpdateMeta().to`: each client's end clock."""

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The struct ranges, Skips left out, joined where they touch."""
        return joined(
            (s.client, s.clock, s.clock + s.length) for s in self.structs if s.kind != SKIP
        )

    @property
    def roots(self) -> frozenset[str]:
        """The names of root types that the bytes hold."""
        return frozenset(s.parent for s in self.structs if isinstance(s.parent, str))


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded history: its updates in order, the final state and that state's content."""

    name: str
    updates: tuple[Recorded, ...]
    state: Recorded
    content: dict[str, Any]

    @property
    def all(self) -> Iterator[Recorded]:
        """The updates and the state."""
        yield from self.updates
        yield self.state


def load(name: str, folder: Path = FOLDER) -> Case:
    """Load one case by its name."""
    raw = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Case(
        name=raw["case"],
        updates=tuple(_recorded(update) for update in raw["updates"]),
        state=_recorded(raw["state"]),
        content=raw["content"],
    )


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges and join those of one client that touch or overlap."""
    result: list[Range] = []
    for client, start, end in sorted(ranges):
        if result and result[-1][0] == client and result[-1][2] >= start:
            result[-1] = (client, result[-1][1], max(end, result[-1][2]))
        else:
            result.append((client, start, end))
    return tuple(result)


def _recorded(raw: dict[str, Any]) -> Recorded:
    return Recorded(
        data=_unpacked(raw["update"]),
        structs=tuple(_struct(*row) for row in raw["structs"]),
        deletes=tuple((client, start, end) for client, start, end in raw["deletes"]),
        start=dict(raw.get("from", ())),
        end=dict(raw.get("to", ())),
    )


def _struct(
    client: int,
    clock: int,
    length: int,
    kind: int,
    origin: list[int] | None = None,
    right: list[int] | None = None,
    parent: list[int] | str | None = None,
    key: str | None = None,
) -> Struct:
    return Struct(
        client, clock, length, kind,
        _id(origin), _id(right), parent if isinstance(parent, str) else _id(parent), key,
    )  # fmt: skip


def _id(pair: list[int] | None) -> tuple[int, int] | None:
    return None if pair is None else (pair[0], pair[1])


def _unpacked(text: str) -> bytes:
    if text.startswith("z:"):
        return zlib.decompress(base64.b64decode(text[2:]))
    return base64.b64decode(text)
