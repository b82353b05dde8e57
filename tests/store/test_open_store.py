"""Store URLs, right and wrong, and places where there can't be a store."""

from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from crdtsync.errors import ConfigError, StoreError, StoreLocked
from crdtsync.store import FileStore, MemoryStore, SQLiteStore, open_store


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:crdtsync.db", SQLiteStore),
        ("sqlite:/var/lib/crdtsync.db", SQLiteStore),
        ("sqlite:with:colon.db", SQLiteStore),
        ("file:documents", FileStore),
        ("memory:", MemoryStore),
    ],
)
def test_a_url_names_a_store(url: str, kind: type) -> None:
    """Each scheme gives its store, whose own URL is the one asked for."""
    store = open_store(url)
    assert type(store) is kind
    assert store.url == url


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("crdtsync.db", "sqlite:crdtsync.db"),
        ("/data/documents", "file:/data/documents"),
        ("C:\\data\\crdtsync.db", "sqlite:C:\\data\\crdtsync.db"),
        ("sqlite", "sqlite:crdtsync.db"),
        ("sqlite:", "sqlite:crdtsync.db"),
        ("file:", "file:documents"),
        ("sqlite3:x.db", "sqlite:x.db"),
        ("SQLite:x.db", "sqlite:x.db"),
        ("files:docs", "file:docs"),
        ("sqlite:///x.db", "sqlite:/x.db"),
        ("file:///srv/docs", "file:/srv/docs"),
        (":memory:", "memory:"),
        ("sqlite::memory:", "memory:"),
        ("memory", "memory:"),
        ("memory:x", "memory:"),
        ("postgres://host/db", "sqlite:FILE, file:FOLDER or memory:"),
        ("", "sqlite:FILE, file:FOLDER or memory:"),
    ],
)
def test_a_wrong_url_says_what_would_be_right(url: str, hint: str) -> None:
    """A URL that is no store's is refused with the URL that was probably meant."""
    with pytest.raises(ConfigError, match="is not a store") as caught:
        open_store(url)
    assert hint in caught.value.hint


def test_memory_is_not_read_only() -> None:
    """A store in memory that may not be written to makes no sense and is refused."""
    with pytest.raises(ConfigError) as caught:
        open_store("memory:", read_only=True)
    assert "nothing to read" in caught.value.hint


def test_a_wrong_durability_lists_the_right_ones() -> None:
    """A durability that does not exist is refused with those that do."""
    with pytest.raises(ConfigError, match="no durability 'full'") as caught:
        open_store("memory:", durability="full")  # type: ignore[arg-type]
    assert "fsync, os, none" in caught.value.hint


def test_durability_is_told() -> None:
    """A store says which durability it was opened with; memory has none."""
    assert open_store("sqlite:x.db").durability == "fsync"
    assert open_store("file:x", durability="os").durability == "os"
    assert open_store("memory:").durability == "none"


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_folder_is_no_database(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(StoreError, match="is a folder") as caught:
        async with SQLiteStore(path, read_only=read_only):
            pass
    assert f"sqlite:{path}/crdtsync.db" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]  # noqa: ASYNC240


@pytest.mark.anyio
async def test_a_file_is_no_folder_of_documents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(StoreError, match="is a file") as caught:
        async with FileStore(path):
            pass
    assert "Name a folder" in caught.value.hint
    assert path.read_text() == "mine"


@pytest.mark.anyio
async def test_where_no_lock_can_be_made_nobody_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in ``/proc``, where what is made is not there."""

    def never(lock: FileLock, timeout: float) -> None:
        raise Timeout(lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", never)
    with pytest.raises(StoreError, match="can't make the lock") as caught:
        async with SQLiteStore(tmp_path / "x.db"):
            pass
    assert not isinstance(caught.value, StoreLocked)
