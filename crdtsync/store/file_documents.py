"""The folder with one file per document: reading, extending, replacing and listing them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from crdtsync.errors import StoreDamaged
from crdtsync.store import file_disk
from crdtsync.store.base import Checkpoint, Damage, Record
from crdtsync.store.file_format import (
    MAX_HEADER_BYTES,
    Contents,
    Header,
    decode_record,
    encode_checkpoint,
    encode_header,
    encode_record,
    read_contents,
    read_header,
    seed_of,
    update_length_of,
)
from crdtsync.store.file_names import SUFFIX, file_name, name_of

__all__ = ["Documents", "Summary", "summarize"]

logger = logging.getLogger("crdtsync.store")

ASIDE: Final = ".damaged-"
"""What is in the name of a file that a repair has set aside, between its own name and the time."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a document's file without reading it again."""

    header: Header
    last: int
    """The last intact sequence."""
    last_ms: int
    """When that was committed."""
    end: int
    """Where the intact part ends; behind it is nothing, a torn record, or damage."""
    checkpoint_sequence: int
    checkpoint_bytes: int
    records: int
    record_bytes: int
    damage: Damage | None


class Documents:
    """The documents' files. Knows no journal."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self._durable = durable
        self._aside: list[str] | None = None
        """What repairs have set aside; ``None`` where nobody has looked since the last."""

    def path(self, name: str) -> Path:
        """Return where a document's file is, whether it exists or not."""
        return self.folder / file_name(name)

    def names(self) -> list[str]:
        """Return the names of all documents that have a file, in code point order."""
        names = (self._name_in(file) for file in file_disk.names_in(self.folder))
        return sorted(name for name in names if name is not None)

    def name_in(self, path: Path) -> str | None:
        """Return the document that a file is for, ``None`` where it is none's.

        The file's name says it; where that is cut, the header, if the two fit.
        """
        return self._name_in(path.name)

    def _name_in(self, file: str) -> str | None:
        name = name_of(file)
        if name is not None or not file.endswith(SUFFIX):
            return name
        with (self.folder / file).open("rb") as opened:
            header = read_header(opened.read(MAX_HEADER_BYTES))
        if header is None or file_name(header.name) != file:
            return None
        return header.name

    def read(self, name: str) -> tuple[Header, Contents] | None:
        """Read and verify a document's file, ``None`` where there is none.

        A file whose header is damaged comes as a document without contents.
        """
        data = file_disk.read(self.path(name))
        if data is None:
            return None
        header = read_header(data)
        if header is None or header.name != name:
            problem = "the file's header does not match its checksum"
            if header is not None:
                problem = f"the file is another document's: {header.name!r}"
            damage = Damage(name, 1, problem)
            return Header(name, 0, 0), Contents(None, (), 0, torn=False, damage=damage)
        contents = read_contents(data, header)
        if contents.torn:
            logger.warning(
                "document %r: the last %d bytes of %s are a record that was not written to its "
                "end; they are ignored, and cut off by the next write",
                name,
                len(data) - contents.end,
                self.path(name),
            )
        return header, contents

    def summary(self, name: str) -> Summary | None:
        """Read and verify a document's file, and return what matters of it."""
        found = self.read(name)
        return summarize(*found) if found is not None else None

    def extend(self, name: str, summary: Summary | None, encoded: Sequence[bytes]) -> Summary:
        """Append encoded records to a document's file, creating it where it does not exist.

        ``summary`` is of the file as it is. What follows its intact part is cut off where the
        records continue that, and stays where they don't. The name of a new file is on the
        medium after ``sync``.
        """
        data = b"".join(encoded)
        first, last = decode_record(name, encoded[0]), decode_record(name, encoded[-1])
        unreadable = summary is not None and summary.end == 0
        if summary is None or (unreadable and first.sequence == 1):
            header = Header(name, first.time_ms, 0)
            whole = encode_header(header) + data
            file_disk.replace(self.path(name), whole, durable=self._durable)
            return summarize(header, read_contents(whole, header))
        end = summary.end
        if first.sequence != summary.last + 1:
            end = self.path(name).stat().st_size
        file_disk.append_at(self.path(name), end, data, durable=self._durable)
        if last.sequence != summary.last + len(encoded):  # a gap: damage from here on
            found = self.read(name)
            assert found is not None
            return summarize(*found)
        return replace(
            summary,
            last=last.sequence,
            last_ms=last.time_ms,
            end=end + len(data),
            records=summary.records + len(encoded),
            record_bytes=summary.record_bytes + sum(map(update_length_of, encoded)),
            damage=None,
        )

    def rewrite(
        self, header: Header, checkpoint: Checkpoint | None, records: Sequence[Record]
    ) -> Summary:
        """Replace a document's file, durably name and all."""
        name, seed = header.name, seed_of(header.name)
        parts = [encode_header(header)]
        if checkpoint is not None:
            parts.append(encode_checkpoint(checkpoint, seed))
        parts += [encode_record(record, seed) for record in records]
        whole = b"".join(parts)
        contents = read_contents(whole, header)
        if contents.checkpoint != checkpoint or contents.records != tuple(records):
            raise StoreDamaged(
                f"the new file of document {name!r} does not read back as it was written",
                document=name,
                hint="This is a defect in crdtsync; please report it with the log.",
            )
        file_disk.replace(self.path(name), whole, durable=self._durable)
        self.sync()
        return summarize(header, contents)

    def remove(self, name: str) -> None:
        """Remove a document's file, and what repairs have set aside of it, durably."""
        path = self.path(name)
        if self._aside is None:
            self._aside = [file for file in file_disk.names_in(self.folder) if ASIDE in file]
        for file in self._aside:
            if file.startswith(f"{path.name}{ASIDE}"):
                (self.folder / file).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        self.sync()

    def aside(self, path: Path, now_ms: int) -> Path:
        """Return the name under which a repair sets a file aside."""
        self._aside = None
        return path.with_name(f"{path.name}{ASIDE}{now_ms}")

    def sync_file(self, name: str) -> None:
        """Have a document's file on the medium, as it reads now."""
        if self._durable:
            file_disk.sync_file(self.path(name))

    def sync(self) -> None:
        """Have the names of new files on the medium."""
        if self._durable:
            file_disk.sync_folder(self.folder)


def summarize(header: Header, contents: Contents) -> Summary:
    """Return what matters of a file that was read."""
    checkpoint, records = contents.checkpoint, contents.records
    return Summary(
        header=header,
        last=contents.last,
        last_ms=records[-1].time_ms if records else header.updated_ms,
        end=contents.end,
        checkpoint_sequence=checkpoint.sequence if checkpoint is not None else 0,
        checkpoint_bytes=len(checkpoint.state) if checkpoint is not None else 0,
        records=len(records),
        record_bytes=sum(len(record.update) for record in records),
        damage=contents.damage,
    )
