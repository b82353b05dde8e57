"""The lines of docs/chat.md do what it says, and the server lets in what they write."""

import base64
import re
from pathlib import Path

import pytest

from crdtsync.channels.model import read_message
from crdtsync.clock import ManualClock
from crdtsync.protocol import update_frame
from tests.channels.rooms import ROOM, Speaker, chat_hub, live
from tests.history.kit import ask
from tests.unit.engine import settle

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parent.parent.parent / "docs" / "chat.md"
LINES_MJS = Path(__file__).with_name("lines.mjs")


async def test_the_lines_in_javascript(tmp_path: Path) -> None:
    """Send, edit, react, read, delete and typing; none of it is refused."""
    (lines,) = re.findall(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    found = ask(LINES_MJS, {"lines": lines}, tmp_path)
    first, second = (read_message(id, value) for id, value in found["said"])
    assert (first.author, first.text, first.edited_ms > 0) == ("ann", "changed", True)
    assert (second.text, second.deleted_ms > 0) == ("", True)
    assert found["fields"] == {"typing": True}
    assert read_message(*found["moderated"]).deleted_by == "ann"
    assert found["ahead"] == [0, 0]  # by another device's clock, never before the message
    clock = ManualClock(time_ms=second.deleted_ms)
    wide = 100 * 366 * 86400.0
    async with chat_hub(clock=clock, chat_past_s=wide, chat_edit_window_s=wide) as hub:
        ann = Speaker(hub, "ann")
        await settle()
        ann.client.say(update_frame(base64.b64decode(found["update"])))
        await settle()
        assert ann.client.link.closed is None, ann.client.link.closed
        assert set(await live(hub)) == {first.id, second.id}
        assert await live(hub, "chat-reactions")
        assert await live(hub, "chat-receipts") == {"ann": second.id}
        assert [m.id for m in await hub.channels.chat(ROOM).messages()] == [first.id, second.id]
