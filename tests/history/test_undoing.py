"""Undoing what one author did: others' work stays, whatever it was done in."""

from collections.abc import Callable
from random import Random
from typing import Any

import pycrdt
import pytest

from crdtsync.history.cutting import cut_update
from crdtsync.history.forward import undo_update
from crdtsync.history.model import Snapshot, UnknownMoment
from crdtsync.idset import IdSet
from crdtsync.structs import EMPTY_UPDATE
from tests.history.restoring import admitted, past_of
from tests.properties.authors import doc_of, play
from tests.properties.edits import content

Doc = pycrdt.Doc[Any]
SEEDS = range(200)
CLIENTS = {"ada": 1, "ben": 2, "cy": 3}


class Story:
    """A log of what some people did in turn, each on all that was there."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.authors: list[str] = []
        self._docs = {name: Doc(client_id=client) for name, client in CLIENTS.items()}

    def doc(self, author: str) -> Doc:
        doc = self._docs[author]
        for update in self.log:
            doc.apply_update(update)
        return doc

    def send(self, author: str, change: Callable[[Doc], object], *, on: Doc | None = None) -> None:
        """Have somebody do something, on a document that may lack what came later."""
        doc = self.doc(author) if on is None else on
        sent: list[bytes] = []
        subscription = doc.observe(lambda event: sent.append(event.update))
        with doc.transaction():
            change(doc)
        doc.unobserve(subscription)
        self.log += sent
        self.authors += [author] * len(sent)

    def confirm(self, author: str) -> None:
        """Have somebody send all that he has, deletions above all, as after a reconnect."""
        self.log.append(self.doc(author).get_update())
        self.authors.append(author)

    def without(self, author: str, after: int = 0, upto: int | None = None) -> dict[str, Any]:
        update = undo_update(
            past_of(self.log, self.authors), author=author, after=after, upto=upto, client=99
        )
        if update != EMPTY_UPDATE:
            admitted(self.log, update)
        return content(doc_of(*self.log, update))


def text(doc: Doc) -> pycrdt.Text:
    return doc.get("text", type=pycrdt.Text)


def table(doc: Doc) -> "pycrdt.Map[Any]":
    return doc.get("map", type=pycrdt.Map)


def page(doc: Doc) -> pycrdt.XmlFragment:
    return doc.get("xml", type=pycrdt.XmlFragment)


def plain(runs: list[tuple[str, object]]) -> str:
    return "".join(run for run, _ in runs)


def test_text() -> None:
    """What others typed inside the author's text stays, what the author deleted comes back."""
    story = Story()
    story.send("ben", lambda doc: text(doc).insert(0, "one two three"))
    story.send("ada", lambda doc: text(doc).insert(4, "ADA HERE "))
    story.send("ben", lambda doc: text(doc).insert(8, "(ben) "))
    story.send("ada", lambda doc: text(doc).__delitem__(slice(0, 4)))
    assert plain(story.without("ada")["text"]) == "one (ben) two three"
    assert plain(story.without("ben")["text"]) == "ADA HERE "


def test_only_between_the_moments() -> None:
    """What the author did before and after stays."""
    story = Story()
    for word in ("a", "b", "c"):
        story.send("ada", lambda doc, word=word: text(doc).insert(len(str(text(doc))), word))
    assert plain(story.without("ada", after=1, upto=2)["text"]) == "ac"
    assert plain(story.without("ada", after=3)["text"]) == "abc"


def test_formats() -> None:
    """The author's marks go, others' stay."""
    story = Story()
    story.send("ben", lambda doc: text(doc).insert(0, "plain"))
    story.send("ada", lambda doc: text(doc).format(0, 5, {"bold": True}))
    story.send("ben", lambda doc: text(doc).format(0, 2, {"italic": True}))
    assert story.without("ada")["text"] == [("pl", {"italic": True}), ("ain", None)]


def test_keys() -> None:
    """A key has the last value of others, however often the author set it before and after."""
    story = Story()
    story.send("ben", lambda doc: table(doc).__setitem__("k", "first"))
    story.send("ada", lambda doc: table(doc).__setitem__("k", "ada"))
    story.send("cy", lambda doc: table(doc).__setitem__("k", "cy"))
    story.send("ada", lambda doc: table(doc).__setitem__("k", "ada again"))
    story.send("ada", lambda doc: table(doc).__setitem__("new", 1))
    assert story.without("ada")["map"] == {"k": "cy"}
    story.send("cy", lambda doc: table(doc).__delitem__("k"))
    assert story.without("ada", after=1)["map"] == {"k": "cy"}


def test_a_key_that_others_removed() -> None:
    """A value that others had removed before the author set it again is not put back."""
    story = Story()
    story.send("ben", lambda doc: table(doc).__setitem__("k", "ben"))
    story.send("ben", lambda doc: table(doc).__delitem__("k"))
    story.send("ada", lambda doc: table(doc).__setitem__("k", "ada"))
    assert story.without("ada")["map"] == {}


def test_a_value_that_came_at_the_same_time() -> None:
    """Of two values that were set at once, the other one counts, though it was never to be seen."""
    story = Story()
    story.send("ben", lambda doc: table(doc).__setitem__("k", "ben"))
    apart = {name: Doc(client_id=client) for name, client in (("cy", 33), ("ada", 44))}
    for doc in apart.values():
        doc.apply_update(story.log[0])
    story.send("ada", lambda doc: table(doc).__setitem__("k", "ada"), on=apart["ada"])
    story.send("cy", lambda doc: table(doc).__setitem__("k", "cy"), on=apart["cy"])
    assert content(doc_of(*story.log))["map"] == {"k": "ada"}
    story.confirm("ben")
    assert story.without("ada")["map"] == {"k": "cy"}


def test_what_others_did_in_what_the_author_deleted() -> None:
    """It comes back with it, though it was never to be seen."""
    story = Story()
    story.send("ben", lambda doc: page(doc).children.append(pycrdt.XmlElement("p")))
    cy = Doc(client_id=33)
    cy.apply_update(story.log[0])
    story.send("ada", lambda doc: page(doc).children.__delitem__(0))
    story.send(
        "cy", lambda doc: page(doc).children[0].children.append(pycrdt.XmlText("typed")), on=cy
    )
    story.confirm("ben")
    assert story.without("ada")["xml"] == [("p", {}, [[("typed", None)]])]


def test_what_others_deleted_before_stays_deleted() -> None:
    """What others had deleted in it before is not brought back with it."""
    story = Story()
    story.send("ben", lambda doc: page(doc).children.append(pycrdt.XmlElement("p")))
    for each in ("a", "b"):
        story.send(
            "ben",
            lambda doc, each=each: page(doc).children[0].children.append(pycrdt.XmlElement(each)),
        )
    story.send("ben", lambda doc: page(doc).children[0].children.__delitem__(0))
    story.send("ada", lambda doc: page(doc).children.__delitem__(0))
    assert story.without("ada")["xml"] == [("p", {}, [("b", {}, [])])]


def test_a_type_with_something_of_others() -> None:
    """What the author made stays for as long as others have something in it."""
    story = Story()
    story.send("ada", lambda doc: page(doc).children.append(pycrdt.XmlElement("p")))
    story.send("ada", lambda doc: page(doc).children.append(pycrdt.XmlElement("ul")))
    story.send("ben", lambda doc: page(doc).children[0].children.append(pycrdt.XmlText("ben")))
    assert story.without("ada")["xml"] == [("p", {}, [[("ben", None)]])]


def test_nothing_to_undo() -> None:
    """Where the author did nothing, nothing is done; moments have to be there."""
    story = Story()
    story.send("ben", lambda doc: text(doc).insert(0, "x"))
    past = past_of(story.log, story.authors)
    assert undo_update(past, author="ada", after=0) == EMPTY_UPDATE
    assert undo_update(past, author="ben", after=1) == EMPTY_UPDATE
    with pytest.raises(UnknownMoment):
        undo_update(past, author="ben", after=2)
    with pytest.raises(UnknownMoment):
        undo_update(past, author="ben", after=0, upto=2)


def test_random_histories() -> None:
    """Lists are what pycrdt makes of all items without the author's; undone, it is all undone."""
    for seed in SEEDS:
        random = Random(seed)
        log = play(random.randbytes(400)).updates
        if not log:
            continue
        authors = [random.choice(["ada", "ben", "cy"]) for _ in log]
        past = past_of(log, authors)
        after = random.randrange(len(log))
        update = undo_update(past, author="ada", after=after, client=99)
        shown = content(doc_of(*log, update))
        now = past.timeline.snapshot(len(log))
        gone = IdSet()
        gone.add(past.timeline.snapshot(after).deletes)
        for change in past.timeline.changes(after):
            gone.add(change.inserts if change.author == "ada" else change.deletes)
        wanted = content(doc_of(cut_update(past.structs, past.found, Snapshot(now.clocks, gone))))
        assert shown["text"] == wanted["text"], seed
        if update != EMPTY_UPDATE:
            admitted(log, update)
            again = past_of([*log, update], [*authors, "ben"])
            rest = undo_update(again, author="ben", after=len(log), client=100)
            assert content(doc_of(*log, update, rest)) == content(doc_of(*log)), seed
