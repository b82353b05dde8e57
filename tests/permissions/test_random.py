"""Made-up edits and made-up bytes: outside of what a role permits nothing ever changes."""

import base64
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pycrdt
from hypothesis import strategies as st

from crdtsync.gate import Principal
from crdtsync.roles import Role, Rule
from crdtsync.structs import Id
from tests.interop.conftest import require
from tests.interop.harness import NODE_MODULES, run_node
from tests.permissions.kit import Peer, Server, by_place, differing, merged, plainly, role
from tests.portions import small_portions
from tests.properties.edits import KEYS, ROOTS, Dice, edit
from tests.properties.profile import checked
from tests.unit.wire import any_, block, deleted, gc, item, skip, string, type_, update

SHOWN_MJS = Path(__file__).with_name("shown.mjs")
WORLDS = 200

ROLES = [
    role(Rule(root="text")),
    role(Rule(root="map", keys=frozenset({"b"})), Rule(root="xml")),
    role(Rule(root="map", own_key=True), Rule(root="array")),
    role(Rule(), Rule(root="map", keys=frozenset({"a", "c"})), Rule(root="text", keys=frozenset())),
    role(Rule(root="array", append_only=True), Rule(root="map", append_only=True)),
]


def permits(who: Role, place: tuple[str, str | None]) -> bool:
    """Return whether a role lets anything in a place change; the principal's id is "a"."""
    root, key = place
    rules = [rule for rule in who.write if rule.root == root] or [
        rule for rule in who.write if rule.root == "*"
    ]
    return any(
        (rule.keys is None or key in rule.keys) and (not rule.own_key or key == "a")
        for rule in rules
    )


def only_adds(who: Role, before: dict[Any, Any], after: dict[Any, Any]) -> bool:
    """Return whether what was there still is, in order, where a role may only add."""
    for rule in who.write:
        if not rule.append_only:
            continue
        old = {place: value for place, value in before.items() if place[0] == rule.root}
        for place, value in old.items():
            if place[1] is not None:
                if not _holds(after.get(place), value):
                    return False
            elif not _holds(after[place], value):
                return False
    return True


def _holds(now: Any, before: Any) -> bool:
    """Return whether a value is what it was, but for what was added."""
    if isinstance(before, list) and isinstance(now, list):
        rest = iter(now)
        return all(any(_holds(each, one) for each in rest) for one in before)
    if isinstance(before, dict) and isinstance(now, dict):
        return all(key in now and _holds(now[key], value) for key, value in before.items())
    if isinstance(before, tuple) and isinstance(now, tuple):  # a run of text
        return True
    return plainly(now) == plainly(before)


@checked(400, data=st.binary(min_size=80, max_size=400), who=st.sampled_from(ROLES))
def test_random_edits(data: bytes, who: Role) -> None:
    """However edits are joined, ordered and repeated, what is forbidden stays as it was."""
    dice = Dice(data)
    server = Server()
    writer = server.join()
    for _ in range(3 + dice.roll(6)):
        writer.edits(lambda doc: edit(doc, dice))
    peer = server.join(Principal(id="a", role=who)).sync()
    before = server.shows()
    _send(peer, [peer.edits(lambda doc: edit(doc, dice), send=False) for _ in range(4)], dice)
    after = server.shows()
    changed = differing(before, after)
    assert [place for place in changed if not permits(who, place)] == []
    assert only_adds(who, before, after)
    if not peer.denials and not server.room.document.waiting:
        assert by_place(peer.doc) == after


@checked(400, data=st.binary(min_size=80, max_size=400), who=st.sampled_from(ROLES))
def test_random_edits_by_portions(data: bytes, who: Role) -> None:
    """So it is where updates are decided on part by part; what is allowed enters all the same."""
    dice = Dice(data)
    whole, parted = Server(), Server()
    for _ in range(3 + dice.roll(6)):
        update = whole.join().edits(lambda doc: edit(doc, dice))
        parted.join().says(update)
    peers = [each.join(Principal(id="a", role=who)).sync() for each in (whole, parted)]
    before = parted.shows()
    first, second = (peers[0].edits(lambda doc: edit(doc, dice), send=False) for _ in range(2))
    peers[0].says(merged(first, second))
    with small_portions(1 + dice.roll(3)):
        peers[1].says(merged(first, second))
    after = parted.shows()
    assert [place for place in differing(before, after) if not permits(who, place)] == []
    assert only_adds(who, before, after)
    if not peers[0].denials:
        assert not peers[1].denials
        assert after == whole.shows()


def _send(peer: Peer, updates: list[bytes], dice: Dice) -> None:
    match dice.roll(5):
        case 0:
            peer.says(*updates)
        case 1:
            peer.says(merged(*updates))
        case 2:
            peer.says(*reversed(updates))
        case 3:
            peer.says(merged(updates[0], updates[2]), merged(updates[1], updates[3]))
        case 4:
            peer.answers(peer.doc.get_update())


class Forger:
    """Writes updates that no library would, about the items of a document."""

    def __init__(self, seed: int, ids: list[Id]) -> None:
        self.dice = random.Random(seed)
        self.ids = ids
        self.clocks = {77: 0, 78: 0}

    def update(self) -> bytes:
        dice = self.dice
        blocks = []
        for client in dice.sample([77, 78], dice.choice([1, 1, 2])):
            clock = self.clocks[client]
            structs = [self._struct(client) for _ in range(dice.choice([1, 1, 2, 3]))]
            blocks.append(block(client, clock + dice.choice([0, 0, 0, 0, 1]), *structs))
        deletes = []
        for _ in range(dice.choice([0, 0, 1, 2])):
            client, clock = dice.choice(self.ids)
            if all(each[0] != client for each in deletes):
                deletes.append((client, clock, clock + dice.choice([1, 1, 2, 5])))
        return update(*dice.choice([blocks, blocks, []]), deletes=deletes)

    def _struct(self, client: int) -> bytes:
        dice = self.dice
        kind = dice.randrange(12)
        if kind == 0:
            self._takes(client, 2)
            return gc(2)
        if kind == 1:
            self._takes(client, 1)
            return skip(1)
        content, length = dice.choice(
            [
                (string("zz"), 2),
                (any_(b"\x7d\x05"), 1),
                (any_(b"\x7d\x05", b"\x7e"), 2),
                (type_(dice.choice([0, 1, 2, 4])), 1),
                (deleted(1), 1),
            ]
        )
        self._takes(client, length)
        place: dict[str, Any] = {}
        where = dice.randrange(6)
        if where in (0, 1, 2):
            place["origin"] = dice.choice(self.ids)
        if where in (2, 3):
            place["right"] = dice.choice(self.ids)
        if where > 3:
            place["parent"] = dice.choice([*ROOTS, "other", *self.ids, *self.ids])
        if dice.random() < 0.4:
            place["key"] = dice.choice(KEYS)
        return item(content, **place)

    def _takes(self, client: int, length: int) -> None:
        self.ids += [(client, self.clocks[client])] * 2
        self.clocks[client] += length


def forged(seed: int) -> tuple[Role, bytes, bytes, int]:
    """Play a world with a forger; return its role, the states before and after, and a count."""
    dice = Dice(random.Random(seed).randbytes(300))
    who = ROLES[seed % len(ROLES)]
    server = Server()
    writer = server.join()
    for _ in range(6):
        writer.edits(lambda doc: edit(doc, dice))
    server.commit()
    before = server.room.state()
    clocks = server.room.document.clocks
    ids = [(client, clock) for client, end in clocks.items() for clock in range(end)]
    forger = Forger(seed, ids)
    for _ in range(60):
        peer = server.join(Principal(id="a", role=who))
        peer.says(forger.update())
        if not peer.denials and peer.closed is None:
            continue
        forger.clocks = {client: clocks.get(client, 0) for client in forger.clocks}
    server.commit()
    return who, before, server.room.state(), sum(clocks.get(each, 0) for each in (77, 78))


def _shown(state: bytes) -> dict[Any, Any] | None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    try:
        doc.apply_update(state)
    except RuntimeError:  # it gives up on items in a deleted value; the server keeps their bytes
        return None
    return by_place(doc)


def test_forged_bytes(tmp_path: Path) -> None:
    """Whatever bytes somebody makes up, neither pycrdt nor Yjs shows what the role forbids."""
    require(shutil.which("node") is not None, "Node.js is not installed")
    require((NODE_MODULES / "yjs").is_dir(), "run `npm ci` in tests/interop")
    worlds = [forged(seed) for seed in range(WORLDS)]
    seen = 0
    for seed, (who, before, after, _) in enumerate(worlds):
        one, other = _shown(before), _shown(after)
        if one is not None and other is not None:
            seen += 1
            assert [place for place in differing(one, other) if not permits(who, place)] == [], seed
            assert only_adds(who, one, other), seed
    assert seen > WORLDS / 2
    assert sum(count for *_, count in worlds) > 3 * WORLDS  # much of it is let in

    question = tmp_path / "states.json"
    states = [base64.b64encode(each).decode() for _, *pair, _ in worlds for each in pair]
    question.write_text(json.dumps(states), "utf-8")
    said = json.loads(run_node(SHOWN_MJS, str(question)))
    for seed, (who, *_) in enumerate(worlds):
        one, other = ({tuple(k): v for k, v in each} for each in said[2 * seed : 2 * seed + 2])
        assert [place for place in differing(one, other) if not permits(who, place)] == [], seed
