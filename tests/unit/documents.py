"""Real documents of several clients, made by a seeded random editor."""

from random import Random
from typing import Any

import pycrdt

__all__ = ["Doc", "content", "edit", "fresh", "history", "replay"]

Doc = pycrdt.Doc[Any]

WORDS = ["a", "hello ", "wörld", "😀", "x😀y", "line\n"]


def fresh(client: int | None = None) -> Doc:
    """Return an empty document with a root of every kind."""
    made: Doc = pycrdt.Doc() if client is None else pycrdt.Doc(client_id=client)
    made["text"] = pycrdt.Text()
    made["array"] = pycrdt.Array()
    made["map"] = pycrdt.Map()
    made["xml"] = pycrdt.XmlFragment()
    return made


def content(made: Doc) -> dict[str, Any]:
    """Return everything that a document shows, formats included."""
    return {
        "text": made.get("text", type=pycrdt.Text).diff(),
        "array": plain(made.get("array", type=pycrdt.Array)),
        "map": plain(made.get("map", type=pycrdt.Map)),
        "xml": plain(made.get("xml", type=pycrdt.XmlFragment)),
    }


def plain(value: Any) -> Any:
    """Turn nested shared types into what compares by value."""
    if isinstance(value, pycrdt.Text | pycrdt.XmlText):
        return value.diff()
    if isinstance(value, pycrdt.XmlFragment | pycrdt.XmlElement):
        named = isinstance(value, pycrdt.XmlElement)
        tag = (value.tag, sorted(value.attributes)) if named else ()
        return (*tag, [plain(each) for each in value.children])
    if isinstance(value, pycrdt.Array):
        return [plain(each) for each in value]
    if isinstance(value, pycrdt.Map):
        return {key: plain(value[key]) for key in sorted(value.keys())}
    return value


def replay(*updates: bytes) -> Doc:
    """Return a document that the updates were applied to, one after another."""
    made = fresh()
    for update in updates:
        made.apply_update(update)
    return made


def border(text: str, random: Random) -> int:
    """Return a random position between two characters, in bytes as pycrdt counts."""
    return len(text[: random.randint(0, len(text))].encode())


def edit(made: Doc, random: Random) -> bytes:
    """Change a document at random; return the update."""
    before = made.get_state()
    with made.transaction():
        random.choice(
            [edit_text, edit_text, edit_text, edit_array, edit_map, edit_xml, edit_nested]
        )(made, random)
    return made.get_update(before)


def edit_text(made: Doc, random: Random) -> None:
    change_text(made["text"], random)


def change_text(text: Any, random: Random) -> None:
    shown = "".join(part for part, _ in text.diff() if isinstance(part, str))
    whole = len(shown) == len(text.diff()) or all(isinstance(p, str) for p, _ in text.diff())
    here = border(shown, random) if whole else len(text)
    kind = random.randrange(6)
    if kind == 0 and shown and whole:
        end = random.randint(0, len(shown) - 1)
        start = len(shown[:end].encode())
        del text[start : start + len(shown[end].encode())]
    elif kind == 1 and shown and whole:
        there = border(shown, random)
        low, high = sorted((here, there))
        if low < high:
            text.format(low, high, {random.choice(["bold", "link"]): random.choice([True, None])})
    elif kind == 2:
        text.insert_embed(len(text), {"image": random.randrange(9)})
    else:
        text.insert(here, random.choice(WORDS))


def edit_array(made: Doc, random: Random) -> None:
    array = made["array"]
    if len(array) and random.random() < 0.3:
        del array[random.randrange(len(array))]
    else:
        array.insert(random.randint(0, len(array)), random.choice([1.5, "x", True, None, [1.0]]))


def edit_map(made: Doc, random: Random) -> None:
    values = made["map"]
    key = random.choice("abc")
    if key in values and random.random() < 0.3:
        del values[key]
    else:
        values[key] = random.choice([2.5, "y", False, {"k": [1.0]}, b"raw"])


def edit_xml(made: Doc, random: Random) -> None:
    children = made["xml"].children
    if len(children) and random.random() < 0.4:
        child = children[random.randrange(len(children))]
        if isinstance(child, pycrdt.XmlElement):
            child.attributes[random.choice("pq")] = random.choice("12")
        else:
            child += random.choice(["z", "é"])
    elif len(children) and random.random() < 0.2:
        del children[random.randrange(len(children))]
    elif random.random() < 0.5:
        children.append(pycrdt.XmlElement(random.choice(["p", "b"])))
    else:
        children.append(pycrdt.XmlText("t"))


def edit_nested(made: Doc, random: Random) -> None:
    values = made["map"]
    name = random.choice(["m", "t", "l"])
    if name not in values or random.random() < 0.1:
        values[name] = {"m": pycrdt.Map, "t": pycrdt.Text, "l": pycrdt.Array}[name]()
        return
    inner = values[name]
    if name == "t":
        change_text(inner, random)
    elif name == "l":
        inner.append(random.choice([1.0, "n", pycrdt.Map({"deep": 1.0})]))
    else:
        inner[random.choice("uv")] = random.choice([3.5, pycrdt.Array([1.0])])


def history(seed: int, *, clients: int = 3, steps: int = 40, meet: float = 0.3) -> list[bytes]:
    """Return updates of several clients that met now and then, in a causal order."""
    random = Random(seed)
    docs = [fresh(client) for client in random.sample(range(1, 1 << 32), clients)]
    made: list[bytes] = []
    for _ in range(steps):
        doc = random.choice(docs)
        if random.random() < meet:
            for update in made:
                doc.apply_update(update)
        made.append(edit(doc, random))
    return [update for update in made if update != b"\x00\x00"]
