"""An independent model of documents: text as units with formats, lists, dicts; and random edits.

It knows nothing of CRDTs: operations as JSON are done to it as a reader of the docs would.
"""

from copy import deepcopy
from random import Random
from typing import Any

LETTERS = "abcdef ghijkl mno\n\0éß中😀🎉"
FORMATS: list[dict[str, Any]] = [
    {},
    {"bold": True},
    {"bold": True, "italic": True},
    {"color": "red"},
    {"link": {"href": "x"}, "bold": True},
    {"size": 1.5},
]


class Text:
    """Units with formats; what is no character is one unit."""

    def __init__(self) -> None:
        self.units: list[tuple[Any, dict[str, Any]]] = []

    def insert(self, index: int, content: Any, formats: dict[str, Any]) -> int:
        formats = {key: each for key, each in formats.items() if each is not None}
        new = units(content) if isinstance(content, str) else [made(content)]
        self.units[index:index] = [(each, formats) for each in new]
        return len(new)

    def format(self, index: int, length: int, formats: dict[str, Any]) -> None:
        for at in range(index, index + length):
            unit, before = self.units[at]
            after = {key: each for key, each in {**before, **formats}.items() if each is not None}
            self.units[at] = unit, after

    def delta(self) -> list[dict[str, Any]]:
        ops: list[dict[str, Any]] = []
        for unit, formats in self.units:
            inserted = unit if isinstance(unit, str) else rich(unit)
            last = ops[-1] if ops else {"insert": None}
            together = isinstance(unit, str) and isinstance(last["insert"], str)
            if together and last.get("attributes", {}) == formats:
                last["insert"] += unit
                continue
            op = {"insert": inserted}
            if formats:
                op["attributes"] = formats
            ops.append(op)
        for op in ops:
            if isinstance(op["insert"], str):
                raw = op["insert"].encode("utf-16-le", "surrogatepass")
                op["insert"] = raw.decode("utf-16-le")
        return ops


class Xml:
    """An element, or a fragment (without a name)."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.attributes: dict[str, Any] = {}
        self.children: list[Any] = []


class XmlText(Text):
    """A text in XML."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: dict[str, Any] = {}


class Embed:
    """A value in a text."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Plain:
    """A value that is no shared type."""

    def __init__(self, value: Any) -> None:
        self.value = value


def units(text: str) -> list[str]:
    raw = text.encode("utf-16-le")
    return [raw[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(raw), 2)]


def made(content: Any) -> Any:
    """Return the model of a shared type in its rich form; a plain value otherwise."""
    if isinstance(content, dict) and content.get("kind") == "text":
        text = Text()
        for op in content["delta"]:
            text.insert(len(text.units), op["insert"], op.get("attributes", {}))
        return text
    if isinstance(content, dict) and content.get("kind") == "map":
        return {key: made(each) for key, each in content["value"].items()}
    if isinstance(content, dict) and content.get("kind") == "array":
        return [made(each) for each in content["value"]]
    if isinstance(content, dict) and content.get("kind") == "xml":
        fragment = Xml()
        fragment.children = [node(each) for each in content["children"]]
        return fragment
    return Plain(content)


def node(value: dict[str, Any]) -> Any:
    if "text" in value:
        text = XmlText()
        for op in value["text"]:
            text.insert(len(text.units), op["insert"], op.get("attributes", {}))
        text.attributes = dict(value.get("attributes", {}))
        return text
    element = Xml(value["name"])
    element.attributes = dict(value.get("attributes", {}))
    element.children = [node(each) for each in value.get("children", [])]
    return element


def rich(thing: Any) -> Any:
    """Return a thing as content shows it."""
    match thing:
        case Plain():
            return thing.value
        case XmlText():
            found = {"text": thing.delta()}
            return found | ({"attributes": thing.attributes} if thing.attributes else {})
        case Text():
            return {"kind": "text", "delta": thing.delta()}
        case Xml(name=""):
            return {"kind": "xml", "children": [rich(each) for each in thing.children]}
        case Xml():
            children = [rich(each) for each in thing.children]
            return {"name": thing.name, "attributes": thing.attributes, "children": children}
        case dict():
            return {"kind": "map", "value": {key: rich(each) for key, each in thing.items()}}
        case list():
            return {"kind": "array", "value": [rich(each) for each in thing]}
    raise AssertionError(thing)


ROOTS = {"text": Text, "notes": Text, "map": dict, "list": list, "page": Xml}


class Model:
    """A document."""

    def __init__(self) -> None:
        self.roots: dict[str, Any] = {name: kind() for name, kind in ROOTS.items()}

    def shown(self) -> dict[str, Any]:
        """Return the content of all roots that hold something."""
        return {name: rich(root) for name, root in sorted(self.roots.items()) if holds(root)}

    def at(self, path: list[Any]) -> Any:
        thing = self.roots[path[0]]
        for step in path[1:]:
            if isinstance(thing, Text):
                thing = thing.units[step][0]
            else:
                thing = thing.children[step] if isinstance(thing, Xml) else thing[step]
        return thing

    def do(self, op: dict[str, Any]) -> None:
        """Do an operation."""
        thing = self.at(op["path"])
        match op["op"]:
            case "insert" if isinstance(thing, Text):
                index = len(thing.units) if op.get("index") is None else op["index"]
                before = thing.units[index - 1][1] if index else {}
                content = op["text"] if "text" in op else op["embed"]
                thing.insert(index, content, op.get("attributes", before))
            case "insert":
                within = thing.children if isinstance(thing, Xml) else thing
                index = len(within) if op.get("index") is None else op["index"]
                if "children" in op:
                    new = [node(each) for each in op["children"]]
                elif "values" in op:
                    new = [Plain(each) for each in op["values"]]
                else:
                    new = [made(each) for each in op["content"]]
                within[index:index] = new
            case "delete":
                within = thing.units if isinstance(thing, Text) else thing
                within = thing.children if isinstance(thing, Xml) else within
                del within[op["index"] : op["index"] + op["length"]]
            case "format":
                thing.format(op["index"], op["length"], op["attributes"])
            case "set":
                new = Plain(op["value"]) if "value" in op else made(op["content"])
                if isinstance(thing, dict):
                    thing[op["key"]] = new
                else:
                    thing.attributes[op["key"]] = op["value"]
            case "remove":
                del (thing if isinstance(thing, dict) else thing.attributes)[op["key"]]
            case "delta":
                at = 0
                for piece in op["delta"]:
                    if "retain" in piece:
                        thing.format(at, piece["retain"], piece.get("attributes") or {})
                        at += piece["retain"]
                    elif "delete" in piece:
                        del thing.units[at : at + piece["delete"]]
                    else:
                        at += thing.insert(at, piece["insert"], piece.get("attributes") or {})


def holds(root: Any) -> bool:
    within = root.units if isinstance(root, Text) else root
    return bool(root.children if isinstance(root, Xml) else within)


class Author:
    """Makes random operations that fit a model, and does them there."""

    def __init__(self, random: Random, model: Model) -> None:
        self.random = random
        self.model = model

    def operations(self, most: int = 6) -> list[dict[str, Any]]:
        found = []
        for _ in range(self.random.randint(1, most)):
            op = self.operation()
            self.model.do(deepcopy(op))
            found.append(op)
        return found

    def operation(self) -> dict[str, Any]:
        """Return an operation for somewhere in the document."""
        random = self.random
        path: list[Any] = [random.choice(sorted(ROOTS))]
        thing = self.model.at(path)
        while inner := self._inside(thing):
            if random.random() < 0.4:
                break
            step, thing = random.choice(inner)
            path.append(step)
        if isinstance(thing, Text):
            return self._text(thing, path)
        if isinstance(thing, dict):
            return self._map(thing, path, thing)
        if isinstance(thing, Xml):
            if thing.name and random.random() < 0.3:
                return self._map(thing.attributes, path, None)
            return self._list(thing.children, path, "children")
        return self._list(thing, path, "content")

    def _inside(self, thing: Any) -> list[tuple[Any, Any]]:
        if isinstance(thing, dict):
            found = list(thing.items())
        elif isinstance(thing, Text):
            found = [(at, unit) for at, (unit, _) in enumerate(thing.units)]
        else:
            found = list(enumerate(thing.children if isinstance(thing, Xml) else thing))
        return [(step, each) for step, each in found if not isinstance(each, Plain | str)]

    def _spot(self, text: Text) -> int:
        while True:
            at = self.random.randint(0, len(text.units))
            unit = text.units[at][0] if at < len(text.units) else ""
            if not (isinstance(unit, str) and "\udc00" <= unit <= "\udfff"):
                return at

    def _range(self, text: Text) -> tuple[int, int]:
        one, other = sorted((self._spot(text), self._spot(text)))
        return one, other - one

    def _formats(self) -> dict[str, Any]:
        return dict(self.random.choice(FORMATS))

    def _text(self, text: Text, path: list[Any]) -> dict[str, Any]:
        random = self.random
        index, length = self._range(text)
        kind = random.choice(["insert", "insert", "insert", "delete", "format", "embed", "delta"])
        if kind == "delta":
            return {"op": "delta", "path": path, "delta": self._delta(text)}
        if length and kind == "delete":
            return {"op": "delete", "path": path, "index": index, "length": length}
        if length and kind == "format":
            formats = self._formats() | random.choice([{}, {"bold": None}, {"color": None}])
            formats = formats or {"bold": True}
            op = {"op": "format", "path": path, "index": index, "length": length}
            return op | {"attributes": formats}
        op = {"op": "insert", "path": path, "index": random.choice([index, None])}
        if random.random() < 0.5:
            op["attributes"] = self._formats()
        if kind == "embed":
            return op | {"embed": self._embed()}
        return op | {"text": self._string()}

    def _string(self) -> str:
        return "".join(self.random.choices(LETTERS, k=self.random.randint(1, 6)))

    def _embed(self) -> Any:
        random = self.random
        return random.choice([{"image": "i.png"}, {"n": 1.5}, self._embedded()])

    def _embedded(self) -> Any:
        while (found := self._rich(1, shared=True))["kind"] == "xml":
            pass
        return found

    def _delta(self, text: Text) -> list[dict[str, Any]]:
        random = self.random
        at, pieces = 0, []
        for spot in sorted({self._spot(text) for _ in range(random.randint(0, 4))}):
            if spot > at:
                piece: dict[str, Any] = {random.choice(["retain", "retain", "delete"]): spot - at}
                if "retain" in piece and random.random() < 0.5:
                    piece["attributes"] = self._formats() | random.choice([{}, {"bold": None}])
                pieces.append(piece)
                at = spot
            if random.random() < 0.6:
                inserted = self._embed() if random.random() < 0.2 else self._string()
                pieces.append({"insert": inserted, "attributes": self._formats()})
        return pieces

    def _map(self, held: dict[str, Any], path: list[Any], shared: Any) -> dict[str, Any]:
        random = self.random
        if held and random.random() < 0.25:
            return {"op": "remove", "path": path, "key": random.choice(sorted(held))}
        op = {"op": "set", "path": path, "key": random.choice(["a", "b", "ü", "", "kind"])}
        if shared is not None and random.random() < 0.4:
            return op | {"content": self._rich(2, shared=True)}
        return op | {"value": self._plain(2) if shared is not None else self._string()}

    def _list(self, held: list[Any], path: list[Any], member: str) -> dict[str, Any]:
        random = self.random
        if held and random.random() < 0.25:
            index = random.randrange(len(held))
            length = random.randint(1, min(3, len(held) - index))
            return {"op": "delete", "path": path, "index": index, "length": length}
        index = random.choice([None, random.randint(0, len(held))])
        op = {"op": "insert", "path": path, "index": index}
        if member == "children":
            return op | {"children": [self._node(2) for _ in range(random.randint(1, 2))]}
        if random.random() < 0.4:
            return op | {"values": [self._plain(2) for _ in range(random.randint(1, 3))]}
        return op | {"content": [self._rich(2) for _ in range(random.randint(1, 2))]}

    def _plain(self, depth: int) -> Any:
        random = self.random
        simple = [None, True, False, 0, -7, 2**31, 2**53 - 1, 0.5, -1.25, "", self._string()]
        if depth and random.random() < 0.4:
            if random.random() < 0.5:
                return [self._plain(depth - 1) for _ in range(random.randint(0, 3))]
            return {self._string(): self._plain(depth - 1) for _ in range(random.randint(0, 2))}
        return random.choice(simple)

    def _rich(self, depth: int, *, shared: bool = False) -> Any:
        random = self.random
        kind = random.choice(["text", "map", "array", "xml", *([] if shared else ["plain"] * 3)])
        if kind == "plain":
            return self._plain(1)
        if kind == "text":
            return {"kind": "text", "delta": self._puts()}
        if kind == "xml":
            return {"kind": "xml", "children": [self._node(1) for _ in range(random.randint(0, 2))]}
        deeper = depth - 1
        if kind == "map":
            within: Any = {
                key: self._plain(1) if not deeper else self._rich(deeper) for key in "xy"
            }
        else:
            within = [self._rich(deeper) for _ in range(random.randint(0, 2))] if deeper else []
        return {"kind": kind, "value": within}

    def _puts(self) -> list[dict[str, Any]]:
        return [
            {"insert": self._string(), "attributes": self._formats()}
            for _ in range(self.random.randint(0, 2))
        ]

    def _node(self, depth: int) -> dict[str, Any]:
        random = self.random
        if random.random() < 0.4:
            return {"text": self._puts(), "attributes": random.choice([{}, {"k": "v"}])}
        children = [self._node(depth - 1) for _ in range(random.randint(0, 2))] if depth else []
        attributes = random.choice([{}, {"class": "x"}, {"id": "1", "lang": "de"}])
        return {"name": random.choice(["p", "Div", "h1"]), "attributes": attributes} | (
            {"children": children} if children or random.random() < 0.5 else {}
        )
