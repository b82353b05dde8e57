"""Which documents have channels."""

from crdtsync.channels.rules import ChannelRules


def test_patterns() -> None:
    """Documents that no pattern fits have none; archives go with their document."""
    rules = ChannelRules(chat=("rooms/*",), presence=("*",))
    assert rules.chats("rooms/general")
    assert not rules.chats("notes")
    assert not rules.chats("notes/chat-archive/000001")
    assert rules.chats("rooms/general/chat-archive/000001")
    assert rules.present("notes")
    assert not rules.present("rooms/general/chat-archive/000001")
    assert not ChannelRules().concerns("rooms/general")
    assert ChannelRules(chat=("general",)).chats("general/chat-archive/000001")
