"""The proof of a fold: what is the same is told to be the same, however the library writes it."""

from typing import Any

import pycrdt
import pytest

from crdtsync.history.log import LogCheckpoint
from crdtsync.history.proving import fold, same_document
from tests.history.kit import logged

FOLDS = 12
"""Each one alone would go wrong more often than not."""


def written(*, other: bool = False) -> "pycrdt.Doc[Any]":
    """Return a document with objects and attributes, which the library writes in any order."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1)
    values = doc.get("map", type=pycrdt.Map)
    xml = doc.get("xml", type=pycrdt.XmlFragment)
    keys = "abcdefgh"
    for key in keys:
        values[key] = dict.fromkeys(keys, 1)
        element = xml.children.append(pycrdt.XmlElement("p"))
        for each in keys:
            element.attributes[each] = each.upper()
        text = element.children.append(pycrdt.XmlText(key))
        text.format(0, 1, {each: {"on": each} for each in keys})
    if other:
        next(iter(xml.children)).attributes["b"] = "C"
    return doc


@pytest.mark.parametrize("number", range(FOLDS))
def test_objects_and_attributes_are_in_any_order(number: int) -> None:
    """A document with objects, formats and attributes of several members is folded each time."""
    doc = written()
    records = logged([doc.get_update()])
    fresh: pycrdt.Doc[Any] = pycrdt.Doc()
    fresh.apply_update(doc.get_update())
    newest = LogCheckpoint(1, records[0].time_ms, fresh.get_update())
    assert fold(None, None, records, newest, False).sequence == 1


def test_another_attribute_is_another_document() -> None:
    """The order makes no difference, the value does."""
    one, other = written(), written(other=True)
    assert not same_document(one.get_update(), other.get_update())
