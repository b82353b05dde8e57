"""Names of channels: roots, archives, direct conversations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.channels.names import (
    Archive,
    Channel,
    Root,
    archive_of,
    direct_name,
    is_guest,
    members_of,
    read_root,
)

THREAD = "01a3185c-5000-7e7a-be75-d7e886071f82"


@pytest.mark.parametrize("channel", list(Channel))
def test_a_channels_root(channel: Channel) -> None:
    """Each channel has a root of its own name."""
    assert read_root(str(channel)) == Root(channel)
    assert Root(channel).name == str(channel)


@pytest.mark.parametrize("name", ["chat", "chat-reactions", "chat-receipts"])
def test_a_threads_roots(name: str) -> None:
    """A thread has roots of its own beside the chat's."""
    assert read_root(f"{name}/{THREAD}") == Root(Channel(name), THREAD)
    assert Root(Channel(name), THREAD).name == f"{name}/{THREAD}"


@pytest.mark.parametrize(
    "name",
    ["", "chats", "Chat", "chat/", "chat/x", f"presence/{THREAD}", f"chat-archives/{THREAD}",
     f"chat/{THREAD}/", f"chat/{THREAD.upper()}", "body"],
)  # fmt: skip
def test_other_roots(name: str) -> None:
    """Whatever else a root is called, it is the application's."""
    assert read_root(name) is None


@pytest.mark.parametrize("thread", ["", THREAD])
@pytest.mark.parametrize("document", ["rooms/general", "dm/a/b", "a\nb", "x/chat-archive/000001"])
def test_archives(document: str, thread: str) -> None:
    """An archive's name says whose it is, and the other way round."""
    archive = Archive(document, 12, thread)
    assert archive_of(archive.name) == archive
    assert archive.key == (f"{thread}/000012" if thread else "000012")


@pytest.mark.parametrize(
    "name", ["rooms/general", "/chat-archive/000001", "x/chat-archive/1", "x/chat-archive/000000",
             "x/chat-archive/0000001", "x/chat-archive/000001/", "x/chat-archive/abc/000001"]
)  # fmt: skip
def test_what_is_no_archive(name: str) -> None:
    """Names that no archive has."""
    assert archive_of(name) is None


def test_direct_conversations() -> None:
    """Their name is the same whoever makes it, and says who may take part."""
    assert direct_name("ben", "ada") == direct_name("ada", "ben", "ada") == "dm/ada/ben"
    assert members_of("dm/ada/ben") == {"ada", "ben"}
    assert members_of("dm/ada/ben/chat-archive/000001") == {"ada", "ben"}
    assert direct_name("a/b", "ä", "o'neill") == "dm/a%2Fb/o'neill/%C3%A4"
    assert members_of("rooms/dm/x") is None


@pytest.mark.parametrize(
    "name", ["dm/", "dm/ada", "dm/ben/ada", "dm/ada/ada", "dm//ada", "dm/ada/b%65n", "dm/ada/%FF",
             "dm/ada/ben/"]
)  # fmt: skip
def test_names_of_no_conversation(name: str) -> None:
    """A name that nobody would make has no members: nobody gets in by another spelling."""
    assert members_of(name) == frozenset()


@given(st.sets(st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable()), min_size=2))
def test_any_ids(ids: set[str]) -> None:
    """Whatever people's ids are, the name leads back to them."""
    assert members_of(direct_name(*ids)) == ids


def test_one_alone_has_no_conversation() -> None:
    """It takes two."""
    with pytest.raises(ValueError, match="two people"):
        direct_name("ada", "ada")


@pytest.mark.parametrize(
    ("id", "is_one"),
    [("guest-1", True), ("guest-", False), ("ada", False), ("guest-a b", False),
     ("guest-\n", False), ("guest-" + "x" * 300, False)],
)  # fmt: skip
def test_guests(id: str, is_one: bool) -> None:
    """Who may call himself what he likes is known by the id."""
    assert is_guest(id) is is_one
