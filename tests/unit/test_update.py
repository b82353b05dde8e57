"""The update reader: what it says of sound updates, and that it lets nothing else in."""

from collections.abc import Callable, Iterator
from typing import Any

import pycrdt
import pytest

from crdtsync.encoding import write_var_string, write_var_uint
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.structs import EMPTY_UPDATE, MAX_CLOCK
from crdtsync.update import scan

from .wire import (
    NULL,
    Content,
    any_,
    binary,
    block,
    deleted,
    doc,
    embed,
    format_,
    gc,
    item,
    one,
    skip,
    string,
    type_,
    update,
)

LIMITS = Limits()


def recorded(*changes: Callable[[pycrdt.Doc[Any]], object], client: int = 7) -> Iterator[bytes]:
    """Yield the update that each change of a real document makes."""
    made: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    for change in changes:
        before = made.get_state()
        change(made)
        yield made.get_update(before)


def rich() -> list[bytes]:
    """Return updates with every kind of content that pycrdt writes."""

    def text(made: pycrdt.Doc[Any]) -> None:
        made["text"] = body = pycrdt.Text("Hello, wörld 😀")
        body.format(0, 5, {"bold": True})
        body.insert_embed(3, {"image": "x.png"})
        del body[1:3]

    def values(made: pycrdt.Doc[Any]) -> None:
        made["array"] = items = pycrdt.Array([1.0, True, None, "x", [1.0, {"a": b"b"}], 2.5e300])
        items.append(pycrdt.Map({"deep": pycrdt.Array([1.0])}))
        made["map"] = pycrdt.Map({"k": "v", "sub": pycrdt.Doc()})

    def again(made: pycrdt.Doc[Any]) -> None:
        made["map"]["k"] = "w"
        made["map"]["k"] = b"bytes"
        del made["array"][1]

    def xml(made: pycrdt.Doc[Any]) -> None:
        made["xml"] = fragment = pycrdt.XmlFragment()
        element = fragment.children.append(pycrdt.XmlElement("p", {"class": "x"}))
        element.children.append(pycrdt.XmlText("in a paragraph"))

    return list(recorded(text, values, again, xml))


RICH = rich()


def merged(updates: list[bytes]) -> bytes:
    made: pycrdt.Doc[Any] = pycrdt.Doc()
    for each in updates:
        made.apply_update(each)
    return made.get_update()


WHOLE = merged(RICH)


def refused(data: bytes, limits: Limits = LIMITS) -> InvalidUpdate:
    with pytest.raises(InvalidUpdate) as caught:
        scan(data, limits)
    return caught.value


# What it says


@pytest.mark.parametrize("data", [*RICH, WHOLE])
def test_real_updates_are_sound(data: bytes) -> None:
    """Every update that pycrdt writes is read, with the clocks that pycrdt gives it."""
    found = scan(data, LIMITS)
    made: pycrdt.Doc[Any] = pycrdt.Doc()
    made.apply_update(WHOLE)
    assert found.ranges
    assert not found.skips
    assert {client for client, _, _ in found.ranges} == {7}


def test_an_update_is_described() -> None:
    """Ranges, needs, deletes, roots and flags are what the bytes say."""
    data = update(
        block(
            9, 4, item("ab", parent="notes"), gc(2), item("c", origin=(3, 7), right=(9, 4)), skip(5)
        ),
        block(8, 0, item(type_(1), parent=(5, 2), key="k")),
        deletes=[(9, 0, 3), (9, 5, 6), (2, 1, 2)],
    )
    found = scan(data, LIMITS)
    assert found.ranges == ((9, 4, 9), (8, 0, 1))
    assert found.needs == {3: 8, 5: 3}
    assert found.deletes == ((9, 0, 3), (9, 5, 6), (2, 1, 2))
    assert found.roots == {"notes"}
    assert found.types
    assert found.skips
    assert not found.empty


def test_structs_are_described_where_asked_for() -> None:
    """With ``structs`` each one comes with its place, length, references and bytes."""
    data = update(
        block(9, 4, item("aé😀", parent="n"), item(type_(3, "p"), origin=(9, 4), right=(1, 0))),
        block(8, 0, item(any_(NULL, NULL), parent=(9, 8), key="k"), gc(3)),
    )
    structs = scan(data, LIMITS, structs=True).structs
    assert structs is not None
    first, second, third, fourth = structs
    assert (first.client, first.clock, first.length, first.kind, first.parent) == (9, 4, 4, 4, "n")
    assert (second.clock, second.origin, second.right, second.type_ref) == (8, (9, 4), (1, 0), 3)
    assert (third.client, third.length, third.parent, third.key) == (8, 2, (9, 8), "k")
    assert (fourth.clock, fourth.length, fourth.kind) == (2, 3, 0)
    assert data[third.start : third.end] == item(any_(NULL, NULL), parent=(9, 8), key="k")


def test_skips_split_a_clients_range() -> None:
    """The holes that a writer was waiting to fill are no part of what the update brings."""
    found = scan(update(block(1, 0, item("ab"), skip(3), item("c", origin=(1, 1)))), LIMITS)
    assert found.ranges == ((1, 0, 2), (1, 5, 6))
    assert found.skips


def test_characters_count_as_utf16() -> None:
    """A string is as long as its UTF-16 units, and the second halves of pairs are named."""
    found = scan(one(1, 0, "a😀é😀"), LIMITS)
    assert found.ranges == ((1, 0, 6),)
    assert found.pairs == [(1, 2), (1, 5)]


def test_the_empty_update_is_empty() -> None:
    """``00 00`` brings nothing; deletions alone bring something."""
    assert scan(EMPTY_UPDATE, LIMITS).empty
    assert not scan(update(deletes=[(1, 0, 1)]), LIMITS).empty


def test_an_update_that_pycrdt_cannot_carry_is_marked() -> None:
    """Big integers and XML hooks are sound, and named as what pycrdt would change."""
    assert scan(one(1, 0, any_(b"\x7a" + bytes(8))), LIMITS).verbatim
    assert scan(one(1, 0, type_(5, "hook")), LIMITS).verbatim
    assert not scan(one(1, 0, any_(b"\x77\x01z")), LIMITS).verbatim


# What it refuses: PYCRDT.md, "it can be crashed"


def test_the_crash_of_sixteen_bytes_never_passes() -> None:
    """PYCRDT, SIGSEGV from 16 bytes: the second update is refused (the first one is held back)."""
    first = bytes.fromhex("01010101000100")
    second = bytes.fromhex("010101008101010200")
    assert scan(first, LIMITS).ranges == ((1, 1, 2),)
    assert "behind a later one of its own" in str(refused(second))


@pytest.mark.parametrize("opening", [b"\x75\x01", b"\x76\x01\x01k"])
def test_max_any_depth(opening: bytes) -> None:
    """PYCRDT, SIGSEGV from depth: a value nested 512 deep passes, 513 is refused, at any size."""

    def nested(depth: int) -> bytes:
        return one(1, 0, any_(opening * depth + NULL))

    scan(nested(512), LIMITS)
    assert refused(nested(513)).kind == "update-any-depth"
    assert refused(nested(26_000)).kind == "update-any-depth"
    assert refused(nested(4), Limits(max_any_depth=3)).kind == "update-any-depth"
    scan(nested(3), Limits(max_any_depth=3))


def test_depth_is_limited_in_subdocument_options_too() -> None:
    """PYCRDT, SIGSEGV from depth: the options of a subdocument are such a value as well."""
    options = b"\x76\x01\x01k" * 600 + NULL
    assert refused(one(1, 0, doc("guid", options))).kind == "update-any-depth"


def test_json_is_not_nested_deeper_than_pycrdt_parses() -> None:
    """A format's or an embed's JSON nests 100 deep and no deeper, brackets in strings aside."""
    scan(one(1, 0, embed("[" * 100 + "]" * 100)), LIMITS)
    scan(one(1, 0, embed('"' + "[" * 5000 + '"')), LIMITS)
    assert refused(one(1, 0, embed("[" * 101 + "]" * 101))).kind == "update-json-depth"
    assert refused(one(1, 0, format_("b", '{"a":' * 101 + "1" + "}" * 101))).kind == (
        "update-json-depth"
    )


def test_json_that_quotes_without_end_is_read_once() -> None:
    """A JSON text of unclosed, escaped quotes costs its length, not its square."""
    assert refused(one(1, 0, embed("[" * 101 + '\\"' * 200_000)))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bytes.fromhex("0100010000"), "update-empty-client"),
        (one(1, 0, ""), "update-zero-length"),
        (one(1, 0, any_()), "update-zero-length"),
        (one(1, 0, deleted(0)), "update-zero-length"),
        (update(block(1, 0, gc(0))), "update-zero-length"),
        (update(block(1, 0, skip(0), gc(1))), "update-zero-length"),
        (update(deletes=[(1, 3, 3)]), "update-zero-length"),
    ],
)
def test_what_has_no_length_is_refused(data: bytes, kind: str) -> None:
    """PYCRDT, PanicException: a client without structs, and anything of length zero."""
    assert refused(data).kind == kind


@pytest.mark.parametrize("place", ["key", "root", "origin", "right", "parent"])
def test_max_conflicts(place: str) -> None:
    """PYCRDT, CPU: of items that compete for one place 2,000 pass and one more is refused."""
    places: dict[str, dict[str, Any]] = {
        "key": {"parent": "m", "key": "k"},
        "root": {"parent": "t"},
        "origin": {"origin": (9, 0)},
        "right": {"right": (9, 0)},
        "parent": {"parent": (9, 0)},
    }

    def competing(count: int) -> bytes:
        return update(block(1, 0, *[item("x", **places[place])] * count))

    scan(competing(2_000), LIMITS)
    assert refused(competing(2_001)).kind == "update-conflicts"
    assert refused(competing(4), Limits(max_conflicts=3)).kind == "update-conflicts"
    scan(competing(3), Limits(max_conflicts=3))


def test_conflicts_are_counted_however_lengths_are_spelled() -> None:
    """An integer written longer than need be makes no other place of the same one."""
    plain = item("x", parent="m", key="k")
    assert plain[1:4] == b"\x01\x01m"
    spelled = plain[:2] + b"\x81\x00" + plain[3:]
    refused(update(block(1, 0, spelled)))


def test_a_run_of_text_is_no_conflict() -> None:
    """However many items follow one another, they don't compete."""
    structs = [item("x", parent="t")] + [item("x", origin=(1, clock)) for clock in range(5_000)]
    scan(update(block(1, 0, *structs)), LIMITS)


@pytest.mark.parametrize("declared", [65_537, 1 << 28, (1 << 53) - 1])
def test_max_update_clients(declared: int) -> None:
    """PYCRDT, memory: a declared number of clients is refused before anything is kept for it."""
    assert refused(write_var_uint(declared) + b"\x01\x01\x00").kind == "update-clients"
    assert refused(b"\x00" + write_var_uint(declared) + b"\x01\x01\x00").kind == "update-clients"


def test_small_limits_on_clients_hold() -> None:
    """A limit under 128 clients is kept as exactly as any other."""
    blocks = [block(client, 0, gc(1)) for client in range(4)]
    scan(update(*blocks[:3]), Limits(max_update_clients=3))
    assert refused(update(*blocks), Limits(max_update_clients=3)).kind == "update-clients"
    deletes = [(client, 0, 1) for client in range(4)]
    assert refused(update(deletes=deletes), Limits(max_update_clients=3)).kind == "update-clients"


@pytest.mark.parametrize("declared", [4_000_001, 1 << 28, (1 << 53) - 1])
def test_max_update_structs(declared: int) -> None:
    """A declared number of structs, or of deleted ranges, is refused before any is read."""
    for many in (
        b"\x01" + write_var_uint(declared) + b"\x01\x00",
        b"\x00\x01\x01" + write_var_uint(declared) + b"\x00\x01",
    ):
        assert refused(many).kind == "update-structs"
    limits = Limits(max_update_structs=4)
    structs, ranges = (
        [gc(1)] * 2,
        [(n, 2 * clock, 2 * clock + 1) for n in (1, 2) for clock in (0, 1)],
    )
    scan(update(block(1, 0, *structs), block(2, 0, *structs), deletes=ranges), limits)
    more = update(block(1, 0, *structs), block(2, 0, *structs), block(3, 0, gc(1)))
    assert refused(more, limits).kind == "update-structs"
    assert refused(update(deletes=[*ranges, (3, 0, 1)]), limits).kind == "update-structs"


def test_neighbours_that_were_collected_are_one_range() -> None:
    """Two bytes of a struct are not kept as a hundred and fifty."""
    data = update(
        block(2, 5, gc(1), gc(2), item(deleted(1)), item("a"), gc(1)), block(1, 9, gc(1), gc(1))
    )
    assert scan(data, LIMITS).voids == [(2, 5, 9), (2, 10, 11), (1, 9, 11)]


# What it refuses: PYCRDT.md, "it accepts what it should refuse"


def test_trailing_bytes_are_refused() -> None:
    """PYCRDT: bytes behind the end, which pycrdt ignores, are refused, one or many."""
    for data in (EMPTY_UPDATE, *RICH):
        assert refused(data + b"\x00").kind == "update-trailing"
        assert refused(data + data).kind == "update-trailing"


def test_v2_updates_are_refused() -> None:
    """PYCRDT: a V2 update, a silent no-op for pycrdt, is refused."""
    # Y.encodeStateAsUpdateV2 of a text "hello" by client 1, and of an empty document.
    hello = bytes.fromhex("00000100000100010004010a0474657874050568656c6c6f04010101000001010000")
    refused(hello)
    refused(bytes.fromhex("00000000000000000000000000"))


def test_client_ids_end_where_javascript_does() -> None:
    """PYCRDT: a client id above 2^53-1, which pycrdt masks, is refused."""
    scan(one((1 << 53) - 1, 0, "x"), LIMITS)
    refused(one(1 << 53, 0, "x"))
    refused(one(1, 0, "x", origin=(1 << 53, 0)))
    refused(update(deletes=[(1 << 53, 0, 1)]))


@pytest.mark.parametrize("clock", [(1 << 32) - 1, 1 << 32, 1 << 40, MAX_CLOCK])
def test_clocks_end_at_2_31(clock: int) -> None:
    """PYCRDT: clocks that pycrdt's integers would wrap are refused."""
    assert refused(one(1, clock, "x")).kind == "update-clock"
    assert refused(update(deletes=[(1, clock, clock + 1)])).kind == "update-clock"


@pytest.mark.parametrize("length", [MAX_CLOCK + 1, 1 << 32, (1 << 32) + 1, 1 << 52])
def test_lengths_end_at_2_31(length: int) -> None:
    """PYCRDT: lengths above 2^32, which pycrdt truncates, are refused."""
    assert refused(one(1, 0, deleted(length))).kind == "update-clock"
    assert refused(update(block(1, 0, gc(length)))).kind == "update-clock"
    assert refused(update(deletes=[(1, 0, length)])).kind == "update-clock"
    scan(one(1, 0, deleted(MAX_CLOCK)), LIMITS)


def test_json_structs_are_refused() -> None:
    """PYCRDT: ContentJSON, which pycrdt reads one string too far, is refused."""
    raw = write_var_uint(1) + write_var_string("1")
    assert refused(one(1, 0, Content(2, raw))).kind == "update-json"


# What else no Yjs client writes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        one(1, 0, Content(11, b"")),
        one(1, 0, Content(31, b"")),
        update(block(1, 0, b"\x80\x01")),
        update(block(1, 0, b"\x2a\x01")),
        one(1, 0, type_(7)),
        one(1, 0, doc("guid", NULL)),
        one(1, 0, any_(b"\x00")),
        one(1, 0, any_(b"\x73")),
        update(block(1, 0, b"\x04\x02\x01t\x01x")),
        update(block(1, 0, gc(1)), block(1, 1, gc(1))),
        update(block(1, 5, item("x", origin=(1, 5)))),
        update(block(1, 5, item("x", right=(1, 7)))),
        update(block(1, 5, item("x", parent=(1, 5)))),
        b"\x00\x01\x01\x00",
        b"\x00\x02" + b"\x01\x01\x00\x01" * 2,
        update(block(1, 0, b"\x04\x01\x01t\x01\xff")),
        update(block(1, 0, b"\x04\x01\x01\xff\x01x")),
    ],
    ids=lambda data: data.hex(),
)
def test_what_no_client_writes_is_refused(data: bytes) -> None:
    """Unknown kinds, impossible flags, references ahead of themselves, clients named twice."""
    refused(data)


@pytest.mark.parametrize(
    "json",
    ["", "{", "nul", "[1,]", "NaN", "Infinity", "-Infinity", '"\\ud800"', "1e999", "'x'", "{a:1}"],
)
def test_formats_and_embeds_are_json(json: str) -> None:
    """Clients parse formats and embeds without asking, so what is no JSON is refused."""
    assert refused(one(1, 0, embed(json))).kind == "update-bad-json"
    assert refused(one(1, 0, format_("b", json))).kind == "update-bad-json"


@pytest.mark.parametrize("json", ["null", "1", "-2.5e3", '"\\ud83d\\ude00"', '{"a": [true, {}]}'])
def test_sound_json_passes(json: str) -> None:
    """Whatever is JSON is a format and an embed."""
    scan(one(1, 0, embed(json)), LIMITS)
    scan(one(1, 0, format_("b", json)), LIMITS)


@pytest.mark.parametrize(
    "value",
    [
        b"\x7f", b"\x7e", b"\x79", b"\x78", b"\x7d\x05", b"\x7d\xbf\xff\xff\xff\xff\xff\xff\x0f",
        b"\x7c" + bytes(4), b"\x7b" + bytes(8), b"\x7a" + bytes(8), b"\x77\x02hi",
        b"\x74\x02\x00\xff", b"\x75\x00", b"\x76\x00", b"\x75\x02\x7e\x75\x01\x7e",
        b"\x76\x02\x01a\x7e\x01b\x76\x00",
    ],
    ids=lambda value: value.hex(),
)  # fmt: skip
def test_every_kind_of_value_passes(value: bytes) -> None:
    """Each kind of lib0's "any" is walked to its end, and none of it can be cut."""
    scan(one(1, 0, any_(value, NULL)), LIMITS)
    whole = one(1, 0, any_(value))
    for end in range(len(whole)):
        refused(whole[:end])


# Damage


@pytest.mark.parametrize("data", [*RICH, WHOLE], ids=[*"abcd", "whole"])
def test_no_update_can_be_cut(data: bytes) -> None:
    """Every proper beginning of a real update is refused, and with one error alone."""
    for end in range(len(data)):
        refused(data[:end])


@pytest.mark.parametrize("data", [*RICH, WHOLE], ids=[*"abcd", "whole"])
def test_a_flipped_bit_is_refused_or_read(data: bytes) -> None:
    """Whichever bit of a real update is flipped, it is refused or described, nothing else."""
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                found = scan(bytes(damaged), LIMITS, structs=True)
            except InvalidUpdate:
                continue
            assert all(start < end <= MAX_CLOCK for _, start, end in found.ranges)


@pytest.mark.parametrize("data", [*RICH], ids=[*"abcd"])
def test_a_lost_or_doubled_byte_is_refused_or_read(data: bytes) -> None:
    """Whichever byte is lost or doubled, the rest is refused or described, nothing else."""
    for position in range(len(data)):
        for damaged in (
            data[:position] + data[position + 1 :],
            data[: position + 1] + data[position:],
        ):
            try:
                scan(damaged, LIMITS)
            except InvalidUpdate:
                pass


def test_contents_of_every_kind_are_read() -> None:
    """One item of each content is sound, alone and beside the others."""
    contents = [
        string("x"), any_(NULL), binary(b"\x00\xff"), embed('{"a":1}'), format_("b", "true"),
        deleted(3), doc("guid"), type_(0), type_(3, "p"), type_(6),
    ]  # fmt: skip
    for content in contents:
        scan(one(1, 0, content), LIMITS)
    scan(update(block(1, 0, *[item(content) for content in contents], gc(2))), LIMITS)


def test_a_refusal_never_repeats_what_came() -> None:
    """The reason is about the update, and holds none of its text."""
    error = refused(one(1, 0, embed("secret words")))
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "written", [b"\xff" * 8 + b"\x1f", b"\xbf" + b"\xff" * 6 + b"\x20", b"\xff" * 8 + b"\x00"]
)
def test_integers_end_where_javascript_s_do(written: bytes) -> None:
    """Found by fuzzing: an integer above 2^53 in a value makes Yjs throw, or read another one."""
    with pytest.raises(InvalidUpdate):
        scan(one(1, 0, any_(b"\x7d" + written)), LIMITS)
    most = b"\xbf" + b"\xff" * 6 + b"\x1f"
    assert scan(one(1, 0, any_(b"\x7d" + most)), LIMITS).ranges == ((1, 0, 1),)
