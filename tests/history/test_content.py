"""Every moment's content is what Yjs, and pycrdt, make of the log up to there."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from crdtsync.content import export
from crdtsync.history.content import read
from crdtsync.history.past import Past
from crdtsync.history.values import plain, same
from crdtsync.store.base import Record
from tests.corpus.corpus import NAMES, load
from tests.history.kit import ask, logged
from tests.properties.authors import History, histories, play
from tests.properties.profile import checked
from tests.unit.documents import history

CONTENT_MJS = Path(__file__).with_name("content.mjs")
MAX_MOMENTS = 8
"""Of a long history, so many are looked at."""

Json = dict[str, Any]


def rich(records: Sequence[Record], sequence: int) -> Json:
    """Return the roots of a moment in the rich form."""
    return dict(json.loads(read(None, None, records, sequence, "rich"))["roots"])


def moments_of(records: Sequence[Record], random: Random) -> list[int]:
    everyone = range(1, len(records) + 1)
    return sorted(random.sample(everyone, min(MAX_MOMENTS, len(everyone))))


def normal(value: Any) -> Any:
    """Write what Yjs shows as the rich form has it."""
    if isinstance(value, list):
        return [normal(each) for each in value]
    if isinstance(value, int) and abs(value) >= 1 << 53:
        return float(value)  # JavaScript writes all numbers' digits
    if not isinstance(value, dict):
        return plain(value)
    if value.keys() == {"bytes"}:
        return value["bytes"]
    if value.keys() == {"bigint"}:
        return int(value["bigint"])
    found = {key: normal(each) for key, each in value.items()}
    for key in ("delta", "text"):
        if isinstance(found.get(key), list):
            found[key] = joined(found[key])
    return found


def blurred(value: Any) -> Any:
    """Divide every pair of surrogates, as Yjs does when somebody writes between its halves."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(re.sub("[\U00010000-\U0010ffff]", "\ufffd\ufffd", text))


def joined(delta: list[Json]) -> list[Json]:
    """Join neighbours with the same attributes, which Yjs keeps apart where a mark lies between."""
    found: list[Json] = []
    for op in delta:
        last = found[-1] if found else {}
        if (
            isinstance(op["insert"], str)
            and isinstance(last.get("insert"), str)
            and same(op.get("attributes", {}), last.get("attributes", {}))
        ):
            found[-1] = {**last, "insert": last["insert"] + op["insert"]}
        else:
            found.append(op)
    return found


def assert_yjs_agrees(logs: Sequence[Sequence[bytes]], folder: Path) -> int:
    """Compare moments' content with three documents in Yjs; return how many there were.

    One is made from everything and the exported snapshot, one from the exported update, one from
    the log up to there. In the first Yjs shows pairs as divided that somebody divides later.
    """
    question: list[Json] = []
    own: list[list[Json]] = []
    for number, log in enumerate(logs):
        records = logged(log)
        moments = moments_of(records, Random(number))
        contents = [rich(records, each) for each in moments]
        for content, each in zip(contents, moments, strict=True):
            for name, root in content.items():
                if root["kind"] == "xml":
                    root["string"] = read(None, None, records, each, "xml", name).decode()
        own.append(contents)
        question.append(
            {
                "structs": Past.open(None, None, records).structs,
                "moments": [
                    {
                        "snapshot": read(None, None, records, each, "snapshot"),
                        "update": read(None, None, records, each, "update"),
                        "log": log[:each],
                        "roots": {name: root["kind"] for name, root in content.items()},
                    }
                    for each, content in zip(moments, contents, strict=True)
                ],
            }
        )
    said = ask(CONTENT_MJS, question, folder)
    for number, (contents, documents) in enumerate(zip(own, said, strict=True)):
        for content, makings in zip(contents, documents, strict=True):
            for making in makings:
                for name, root in content.items():
                    seen = normal(making[name])
                    if making is makings[0]:
                        seen, root = blurred(seen), blurred(root)
                    if "[object Object]" in seen.get("string", ""):
                        seen["string"] = root["string"]  # for Yjs, all embeds look like this
                    assert same(seen, root), (number, name)
    return sum(map(len, own))


def test_recorded_documents(tmp_path: Path) -> None:
    """Of every recorded history, of pairs divided, big integers and hooks, too."""
    logs = [[each.data for each in load(name).updates] for name in NAMES if name != "holes"]
    assert assert_yjs_agrees([log for log in logs if len(log) < 400], tmp_path) > 120


def test_random_documents(tmp_path: Path) -> None:
    """Of concurrent edits of every kind."""
    logs = [play(Random(seed).randbytes(300)).updates for seed in range(100)]
    logs += [history(seed, clients=4, steps=30) for seed in range(20)]
    assert assert_yjs_agrees(logs, tmp_path) > 700


@checked(200, history=histories)
def test_plain_content_is_what_an_export_has(history: History) -> None:
    """As JSON and text, a moment is what an export of its document says."""
    records = logged(history.updates)
    count = 1 + history.dice.roll(len(records))
    exported = export(read(None, None, records, count, "update"))
    told = json.loads(read(None, None, records, count))
    assert told["moment"]["sequence"] == count
    assert told["roots"].keys() == exported.keys()
    for name, root in told["roots"].items():
        if root["kind"] != "xml":  # whose attributes pycrdt has in any order
            assert same(root["value"], exported[name].value)
        if root["kind"] == "text":
            text = read(None, None, records, count, "text", name).decode()
            assert text == root["value"]
            delta = json.loads(read(None, None, records, count, "delta", name))["roots"][name]
            runs = [op["insert"] for op in delta["delta"] if isinstance(op["insert"], str)]
            assert "".join(runs) == text
