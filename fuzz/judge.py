"""What Yjs and pycrdt make of a document, each in a process of its own.

Owns the two children, and the comparison: the log update by update, the answer to a newcomer,
what a reader was told on the way, and what is loaded from the store have to be one document for
Yjs; pycrdt has to make the same document of the log and of the answer; and the values of the
roots have to be the same for Yjs, for pycrdt and in crdtsync's export.

One thing is let pass, and counted: items that provably lie about their place (``yjs.mjs`` says
how). They stand in one place for Yjs clients that were there when they came and in another for
those that come later; the clocks have to be the same all the same, and nothing may throw.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fuzz.child import Child, ChildDied

__all__ = ["Judge"]

HERE: Final = Path(__file__).parent
_DIFFERENT: Final = re.compile("^[a-z' ]+: Yjs reads |^root ")
"""Problems that come of items in different places."""
_MARKUP: Final = {"markup": True}


class Judge:
    """Both children."""

    def __init__(self) -> None:
        self._yjs = Child("node", str(HERE / "yjs.mjs"))
        self.misplaced = 0
        """Documents that differ because some item lies about its place."""
        self._pycrdt = Child(sys.executable, "-m", "fuzz.replica")

    def close(self) -> None:
        """End the children."""
        self._yjs.close()
        self._pycrdt.close()

    def problems(self, documents: Sequence[dict[str, Any]]) -> list[str]:
        """Say of each document what is wrong with it; nothing where all agree.

        A document is a ``Played`` as JSON.
        """
        try:
            return self._problems(documents)
        except ChildDied as error:
            if len(documents) == 1:
                return [str(error)]
            return [self.problems((each,))[0] for each in documents]

    def _problems(self, documents: Sequence[dict[str, Any]]) -> list[str]:
        asked = [each for each in documents if not each["verbatim_again"]]
        replicas = dict(
            zip(
                map(id, asked), self._pycrdt.ask([_for_pycrdt(each) for each in asked]), strict=True
            )
        )
        read = self._yjs.ask([_for_yjs(each, replicas.get(id(each))) for each in documents])
        problems = []
        for each, answer in zip(documents, read, strict=True):
            problem = _problem(each, replicas.get(id(each)), answer)
            if _DIFFERENT.search(problem) and self._misplaced(each):
                self.misplaced += 1
                problem = ""
            problems.append(problem)
        return problems

    def _misplaced(self, document: dict[str, Any]) -> bool:
        request = {"variants": {"log": document["log"]}, "kinds": None, "doubted": True}
        return bool(self._yjs.ask((request,))[0]["misplaced"])


def _for_pycrdt(document: dict[str, Any]) -> dict[str, Any]:
    variants = {"reloaded": [document["reloaded"]]}
    if not document["verbatim"]:
        variants = {name: document[name] for name in ("log", "answer")} | variants
    return {"variants": variants, "kinds": document["kinds"]}


def _for_yjs(document: dict[str, Any], replica: dict[str, Any] | None) -> dict[str, Any]:
    variants = {name: document[name] for name in ("log", "answer", "reader")}
    variants["reloaded"] = [document["reloaded"]]
    if replica is not None:
        for name, state in replica["states"].items():
            variants[f"pycrdt's {name}"] = [state]
    return {"variants": variants, "kinds": document["kinds"]}


def _problem(document: dict[str, Any], replica: dict[str, Any] | None, read: dict[str, Any]) -> str:
    for name, problem in read["variants"].items():
        return f"{name}: {problem}"
    clocks = {client: clock for client, clock in document["clocks"].items() if clock}
    if read["clocks"] != clocks:
        return f"Yjs has the clocks {read['clocks']} and not {clocks}"
    if replica is None:
        return ""
    if replica["problem"]:
        return f"pycrdt: {replica['problem']}"
    for name, own in replica["clocks"].items():
        if own != clocks:
            return f"pycrdt has the clocks {own} of the {name} and not {clocks}"
    if document["kinds"] is None:
        return ""
    for name, values in (("pycrdt", replica["values"]), ("the export", document["exported"])):
        if values is None:
            continue
        for root in document["kinds"]:
            if not _same(values[root], read["values"][root]):
                ours, theirs = (json.dumps(each) for each in (values[root], read["values"][root]))
                return f"root {root!r}: {name} has {ours} and Yjs {theirs}"
    return ""


def _same(ours: Any, theirs: Any) -> bool:
    if theirs == _MARKUP:
        return isinstance(ours, str)
    if isinstance(ours, dict):
        return (
            isinstance(theirs, dict)
            and ours.keys() == theirs.keys()
            and all(_same(ours[key], theirs[key]) for key in ours)
        )
    if isinstance(ours, list):
        return (
            isinstance(theirs, list) and len(ours) == len(theirs) and all(map(_same, ours, theirs))
        )
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return float(ours) == float(theirs)
    return bool(ours == theirs)
