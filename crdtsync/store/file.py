"""A store of plain files: one per document, and a journal that makes commits quick and whole."""

from os import PathLike
from pathlib import Path

from crdtsync.clock import Clock, SystemClock
from crdtsync.store.base import Durability
from crdtsync.store.file_log import FileLog
from crdtsync.store.threaded import ThreadedStore

__all__ = ["FileStore"]


class FileStore(ThreadedStore):
    """Documents in files below ``directory``, which is created where it does not exist.

    With ``read_only`` nothing is locked or written: for looking into a store that a server has
    open.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        durability: Durability = "fsync",
        read_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        path = Path(directory)
        backend = FileLog(
            path.resolve(),
            url=f"file:{path}",
            durability=durability,
            read_only=read_only,
            clock=clock if clock is not None else SystemClock(),
        )
        super().__init__(
            "file", path, backend, durability=durability, read_only=read_only, own_reader=False
        )
