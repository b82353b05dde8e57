"""Who is there, for programs: the map of docs/presence.md, by name.

The server keeps it true where its option ``presence`` fits the document: who comes and goes is
its own to write. What people say of themselves is said here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crdtsync.channels.model import Person, Status, read_person
from crdtsync.channels.names import PRESENCE
from crdtsync.client.chat import check_texts, now_ms
from crdtsync.client.core import Core
from crdtsync.client.errors import ClientError

__all__ = ["Presence"]


class Presence:
    """The people of one document."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def me(self) -> str:
        """Who this client is; see ``Chat.me``."""
        return self._core.me

    def people(self) -> list[Person]:
        """Return everybody who is or was here, by id."""
        with self._core.lock:
            found = dict(self._core.map(PRESENCE))
        people = (_read(id, found[id]) for id in sorted(found))
        return [person for person in people if person is not None]

    def set(self, status: Status, *, name: str | None = None, color: str | None = None) -> None:
        """Say how this person is: ``online``, ``away``, ``busy`` or ``offline``."""
        user = self._core.user
        with self._core.lock:
            people: Any = self._core.map(PRESENCE)
            person = _read(self.me, people.get(self.me)) or Person(
                id=self.me,
                name=str(user.get("name", "")),
                color=str(user.get("color", "")),
                last_seen_ms=now_ms(),
                connections=1,
            )
            person = replace(
                person,
                status=status,
                name=person.name if name is None else name,
                color=person.color if color is None else color,
            )
            check_texts(person.value().values())
            try:
                read_person(self.me, person.value())
            except ValueError as error:
                raise ClientError(f"nobody can be like that: {error}") from None
            people[self.me] = person.value()

    def observe(self, callback: Callable[[list[str]], None]) -> Callable[[], None]:
        """Call back with the ids of people who have changed; see ``Chat.observe``."""
        return self._core.watch(PRESENCE, callback)


def _read(id: str, value: Any) -> Person | None:
    try:
        return read_person(id, value)
    except ValueError:
        return None
