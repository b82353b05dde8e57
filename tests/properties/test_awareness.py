"""The awareness table against a plain model of y-protocols' rules."""

from dataclasses import dataclass

from hypothesis import note
from hypothesis import strategies as st

from crdtsync.awareness import AwarenessTable, Entry, encode_entries, read_entries
from crdtsync.limits import Limits
from tests.properties.edits import Dice
from tests.properties.profile import checked

READER = Limits()
CLIENTS = [1, 2, 3]
OWNERS = ["a", "b"]
STATES = ["{}", '{"n":1}', "null"]


@dataclass
class Known:
    """What the model knows of one client."""

    clock: int
    state: str
    owner: str | None
    departed: bool = False


class Model:
    """The rules, written down without regard to speed."""

    def __init__(self) -> None:
        self.clients: dict[int, Known] = {}
        self.claims: dict[str, Entry] = {}

    def apply(self, entries: list[Entry], owner: str, *, first: bool) -> bool:
        """Return whether anybody is to be told."""
        told = False
        for entry in entries:
            known, clock, gone = self.clients.get(entry.client), entry.clock, entry.state == "null"
            if known is None:
                if gone:
                    continue
            elif known.owner not in (None, owner):
                claim = self.claims.get(owner)
                if claim.client == entry.client if claim is not None else first:
                    self.claims[owner] = entry
                continue
            elif clock == known.clock and gone and known.state != "null":
                pass
            elif clock == known.clock and not gone and first and known.departed:
                clock += 1
            elif clock <= known.clock:
                told |= clock < known.clock and not gone and known.owner is None
                continue
            self._put(entry.client, Known(clock, entry.state, owner))
            if gone:
                self.clients[entry.client].owner = None
            told = True
        return told

    def _put(self, client: int, known: Known) -> None:
        before = self.clients.get(client)
        self.clients[client] = known
        claim = self.claims.get(known.owner or "")
        had = before is not None and before.owner == known.owner
        if claim is not None and claim.client == client and not had:
            del self.claims[known.owner or ""]

    def leave(self, owner: str) -> bool:
        """Return whether anybody is to be told."""
        self.claims.pop(owner, None)
        told = False
        for client, known in self.clients.items():
            if known.owner != owner:
                continue
            known.owner = None
            if known.state == "null":
                continue
            told = True
            heirs = [
                (claim.clock, heir)
                for heir, claim in self.claims.items()
                if claim.client == client and claim.clock > known.clock and claim.state != "null"
            ]
            if heirs:
                _, heir = max(heirs)
                claim = self.claims[heir]
                self._put(client, Known(claim.clock, claim.state, heir))
            else:
                known.departed, known.state = True, "null"
        return told

    def present(self) -> set[Entry]:
        return {
            Entry(client, known.clock, known.state)
            for client, known in self.clients.items()
            if known.state != "null"
        }


@checked(600, data=st.binary(min_size=20, max_size=160))
def test_the_table_follows_the_rules(data: bytes) -> None:
    """The table holds what the rules say, and "all since" brings any reader up to date."""
    dice, table, model = Dice(data), AwarenessTable(READER), Model()
    reader: dict[int, Entry] = {}
    version = 0
    while dice.left:
        owner = dice.pick(OWNERS)
        what = dice.roll(8)
        if what == 0:
            note(f"{owner} leaves")
            assert table.leave(owner) == model.leave(owner)
        elif what == 1:
            note("the reader catches up")
            changed = table.changed_since(version)
            assert len({entry.client for entry in changed}) == len(changed)
            reader |= {entry.client: entry for entry in changed}
            version = table.version
        else:
            count = 1 + dice.roll(2)
            entries = [
                Entry(dice.pick(CLIENTS), dice.roll(5), dice.pick(STATES)) for _ in range(count)
            ]
            entries = read_entries(encode_entries(entries), READER)
            first = what == 2 and count == 1
            note(f"{owner} says {entries}{' first' * first}")
            assert table.apply(entries, owner, first=first) == model.apply(
                entries, owner, first=first
            )
        assert set(table.present()) == model.present()
        assert len(table) == len(model.present())
    reader |= {entry.client: entry for entry in table.changed_since(version)}
    assert {each for each in reader.values() if each.state != "null"} == model.present()
    assert {each.client: (each.clock, each.state) for each in reader.values()} == {
        client: (known.clock, known.state) for client, known in model.clients.items()
    }
