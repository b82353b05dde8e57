"""Random histories, restored: ``python -m tests.history.restoring --histories 10000``.

Each history is restored to one of its moments, whole and in one root; applied to a document that
let go of what was deleted, and together with edits that come at the same time. Every fifth one is
made by Yjs clients, which also divide characters, hold big integers, hooks and documents; what
comes of them is shown by Yjs.
"""

import argparse
import base64
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pycrdt

from crdtsync.document import Document, Verdict
from crdtsync.history.forward import restore_update
from crdtsync.history.model import NotRestorable, UnknownRoot
from crdtsync.history.past import Past
from crdtsync.limits import Limits
from crdtsync.store.base import Record
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan
from tests.interop.harness import run_node
from tests.properties.authors import doc_of, play
from tests.properties.edits import ROOTS, Dice, content, edit

__all__ = ["check_library", "check_yjs", "past_of"]

RESTORING_MJS = Path(__file__).with_name("restoring.mjs")
YJS_BATCH = 250
RESTORER, LATECOMER = 777, 888
MARK = "§"


def past_of(updates: Sequence[bytes], authors: Sequence[str] = ()) -> Past:
    """Return the history of a log, as it is after it was stored."""
    records = [
        Record("doc", n, 1000 * n, authors[n - 1] if authors else "", update)
        for n, update in enumerate(updates, 1)
    ]
    return Past.open(Past.open(None, None, records).stored())


def admitted(updates: Sequence[bytes], update: bytes) -> None:
    """Assert that a server that has some updates lets another one in, all of it."""
    document = Document(Limits())
    for each in updates:
        document.replay(each)
    document.loaded()
    found = scan(update, Limits(), structs=True)
    assert not document.lacks(update, found)
    assert document.admit(update, found) is not Verdict.AHEAD


def check_library(seed: int) -> None:
    """Restore a history that pycrdt made; raise ``AssertionError`` where that is not exact."""
    random = Random(seed)
    updates = play(random.randbytes(400)).updates
    moment = random.randrange(len(updates) + 1) if updates else 0
    past = past_of(updates)
    update = restore_update(past, moment, client=RESTORER)
    then, now = content(doc_of(*updates[:moment])), content(doc_of(*updates))
    after = [*updates, update]
    assert content(doc_of(*after)) == then, "restored"
    assert (update == EMPTY_UPDATE) <= (then == now), "nothing to do"
    if update != EMPTY_UPDATE:
        admitted(updates, update)
        back = restore_update(past_of(after), len(updates), client=RESTORER + 1)
        assert content(doc_of(*after, back)) == now, "restored to the version before"
    check_root(past, updates, moment, random.choice(list(ROOTS)))
    check_meanwhile(updates, update, random)


def check_root(past: Past, updates: Sequence[bytes], moment: int, root: str) -> None:
    """Restore one root: it is what it was, the others are what they are."""
    then, now = content(doc_of(*updates[:moment])), content(doc_of(*updates))
    try:
        update = restore_update(past, moment, root=root, client=RESTORER)
    except UnknownRoot:
        assert now[root] == content(pycrdt.Doc())[root], "there is no such root"
        return
    assert content(doc_of(*updates, update)) == now | {root: then[root]}, f"root {root}"


def check_meanwhile(updates: Sequence[bytes], update: bytes, random: Random) -> None:
    """Edit while a document is restored: that stays, and everybody has the same in the end."""
    other = pycrdt.Doc[Any](client_id=LATECOMER)
    for each in updates:
        other.apply_update(each)
    before = other.get_state()
    with other.transaction():
        text = other.get("text", type=pycrdt.Text)
        text.insert(random.choice([0, len(text)]), MARK)
        for _ in range(random.randrange(3)):
            edit(other, Dice(random.randbytes(40)))
    edited = other.get_update(before)
    if update != EMPTY_UPDATE:
        admitted([*updates, edited], update)
    shown = content(doc_of(*updates, update, edited))
    assert shown == content(doc_of(*updates, edited, update)), "it converges"
    other.apply_update(update)
    assert content(other) == shown, "who edited converges"
    typed = MARK in json.dumps(content(doc_of(*updates, edited))["text"], ensure_ascii=False)
    there = MARK in json.dumps(shown["text"], ensure_ascii=False)
    assert there == typed, "what was typed meanwhile is there"


def node(task: str, question: Any) -> Any:
    """Ask Yjs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "question.json"
        path.write_text(json.dumps(question), "utf-8")
        return json.loads(run_node(RESTORING_MJS, task, str(path)))


def check_yjs(seeds: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Restore histories that Yjs made; yield the seeds for which that is not exact, and why."""
    asked: list[list[str]] = []
    for seed, made in zip(seeds, node("make", list(seeds)), strict=True):
        updates = [base64.b64decode(each) for each in made["updates"]]
        moment = Random(seed).randrange(made["made"] + 1)
        try:
            update = restore_update(past_of(updates), moment, client=RESTORER)
            if update != EMPTY_UPDATE:
                admitted(updates, update)
        except (AssertionError, NotRestorable) as error:
            yield seed, str(error)
            update = EMPTY_UPDATE
        asked.append(made["updates"][:moment])
        asked.append([*made["updates"], base64.b64encode(update).decode()])
    shown = node("show", asked)
    for number, seed in enumerate(seeds):
        if shown[2 * number] != shown[2 * number + 1]:
            yield seed, f"Yjs: {shown[2 * number]} became {shown[2 * number + 1]}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Restore histories; the exit code says whether all were exact."""
    parser = argparse.ArgumentParser(prog="python -m tests.history.restoring", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    failed: list[int] = []
    started = time.perf_counter()
    seeds = range(options.first, options.first + options.histories)
    by_yjs = [seed for seed in seeds if seed % 5 == 4]
    for done, seed in enumerate((seed for seed in seeds if seed % 5 != 4), 1):
        try:
            check_library(seed)
        except (AssertionError, NotRestorable) as error:
            failed.append(seed)
            _say(f"seed {seed} FAILED: {str(error)[:300]}")
        if done % 1000 == 0:
            _say(f"{done} histories of pycrdt, {time.perf_counter() - started:.0f} s")
    for start in range(0, len(by_yjs), YJS_BATCH):
        for seed, why in check_yjs(by_yjs[start : start + YJS_BATCH]):
            failed.append(seed)
            _say(f"seed {seed} FAILED: {why[:600]}")
    seconds = time.perf_counter() - started
    yjs = len(by_yjs)
    _say(f"{len(seeds)} histories, {yjs} of them by Yjs, in {seconds:.0f} s: {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
