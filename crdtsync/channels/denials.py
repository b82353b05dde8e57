"""What people are told whose words in a chat or presence are refused."""

from typing import Final

from crdtsync.gate import Deny
from crdtsync.limits import Limits

__all__ = [
    "OWN_KEY",
    "OWN_MESSAGES",
    "SEALED",
    "TOO_FAST",
    "TOO_MUCH",
    "too_late",
    "too_long",
    "too_many",
]

SEALED: Final = Deny("this is an archive: nobody writes to it")
OWN_MESSAGES: Final = Deny("you may only write, edit and delete messages of your own")
OWN_KEY: Final = Deny("you may only write your own key here")
TOO_MUCH: Final = Deny("that is too much at once for a document's chat and presence")
TOO_FAST: Final = Deny("you say more than this chat takes: wait a moment")


def too_long(limits: Limits) -> Deny:
    """Say how long a message may be."""
    return Deny(f"a message may have {limits.max_chat_text_bytes} bytes")


def too_late(limits: Limits) -> Deny:
    """Say for how long a message may be edited."""
    return Deny(f"a message may be edited for {round(limits.chat_edit_window_s / 60)} minutes")


def too_many(limits: Limits) -> Deny:
    """Say how much somebody may bring who was offline."""
    at_once, per_minute = limits.chat_burst, limits.chat_messages_per_minute
    # Short: a close frame has room for little more.
    return Deny(f"a chat takes {at_once} things at once, and {per_minute} a minute of their time")
