"""Updates and damaged stores to test with."""

from collections.abc import AsyncIterator, Callable

import pycrdt

from crdtsync.store.base import Finding, Loaded
from crdtsync.store.memory import MemoryStore


def update(fill: Callable[[pycrdt.Doc], None], *, client: int = 1) -> bytes:
    doc: pycrdt.Doc = pycrdt.Doc(client_id=client)
    fill(doc)
    return doc.get_update()


def text(words: str, *, client: int = 1, root: str = "t") -> bytes:
    return update(lambda doc: doc.get(root, type=pycrdt.Text).insert(0, words), client=client)


class Tampered(MemoryStore):
    """A store that returns what it is told to, checksums and all."""

    def __init__(self, loaded: Loaded, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__()
        self.loaded = loaded
        self.findings = findings

    async def load(self, document: str) -> Loaded:
        return self.loaded

    async def check(self, *, repair: bool = False) -> AsyncIterator[Finding]:
        for finding in self.findings:
            yield finding
