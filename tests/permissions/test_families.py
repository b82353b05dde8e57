"""Rules for roots that belong together: ``NAME/*``."""

import pytest

from crdtsync.edit import Act, Edit, Touch
from crdtsync.gate import Allow, Clearance, Deny, Principal
from crdtsync.limits import Limits
from crdtsync.places import Place
from crdtsync.roles import Role, Rule
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

ROLE = Role(name="talk", write=(Rule(root="chat/*"), Rule(root="chat/x", append_only=True)))


@pytest.mark.parametrize(
    ("root", "allowed"),
    [("chat/a", True), ("chat/a/b", True), ("chat/", True), ("chat", False), ("chats/a", False),
     ("a/chat/b", False), ("chat/x", True)],
)  # fmt: skip
def test_roots_that_begin_alike(root: str, allowed: bool) -> None:
    """A rule for ``chat/*`` is for all roots that begin so, not for the root itself."""
    clearance = Clearance(Principal(id="ada", role=ROLE))
    touch = Touch(root, "k", Act.INSERT, 1, 1)
    found = scan(EMPTY_UPDATE, Limits())
    decision = clearance.check(Edit((touch,), 1, False, EMPTY_UPDATE, found))
    assert isinstance(decision, Allow if allowed else Deny)
    assert (clearance.reach_of(Place(root, "k"))[1] > 0) is allowed


def test_a_rule_of_its_own_comes_first() -> None:
    """What is said about one root goes before what is said about its family."""
    clearance = Clearance(Principal(id="ada", role=ROLE))
    found = scan(EMPTY_UPDATE, Limits())
    for root, kind in (("chat/x", Deny), ("chat/y", Allow)):
        touch = Touch(root, "k", Act.DELETE, 1, 0)
        decision = clearance.check(Edit((touch,), 1, False, EMPTY_UPDATE, found))
        assert isinstance(decision, kind)
