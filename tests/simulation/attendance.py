"""Who is there: what presence has to say once all is settled, and when the server has stopped."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pycrdt

from tests.simulation.client import Client

if TYPE_CHECKING:
    from tests.simulation.talk import Talk
    from tests.simulation.world import World

__all__ = ["id_of", "nobody_is_there", "settled", "values_of"]

Docs = Mapping[str, "pycrdt.Doc[Any]"]


def id_of(client: Client) -> str:
    """Return whom a client writes as."""
    return client.principal.id or f"guest-{client.name}"


def values_of(doc: "pycrdt.Doc[Any]", root: str) -> dict[str, Any]:
    """Return what a root map holds."""
    shared = doc.get(root, type=pycrdt.Map)
    return {key: shared[key] for key in sorted(shared.keys())}


def settled(world: "World", talk: "Talk") -> str:
    """Return how presence differs from who is connected; empty where it does not."""
    hub = world.server.hub
    if hub is None or world.asking.waits() or hub.channels.archiving.busy:
        return "the server is busy"
    for room in talk.rules.presence:
        people: dict[str, list[Client]] = {}
        for client in world.clients:
            if client.room == room:
                people.setdefault(id_of(client), []).append(client)
        kept = hub.channels.keeping.room(room)
        if kept is None:
            return f"no presence is kept in {room}"
        told = {each.person.id: each.person.value() for each in kept.info().people}
        seen = [values_of(each.doc, "presence") for each in world.clients if each.room == room]
        for values in (told, *seen):
            problem = _who(talk, room, people, values)
            if problem:
                return problem
    return ""


def _who(
    talk: "Talk", room: str, people: dict[str, list[Client]], values: Mapping[str, Any]
) -> str:
    for id, value in values.items():
        shown = (value.get("status"), value.get("connections"))
        if id not in people:
            if shown != ("offline", 0):
                return f"{room}: {id} is {shown}, and not there"
            continue
        wanted = {talk.statuses.get(each, "online") for each in people[id]}
        if any(each.wire is not None and each.wire.proxied for each in people[id]):
            # What it held back came when something else stood there, and without its content.
            wanted.add("online")
        if shown not in {(s, 0 if s == "offline" else len(people[id])) for s in wanted}:
            return f"{room}: {id} is {shown}, and should be one of {wanted}"
    missing = people.keys() - values.keys()
    return f"{room}: nothing is told of {sorted(missing)}" if missing else ""


def nobody_is_there(world: "World", talk: "Talk", docs: Docs) -> None:
    """The server has stopped in order: presence says that all are gone."""
    for room in talk.rules.presence:
        values = values_of(docs[room], "presence") if room in docs else {}
        for id, value in values.items():
            if (value["status"], value["connections"]) != ("offline", 0):
                world.fail(f"{room}: the server has stopped, and {id} is {value}")
