"""The layers of the design, read from the imports: they point down only."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "crdtsync"
MAX_LINES = 400

LAYERS = {
    "bytes": [
        "addresses",
        "audit",
        "awareness",
        "channels",
        "channels.model",
        "channels.names",
        "clock",
        "encoding",
        "errors",
        "fill",
        "forwarded",
        "idset",
        "joining",
        "keystroke",
        "limits",
        "ordering",
        "origins",
        "pace",
        "portions",
        "protocol",
        "recursion",
        "seats",
        "slicing",
        "stamp",
        "state_vector",
        "stats",
        "structs",
        "update",
        "values",
        "whole",
    ],
    "core": [
        "authoring",
        "authoring.applying",
        "authoring.content",
        "authoring.model",
        "authoring.parsing",
        "authoring.reading",
        "authoring.units",
        "channels.attendance",
        "channels.book",
        "channels.changes",
        "channels.entries",
        "channels.case",
        "channels.denials",
        "channels.judging",
        "channels.rates",
        "channels.rules",
        "channels.saying",
        "channels.shedding",
        "channels.shelf",
        "channels.writing",
        "content",
        "crdt",
        "dividing",
        "document",
        "edit",
        "examining",
        "gate",
        "guard",
        "halves",
        "held",
        "history",
        "history.activity",
        "history.blame",
        "history.blocks",
        "history.columns",
        "history.compare",
        "history.content",
        "history.cutting",
        "history.divergence",
        "history.erasing",
        "history.forms",
        "history.forward",
        "history.lately",
        "history.log",
        "history.model",
        "history.moments",
        "history.operations",
        "history.past",
        "history.patch",
        "history.proving",
        "history.reading",
        "history.restoring",
        "history.saying",
        "history.retention",
        "history.shape",
        "history.sieve",
        "history.spans",
        "history.timeline",
        "history.undoing",
        "history.units",
        "history.values",
        "history.view",
        "history.weave",
        "history.words",
        "places",
        "proof",
        "roles",
        "session",
        "shortcuts",
        "state",
        "structure",
    ],
    "adapters": [
        "access",
        "access.authenticator",
        "access.links",
        "access.passwords",
        "access.ranks",
        "access.revocations",
        "access.shares",
        "access.tables",
        "access.throttle",
        "audit_log",
        "auth",
        "authoring.answers",
        "authoring.keeping",
        "channels.members",
        "config",
        "config.*",
        "guarding",
        "guarding.*",
        "history.base",
        "history.database",
        "history.tables",
        "history.version_rows",
        "identity",
        "identity.*",
        "metrics",
        "refused",
        "refused.*",
        "store",
        "store.*",
        "waiting",
    ],
    "engine": [
        "access.sessions",
        "apart",
        "authoring.entering",
        "authoring.running",
        "authoring.service",
        "batch",
        "brake",
        "channels.archiving",
        "channels.asking",
        "channels.chat",
        "channels.keeping",
        "channels.late",
        "channels.listing",
        "channels.presence",
        "channels.shrinking",
        "channels.hand",
        "channels.service",
        "committer",
        "condensing",
        "connection",
        "deletion",
        "counted",
        "documents",
        "documents.*",
        "elsewhere",
        "engine",
        "errands",
        "fanout",
        "history.asking",
        "history.automatic",
        "history.checking",
        "history.entering",
        "history.following",
        "history.noticing",
        "history.reconciling",
        "history.recorder",
        "history.restorer",
        "history.rewriting",
        "history.retaining",
        "history.service",
        "history.versioning",
        "history.worker",
        "history.working",
        "housekeeping",
        "hub",
        "gatekeeping",
        "implied",
        "indexing",
        "judge",
        "link",
        "loading",
        "parting",
        "progress",
        "recording",
        "refusing",
        "room",
        "turns",
        "yielding",
    ],
    "edges": [
        "",
        "__main__",
        "access.service",
        "cli",
        "cli.*",
        "client",
        "client.*",
        "server",
        "server.*",
        "supervisor",
        "supervisor.*",
    ],
}
"""By layer, from the bottom up: patterns of module names below ``crdtsync``."""

THIRD_PARTY = {
    "bytes": set(),
    "core": {"pycrdt"},
    "adapters": {
        "anyio",
        "cryptography",
        "filelock",
        "jwt",
        "outcome",
        "prometheus_client",
        "sqlite_utils",
        "trio",
    },
    "engine": {"anyio"},
}
"""What is imported beside the standard library; the edges may use everything."""


USE_PYCRDT = {
    "client.connecting",
    "client.core",
    "client.document",
    "client.replica",
    "client.sync",
    "crdt",
}
"""What touches pycrdt: in the client ``replica`` gives it bytes, the others name its types."""

NO_ADAPTERS = {"authoring.answers", "history.base", "refused.base", "store.base", "waiting"}
"""What the engine may use of the adapters' layer: protocols, and ways to wait."""

TIMELESS = {"anyio", "asyncio", "time", "trio"}
"""What neither bytes nor core may know: they are synchronous and are handed a clock."""


def module_name(path: Path) -> str:
    """Return a module's name below ``crdtsync``, without its ``__init__``."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(name: str) -> str:
    """Return the layer that a module belongs to."""
    for layer, patterns in LAYERS.items():
        if any(fnmatch(name, pattern) for pattern in patterns):
            return layer
    return ""


def imports(name: str) -> Iterator[str]:
    """Yield the full name of every module that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"crdtsync.{name} has a relative import"
            assert node.level == 0, f"crdtsync.{name} has a relative import"
            below = node.module.removeprefix("crdtsync").removeprefix(".")
            for alias in node.names:
                inner = f"{below}.{alias.name}" if below else alias.name
                is_module = node.module.startswith("crdtsync") and inner in MODULES
                yield f"crdtsync.{inner}" if is_module else node.module


def own(imported: str) -> str | None:
    """Return the name below ``crdtsync``, or ``None`` for others' modules."""
    if imported == "crdtsync":
        return ""
    return imported.removeprefix("crdtsync.") if imported.startswith("crdtsync.") else None


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_layer(name: str) -> None:
    """A new module is given its layer here before anything imports it."""
    assert layer_of(name), f"crdtsync.{name} is in no layer"


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name)])
def test_imports_point_down(name: str) -> None:
    """A module imports its own layer and those below it, the engine no adapter."""
    layer = layer_of(name)
    order = list(LAYERS)
    for imported in imports(name):
        below = own(imported)
        if below is None:
            continue
        other = layer_of(below) or "edges"
        assert order.index(other) <= order.index(layer), f"crdtsync.{name} imports {imported}"
        if layer == "engine" and other == "adapters":
            assert below in NO_ADAPTERS, f"crdtsync.{name} imports the adapter {imported}"
        if layer == "bytes":
            assert other == "bytes", f"crdtsync.{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in MODULES if layer_of(name)])
def test_third_party_imports_are_where_they_belong(name: str) -> None:
    """Bytes use the standard library alone, the core pycrdt, the engine AnyIO.

    Only crdt uses pycrdt, and the client, whose documents are the program's own.
    """
    layer = layer_of(name)
    for imported in imports(name):
        root = imported.partition(".")[0]
        if root == "pycrdt":
            assert name in USE_PYCRDT, f"crdtsync.{name} imports pycrdt"
        if layer == "edges" or root == "crdtsync" or root in sys.stdlib_module_names:
            continue
        assert root in THIRD_PARTY[layer], f"crdtsync.{name} imports {imported}"


@pytest.mark.parametrize("name", [n for n in MODULES if layer_of(n) in ("bytes", "core")])
def test_bytes_and_core_know_no_time(name: str) -> None:
    """No bytes or core module but the clock itself reads time or awaits anything."""
    if name == "clock":
        return
    known = {imported.partition(".")[0] for imported in imports(name)}
    assert not known & TIMELESS
    tree = ast.parse(MODULES[name].read_text())
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith, ast.AsyncFor)
    assert not any(isinstance(node, waits) for node in ast.walk(tree))


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_own(name: str) -> None:
    """Every module opens with a docstring."""
    assert ast.get_docstring(ast.parse(MODULES[name].read_text())), f"crdtsync.{name}"


@pytest.mark.parametrize("name", MODULES)
def test_files_stay_readable(name: str) -> None:
    """No file is over 400 lines."""
    assert len(MODULES[name].read_text().splitlines()) <= MAX_LINES, f"crdtsync.{name}"
