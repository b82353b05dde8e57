"""Servers that lie, are damaged, say nothing, or close: contained, and told clearly."""

from dataclasses import replace

import anyio
import pycrdt
import pytest
from websockets.sync.server import ServerConnection

from crdtsync.awareness import Entry, encode_entries
from crdtsync.client import Refused, Status, Unusable, connect
from crdtsync.client.errors import EditsRefused
from crdtsync.encoding import write_var_uint
from crdtsync.protocol import (
    EMPTY_STEP_2,
    SyncStep1,
    awareness_frame,
    decode_frame,
    permission_denied_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)

from .kit import OPTIONS, TIMEOUT_S, text_of, until, until_text
from .scripted import drain, raw_server, scripted_server

pytestmark = pytest.mark.anyio

STEP_1 = step_1_frame(b"\x00")
HI = bytes.fromhex("01 01 01 00 04 01 04 74 65 78 74 02 68 69 00")
"""Client 1 writes "hi" into the root "text"."""
THERE = bytes.fromhex("01 01 01 02 84 01 01 05 74 68 65 72 65 00")
"""And "there" behind it."""


async def test_a_gap_never_reaches_pycrdt() -> None:
    """An update ahead of a missing one waits, the server is asked, and both are there then."""
    asked: list[bytes] = []

    def handler(connection: ServerConnection, _: int) -> None:
        connection.send(STEP_1)
        for frame in connection:
            assert isinstance(frame, bytes)
            for message in decode_frame(frame):
                if isinstance(message, SyncStep1):
                    asked.append(message.state_vector)
                    if len(asked) > 1:
                        connection.send(step_2_frame(HI))
                    else:
                        connection.send(EMPTY_STEP_2)
                        # What would end the process, were it handed on as it is:
                        connection.send(update_frame(bytes.fromhex("01010101000100")))
                        connection.send(update_frame(THERE))

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await until_text(document, "hithere")
            assert set(asked) == {b"\x00"}


DEEP = bytes.fromhex("01 01 01 00 08 01 01 74 01") + b"\x75\x01" * 1000 + b"\x7e\x00"
BAD_UPDATES = {
    "truncated": HI[:-2],
    "no length": bytes.fromhex("01 01 01 00 04 01 04 74 65 78 74 00 00"),
    "deep": DEEP,
    "no update": b"\xff" * 9,
    "many clients": write_var_uint(1 << 28),
}


@pytest.mark.parametrize("bad", BAD_UPDATES.values(), ids=BAD_UPDATES)
async def test_a_damaged_update_is_told(bad: bytes) -> None:
    """An update that is none stops the client with words, and harms nothing."""

    def handler(connection: ServerConnection, _: int) -> None:
        connection.send(STEP_1)
        connection.send(update_frame(HI))
        connection.send(update_frame(bad))
        drain(connection)

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Unusable):
                await document.synced()
            assert document.status is Status.FAILED
            assert str(text_of(document)) == "hi"


NO_MESSAGES = {
    "empty": b"",
    "unknown sync": b"\x00\x07\x00",
    "truncated": b"\x00\x02\x05\x00",
    "endless": b"\x00\x02" + b"\xff" * 20,
}


@pytest.mark.parametrize("bad", NO_MESSAGES.values(), ids=NO_MESSAGES)
async def test_a_damaged_message_costs_a_connection(bad: bytes) -> None:
    """What is no message ends the connection; the next one is as good as any."""

    def handler(connection: ServerConnection, number: int) -> None:
        connection.send(STEP_1)
        connection.send(bad if number == 0 else step_2_frame(HI))
        drain(connection)

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS) as document:
            await until_text(document, "hi")


async def test_text_and_floods_cost_a_connection() -> None:
    """A text frame, and a message over the limit, end the connection."""

    def handler(connection: ServerConnection, number: int) -> None:
        connection.send(STEP_1)
        connection.send(("text", bytes(5000), step_2_frame(HI))[min(number, 2)])
        drain(connection)

    options = replace(OPTIONS, max_message_bytes=4000)
    with scripted_server(handler) as url:
        async with connect(url, options=options) as document:
            await until_text(document, "hi")


async def test_others_awareness_can_be_anything() -> None:
    """Damaged awareness is passed over, and odd states are states."""

    def handler(connection: ServerConnection, _: int) -> None:
        connection.send(STEP_1)
        connection.send(b"\x01\x03\x01\x01\x01")  # truncated within
        connection.send(awareness_frame(encode_entries([Entry(5, 1, "{")])))
        connection.send(awareness_frame(encode_entries([Entry(6, 1, "[1]"), Entry(7, 1, '"x"')])))
        connection.send(EMPTY_STEP_2)
        drain(connection)

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS, wait=True) as document:
            states = document.awareness.states
            assert {each: states[each] for each in (6, 7)} == {6: [1], 7: "x"}
            assert document.chat.typists() == []


async def test_a_removed_client_says_that_it_is_there() -> None:
    """Told that it is gone, a client says so at a clock that counts."""
    entries: list[bytes] = []

    def handler(connection: ServerConnection, _: int) -> None:
        connection.send(STEP_1)
        connection.send(EMPTY_STEP_2)
        for frame in connection:
            assert isinstance(frame, bytes)
            if frame[0] == 1:
                entries.append(frame)
                if len(entries) == 1:
                    gone = encode_entries([Entry(document.awareness.client_id, 9, "null")])
                    connection.send(awareness_frame(gone))

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS, user={"name": "Ann"}) as document:
            await until(lambda: len(entries) == 2)
            assert b"Ann" in entries[1]
            own = document.awareness.own_entry(0)
            assert own.clock == 10


FINAL = (4400, 4401, 4403, 4409, 4413, 4414, 4415, 4422, 4429, 4499)


@pytest.mark.parametrize("code", FINAL)
async def test_final_codes(code: int) -> None:
    """Each code from 4400 to 4499 ends it, with the code, its reason, and no second try."""
    count = 0

    def handler(connection: ServerConnection, _: int) -> None:
        nonlocal count
        count += 1
        connection.send(permission_denied_frame("because"))
        connection.close(code, "because")

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Refused) as raised:
                await document.synced()
            assert (raised.value.code, raised.value.reason) == (code, "because")
            assert isinstance(raised.value, EditsRefused) == (code in (4409, 4413, 4422))
            await anyio.sleep(0.1)
        assert count == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4500, 4399])
async def test_other_codes_are_not_final(code: int) -> None:
    """Behind every other code the client comes back, and brings its edits."""

    def handler(connection: ServerConnection, number: int) -> None:
        if number < 2:
            connection.close(code, "later")
            return
        connection.send(STEP_1)
        for frame in connection:
            assert isinstance(frame, bytes)
            if frame.startswith(b"\x00\x01"):
                connection.send(EMPTY_STEP_2)
                connection.send(update_frame(frame[3:]))

    with scripted_server(handler) as url:
        async with connect(url, options=OPTIONS) as document:
            text = text_of(document)
            text += "mine"
            with anyio.fail_after(TIMEOUT_S):
                await document.saved()


UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: nonsense\r\n\r\n"
)
ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "wrong accept": UPGRADE,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_what_is_no_websocket_server(answer: bytes) -> None:
    """Whoever answers something else, or nothing, is tried again."""
    options = replace(OPTIONS, connect_timeout_s=0.1)
    with raw_server(answer) as (url, taken):
        async with connect(url, options=options) as document:
            await until(lambda: len(taken) >= 3)
            assert document.error is None


async def test_http_401_is_final() -> None:
    """A server or proxy that refuses the upgrade itself is believed."""
    with raw_server(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as (url, taken):
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Refused) as raised:
                await document.synced()
            assert raised.value.code == 4401
        assert len(taken) == 1


async def test_silence_ends_a_connection() -> None:
    """A server that answers no ping is given up, and tried again."""
    pinged: list[int] = []

    def handler(connection: ServerConnection, number: int) -> None:
        pinged.append(number)
        connection.send(STEP_1)
        connection.protocol.send_pong = lambda data: None  # type: ignore[method-assign]
        drain(connection)

    options = replace(OPTIONS, ping_interval_s=0.2, silence_timeout_s=0.5)
    with scripted_server(handler) as url:
        async with connect(url, options=options) as document:
            await until(lambda: len(pinged) >= 2)
            assert document.error is None


async def test_a_failing_observer_is_contained() -> None:
    """An error in the program's own observer is logged; the document and the others go on."""

    def handler(connection: ServerConnection, _: int) -> None:
        connection.send(STEP_1)
        connection.send(update_frame(HI))
        connection.send(update_frame(THERE))
        connection.send(EMPTY_STEP_2)
        drain(connection)

    def fail(_: object) -> None:
        raise RuntimeError("mine")

    doc = pycrdt.Doc[pycrdt.Text]()
    text = doc.get("text", type=pycrdt.Text)
    text.observe(fail)
    with scripted_server(handler) as url:
        async with connect(url, doc=doc, options=OPTIONS, wait=True) as document:
            document.awareness.on_change(fail)
            document.on_status(fail)
            document.awareness.set_field("x", 1)
            assert str(text) == "hithere"
