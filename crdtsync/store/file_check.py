"""Reading a whole file store and saying what is wrong with it; setting damaged files aside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from crdtsync.errors import StoreError
from crdtsync.store import file_disk
from crdtsync.store.base import Damage, Finding, Loaded
from crdtsync.store.file_documents import ASIDE, Documents
from crdtsync.store.file_format import Contents, Header, read_contents, read_header
from crdtsync.store.file_journal import journals_in, read_journal
from crdtsync.store.file_names import SUFFIX

__all__ = ["Checker"]


@dataclass(frozen=True, slots=True)
class Checker:
    """One check of a whole store."""

    folder: Path
    documents: Documents
    names: Callable[[], list[str]]
    load: Callable[[str], Loaded]
    repaired: Callable[[str], None] | None
    """Called after each repair of a document; ``None`` where nothing is to be repaired."""
    now_ms: int

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong with the store as a whole, then each document's findings."""
        yield from self._journals()
        yield from self._strangers()
        for name in self.names():
            yield self._document(name)

    def cut(self, damage: Damage) -> None:
        """Set a document's file aside, and keep what is in it before a sequence."""
        path = self.documents.path(damage.document)
        data = file_disk.read(path)
        if data is not None and self.repaired is not None:
            self._keep_intact(path, read_header(data), data, damage.sequence)
            self.repaired(damage.document)

    def _journals(self) -> Iterator[Finding]:
        for path in journals_in(self.folder):
            data = file_disk.read(path)
            if data is None:
                continue  # settled this moment
            replay = read_journal(path, data)
            if replay.lost_bytes:
                yield Finding(
                    "", 0, "error", f"{replay.lost_bytes} bytes of {path.name} are damaged"
                )
        for path in sorted(self.folder.glob(f"journal-*{ASIDE}*")):
            yield _kept(path)

    def _strangers(self) -> Iterator[Finding]:
        """Yield the files that belong to no document by their names."""
        for path in sorted(self.documents.folder.iterdir()):
            if ASIDE in path.name:
                yield _kept(path)
            elif path.suffix == ".tmp":
                yield self._unfinished(path)
            elif path.suffix != SUFFIX or not path.is_file():
                yield Finding("", 0, "warning", f"{path.name} is not a file of this store")
            elif self.documents.name_in(path) is None:
                yield self._nameless(path)

    def _unfinished(self, path: Path) -> Finding:
        if self.repaired is not None:
            path.unlink(missing_ok=True)
        return Finding(
            "",
            0,
            "warning",
            f"{path.name} was not written to its end, or is being written",
            repaired=self.repaired is not None,
        )

    def _nameless(self, path: Path) -> Finding:
        """Report a file that no document's name leads to."""
        header = read_header(path.read_bytes())
        whose = "nobody can say whose" if header is None else f"document {header.name!r}"
        if self.repaired is not None:
            self._set_aside(path)
        return Finding(
            "",
            0,
            "error",
            f"{path.name} is not where its document is looked for ({whose})",
            repaired=self.repaired is not None,
        )

    def _document(self, name: str) -> Finding:
        try:
            loaded = self.load(name)
            found = self.documents.read(name)
        except (OSError, StoreError) as error:
            return Finding(name, 0, "error", str(error))
        checkpoint, records, damage = loaded.checkpoint, loaded.records, loaded.damage
        after = checkpoint.sequence if checkpoint is not None else 0
        last = records[-1].sequence if records else after
        if damage is not None:
            return self._cut(name, damage)
        if found is not None and found[1].torn:
            return self._cut_torn(name, *found)
        state = f"a checkpoint at {after} and {len(records)}" if after else f"{len(records)}"
        return Finding(name, last, "ok", f"{state} records")

    def _cut(self, name: str, damage: Damage) -> Finding:
        if self.repaired is not None:
            path = self.documents.path(name)
            data = path.read_bytes()
            header = read_header(data)
            if header is None or header.name != name:
                header = _rebuilt_header(name, data)
            self._keep_intact(path, header, data)
            self.repaired(name)
        return Finding(
            name,
            damage.sequence,
            "error",
            f"{damage.problem}; the document ends before it",
            repaired=self.repaired is not None,
        )

    def _cut_torn(self, name: str, header: Header, contents: Contents) -> Finding:
        path = self.documents.path(name)
        data = path.read_bytes()
        if self.repaired is not None:
            self._keep_intact(path, header, data)
            self.repaired(name)
        return Finding(
            name,
            contents.last + 1,
            "warning",
            f"the last {len(data) - contents.end} bytes are a record that was not written to "
            "its end",
            repaired=self.repaired is not None,
        )

    def _keep_intact(
        self, path: Path, header: Header | None, data: bytes, end: int | None = None
    ) -> None:
        """Set a file aside and write what is intact of it (before sequence ``end``) anew."""
        aside = self.documents.aside(path, self.now_ms)
        file_disk.replace(aside, data, durable=True)
        self.documents.sync()
        contents = read_contents(data, header) if header is not None else None
        if contents is not None and end is not None:
            contents = _before(contents, end)
        if header is not None and contents is not None and contents.last:
            self.documents.rewrite(header, contents.checkpoint, contents.records)
        else:
            path.unlink()
            self.documents.sync()

    def _set_aside(self, path: Path) -> None:
        path.rename(self.documents.aside(path, self.now_ms))
        self.documents.sync()


def _before(contents: Contents, end: int) -> Contents:
    """Return what is before a sequence; nothing where that is in the checkpoint."""
    checkpoint = contents.checkpoint
    if checkpoint is not None and end <= checkpoint.sequence:
        return replace(contents, checkpoint=None, records=())
    return replace(contents, records=tuple(r for r in contents.records if r.sequence < end))


def _kept(path: Path) -> Finding:
    return Finding("", 0, "warning", f"{path.name} was kept by a repair; remove it when not needed")


def _rebuilt_header(name: str, data: bytes) -> Header | None:
    """Return a header for a file whose own is damaged, where its records are still found."""
    header = Header(name, 0, 0)
    contents = read_contents(data, header)
    if not contents.last:
        return None
    first = contents.records[0] if contents.records else contents.checkpoint
    created_ms = first.time_ms if first is not None else 0
    return Header(name, created_ms, created_ms if contents.checkpoint is not None else 0)
