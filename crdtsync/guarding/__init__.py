"""The guard of a store on a disk: the note, suspects and quarantined documents.

For ``sqlite:PATH`` its folder is ``PATH.guard``, for ``file:FOLDER`` it is ``FOLDER/guard``.
"""

from crdtsync.guarding.keeping import NOTE, DocumentGuard, guard_folder, guard_of
from crdtsync.guarding.note import Entry, ending_process, read_note

__all__ = [
    "NOTE",
    "DocumentGuard",
    "Entry",
    "ending_process",
    "guard_folder",
    "guard_of",
    "read_note",
]
