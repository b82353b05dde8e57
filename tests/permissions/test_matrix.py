"""Roles times messages times ways to send them: what a role forbids never shows.

Each case edits a real pycrdt document, sends what that makes through a real session and room,
and looks at the content by place, before and after.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment

from crdtsync.gate import Principal
from crdtsync.roles import COMMENT, READ, WRITE, Role, Rule
from tests.permissions.kit import Server, by_place, differing, merged, role

ROOTS: dict[str, type[Any]] = {
    "text": Text,
    "chat": Array,
    "comments": Map,
    "presence": Map,
    "notes": Map,
    "log": Array,
    "page": XmlFragment,
}


class Act(NamedTuple):
    """What a message does in a place."""

    root: str
    key: str | None
    deletes: bool
    """Whether it deletes or replaces something."""


class Case(NamedTuple):
    """One message."""

    change: Callable[["Doc[Any]"], object]
    acts: tuple[Act, ...]


def _get(doc: "Doc[Any]", root: str) -> Any:
    return doc.get(root, type=ROOTS[root])


def _base(doc: "Doc[Any]") -> None:
    _get(doc, "text").insert(0, "hello")
    _get(doc, "chat").extend(["first", Map({"said": "second"})])
    _get(doc, "comments")["c1"] = Map({"body": Text("theirs"), "done": False})
    _get(doc, "presence").update({"other": Map({"at": 1}), "me": 1})
    _get(doc, "notes").update({"a": Map({"deep": Array([1, 2])}), "b": 1})
    _get(doc, "log").extend([1, Map({"v": 1})])
    _get(doc, "page").children.append(XmlElement("p", {"class": "x"}))


def _case(change: Callable[["Doc[Any]"], object], *acts: tuple[str, str | None, bool]) -> Case:
    return Case(change, tuple(Act(*each) for each in acts))


def _set(root: str, key: str, value: Callable[[], Any]) -> Callable[["Doc[Any]"], object]:
    return lambda doc: _get(doc, root).__setitem__(key, value())


def _several(doc: "Doc[Any]") -> None:
    _get(doc, "chat").append("and")
    _get(doc, "text").insert(0, "bad")


CASES = {
    "type": _case(lambda doc: _get(doc, "text").insert(2, "XY"), ("text", None, False)),
    "format": _case(lambda doc: _get(doc, "text").format(1, 3, {"b": True}), ("text", None, False)),
    "delete text": _case(lambda doc: _get(doc, "text").__delitem__(0), ("text", None, True)),
    "delete all text": _case(lambda doc: _get(doc, "text").clear(), ("text", None, True)),
    "chat": _case(lambda doc: _get(doc, "chat").append("mine"), ("chat", None, False)),
    "delete another's chat": _case(
        lambda doc: _get(doc, "chat").__delitem__(0), ("chat", None, True)
    ),
    "chat, nested": _case(
        lambda doc: _get(doc, "chat")[1].__setitem__("said", "no"), ("chat", None, True)
    ),
    "comment": _case(
        _set("comments", "c2", lambda: Map({"body": Text("mine")})), ("comments", "c2", False)
    ),
    "in another's comment": _case(
        lambda doc: _get(doc, "comments")["c1"]["body"].insert(0, "not "),
        ("comments", "c1", False),
    ),
    "own presence": _case(_set("presence", "me", lambda: 2), ("presence", "me", True)),
    "another's presence": _case(_set("presence", "other", lambda: 2), ("presence", "other", True)),
    "another's presence, nested": _case(
        lambda doc: _get(doc, "presence")["other"].__setitem__("at", 2),
        ("presence", "other", True),
    ),
    "delete another's presence": _case(
        lambda doc: _get(doc, "presence").__delitem__("other"), ("presence", "other", True)
    ),
    "new presence": _case(_set("presence", "new", lambda: 1), ("presence", "new", False)),
    "permitted key": _case(_set("notes", "b", lambda: 2), ("notes", "b", True)),
    "foreign key": _case(_set("notes", "a", lambda: 2), ("notes", "a", True)),
    "foreign key, nested": _case(
        lambda doc: _get(doc, "notes")["a"]["deep"].append(3), ("notes", "a", False)
    ),
    "new key": _case(_set("notes", "z", lambda: Array([1])), ("notes", "z", False)),
    "log": _case(lambda doc: _get(doc, "log").append("more"), ("log", None, False)),
    "log, replaced": _case(
        lambda doc: _get(doc, "log")[1].__setitem__("v", 2), ("log", None, True)
    ),
    "log, new key": _case(
        lambda doc: _get(doc, "log")[1].__setitem__("w", 2), ("log", None, False)
    ),
    "log, deleted": _case(lambda doc: _get(doc, "log").__delitem__(0), ("log", None, True)),
    "element": _case(
        lambda doc: _get(doc, "page").children.append(XmlElement("b")), ("page", None, False)
    ),
    "attribute": _case(
        lambda doc: _get(doc, "page").children[0].attributes.__setitem__("class", "y"),
        ("page", None, True),
    ),
    "two roots": _case(_several, ("chat", None, False), ("text", None, False)),
}

ROLES: dict[str, tuple[Role, Callable[[Act], bool]]] = {
    "read": (READ, lambda act: False),
    "write": (WRITE, lambda act: True),
    "comment": (
        COMMENT,
        lambda act: act.root in ("chat", "comments") or act[:2] == ("presence", "me"),
    ),
    "key": (
        role(Rule(root="notes", keys=frozenset({"b"}))),
        lambda act: act[:2] == ("notes", "b"),
    ),
    "add": (
        role(Rule(root="log", append_only=True), Rule(root="chat", append_only=True)),
        lambda act: act.root in ("log", "chat") and not act.deletes,
    ),
    "all but": (
        role(Rule(), Rule(root="text", keys=frozenset())),
        lambda act: act.root != "text",
    ),
    "small": (
        role(Rule(root="text", max_update_bytes=1), Rule(root="page")),
        lambda act: act == ("text", None, True) or act.root == "page",
    ),
}


class World:
    """A room with a writer, and somebody with the role that is tested."""

    def __init__(self, who: Role) -> None:
        self.server = Server()
        self.writer = self.server.join()
        self.writer.edits(_base)
        self.peer = self.server.join(Principal(id="me", role=who)).sync()
        self.before = self.server.shows(ROOTS)

    def makes(self, case: Case) -> bytes:
        return self.peer.edits(case.change, send=False)


def _update(world: World, case: Case) -> None:
    world.peer.says(world.makes(case))


def _step_2(world: World, case: Case) -> None:
    known = world.peer.doc.get_state()
    world.makes(case)
    world.peer.answers(world.peer.doc.get_update(known))


def _everything(world: World, case: Case) -> None:
    world.makes(case)
    world.peer.answers(world.peer.doc.get_update())


def _merged(world: World, case: Case) -> None:
    good = world.peer.edits(lambda doc: _get(doc, "chat").append("good"), send=False)
    world.peer.says(merged(good, world.makes(case)))


def _late(world: World, case: Case) -> None:
    good = world.peer.edits(lambda doc: _get(doc, "chat").append("good"), send=False)
    world.peer.says(world.makes(case), good)


def _completed_by_another(world: World, case: Case) -> None:
    good = world.peer.edits(lambda doc: _get(doc, "chat").append("good"), send=False)
    world.peer.says(world.makes(case))
    world.writer.says(good)


def _in_two_names(world: World, case: Case) -> None:
    """Two clients' structs in one update, the second on top of the first."""
    other: Doc[Any] = Doc()
    other.apply_update(world.peer.doc.get_update())
    before = other.get_state()
    _get(other, "chat").append("good")
    good = other.get_update(before)
    world.peer.doc.apply_update(good)
    world.peer.says(merged(good, world.makes(case)))


WAYS = [_update, _step_2, _everything, _merged, _late, _completed_by_another, _in_two_names]
CHAT = Act("chat", None, deletes=False)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__[1:])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("who", ROLES)
def test_what_a_role_forbids_never_shows(
    who: str, case: Case, way: Callable[[World, Case], None]
) -> None:
    """What is forbidden changes nothing, and what is allowed is there."""
    held, allows = ROLES[who]
    world = World(held)
    way(world, case)
    after = world.server.shows(ROOTS)

    changed = differing(world.before, after)
    acts = set(case.acts)
    if way not in (_update, _step_2, _everything):
        acts.add(CHAT)
    if all(map(allows, acts)):
        assert changed == {act[:2] for act in acts}
        assert after == by_place(world.peer.doc, ROOTS)
        assert not world.peer.denials
    elif way in (_late, _completed_by_another):  # what waits is decided on by itself
        by_writer = way is _completed_by_another
        assert changed <= {act[:2] for act in acts if allows(act) or (act == CHAT and by_writer)}
        assert allows(CHAT) <= (("chat", None) in changed)
        assert world.peer.denials or all(map(allows, case.acts))
    else:
        assert not changed
        assert world.peer.denials
    _goes_on(world)


def _goes_on(world: World) -> None:
    """Whoever may write still can, and everybody gets it."""
    world.writer.edits(lambda doc: _get(doc, "text").insert(0, "on and "))
    assert "on and " in str(world.server.shows(ROOTS)["text", None])


@pytest.mark.parametrize("who", ROLES)
def test_what_is_known_is_no_offence(who: str) -> None:
    """A step 2 that brings only what the server has is no edit, whatever is in it."""
    world = World(ROLES[who][0])
    world.peer.answers(world.peer.doc.get_update())
    world.peer.says(world.writer.doc.get_update())
    assert not world.peer.denials
    assert world.server.shows(ROOTS) == world.before
    assert world.peer.sync().doc.get_update() == world.peer.doc.get_update()
