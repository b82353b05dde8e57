"""What ``docs/moving.md`` says of Hocuspocus's SQLite, run against a server."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pycrdt

from .kit import TIMEOUT_S, blocks, page, serving

(SCRIPT,) = blocks(page("docs/moving.md"), "python")
NAMES = ("notes", "a b/ü?c")
SCHEMA = (
    'CREATE TABLE "documents" ("name" varchar(255) NOT NULL, "data" blob NOT NULL, UNIQUE(name))'
)
"""As @hocuspocus/extension-sqlite makes it."""


def test_documents_come_from_hocuspocus(tmp_path: Path) -> None:
    """Each document comes under its name, once, and with its ids."""
    (tmp_path / "move.py").write_text(SCRIPT, "utf-8")
    states: dict[str, bytes] = {}
    with closing(sqlite3.connect(tmp_path / "db.sqlite")) as old, old:
        old.execute(SCHEMA)
        for name in NAMES:
            doc = pycrdt.Doc[pycrdt.Text]()
            doc.get("text", type=pycrdt.Text).insert(0, f"this is {name}")
            states[name] = doc.get_state()
            old.execute("INSERT INTO documents VALUES (?, ?)", (name, doc.get_update()))
    with serving(tmp_path, "--store", "memory:") as (_, url):
        http = url.replace("ws:", "http:")
        for status in (201, 409):
            done = subprocess.run(
                [sys.executable, "-X", "utf8", "move.py", "db.sqlite", http],
                cwd=tmp_path,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=True,
            )
            said = sorted(done.stdout.decode().splitlines())
            assert said == sorted(f"{status} {name}" for name in NAMES)
        with httpx.Client(base_url=f"{http}/api/v1/documents/", timeout=TIMEOUT_S) as client:
            for name in NAMES:
                path = name.replace("?", "%3F")
                assert client.get(f"{path}?format=text").text == f"this is {name}"
                moved = pycrdt.Doc[pycrdt.Text]()
                moved.apply_update(client.get(f"{path}?format=update").content)
                assert moved.get_state() == states[name]
