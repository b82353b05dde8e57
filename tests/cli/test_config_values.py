"""The kinds of value: every spelling that is read, and every one that is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.config.options import OPTIONS, Option
from crdtsync.config.quantities import Duration, Integer, Size
from crdtsync.config.values import Choice, Entries, Kind, Switch, Text, Words

SIZE = Size(0, 1 << 40)
TIME = Duration(0, 1e6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("65536", 65536),
        ("65_536", 65536),
        ("512B", 512),
        ("64kB", 64_000),
        ("64KB", 64_000),
        ("64KiB", 65_536),
        ("64 kib", 65_536),
        ("64MB", 64_000_000),
        ("1MiB", 1 << 20),
        ("1.5GiB", 3 << 29),
        ("2GB", 2_000_000_000),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    """A size is bytes, or a number with a decimal or binary unit in any case."""
    assert SIZE.from_text(text) == expected
    assert SIZE.from_toml(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "64M", "64 apples", "1..5MB", "0x10", "nan", "1e9"])
def test_size_garbage(text: str) -> None:
    """What is no size is refused with the units that there are."""
    with pytest.raises(ValueError, match=r"is not a size: .*MiB"):
        SIZE.from_text(text)


def test_half_bytes() -> None:
    """A size that is no whole number of bytes is refused."""
    with pytest.raises(ValueError, match="whole number of bytes"):
        SIZE.from_text("1.0001kB")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("20", 20.0),
        ("0.25", 0.25),
        ("500ms", 0.5),
        ("1.5ms", 0.0015),
        ("250us", 0.00025),
        ("30s", 30.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1 H", 3600.0),
        ("2d", 172800.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    """A time is seconds, or a number with a unit."""
    assert TIME.from_text(text) == expected
    assert TIME.from_toml(text) == expected


@pytest.mark.parametrize("text", ["", "s", "5 days", "inf", "nan", "1:30"])
def test_duration_garbage(text: str) -> None:
    """What is no time is refused with the units that there are."""
    with pytest.raises(ValueError, match="is not a time: write seconds, or us, ms, s, m, h or d"):
        TIME.from_text(text)


@pytest.mark.parametrize(
    ("kind", "text", "allowed"),
    [
        (Integer(0, 65535), "65536", "from 0 to 65535"),
        (Integer(0, 65535), "-1", "from 0 to 65535"),
        (Integer(1, 5), "9" * 5000, "from 1 to 5"),
        (Size(1024, 1 << 20), "1023", "from 1KiB to 1MiB"),
        (Size(1024, 1 << 20), "-1MB", "from 1KiB to 1MiB"),
        (Size(1024, 1 << 20), "1GiB", "from 1KiB to 1MiB"),
        (Duration(0.1, 28), "29s", "from 100ms to 28s"),
        (Duration(0.1, 28), "-1", "from 100ms to 28s"),
    ],
)
def test_out_of_range(kind: Kind, text: str, allowed: str) -> None:
    """A value outside its bounds is refused with the bounds."""
    with pytest.raises(ValueError, match=allowed):
        kind.from_text(text)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Integer(0, 9), 5, 5),
        (Size(0, 9000), 5, 5),
        (Duration(0, 9), 5, 5.0),
        (Duration(0, 9), 0.5, 0.5),
        (Choice(("text", "json")), "json", "json"),
        (Text(), "x", "x"),
        (Words(), "a, b", "a,b"),
        (Words(), ["a", "https://b"], "a,https://b"),
    ],
)
def test_toml_types(kind: Kind, value: object, expected: object) -> None:
    """A TOML file's numbers and strings are taken as they are."""
    read = kind.from_toml(value)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize("kind", [option.kind for option in OPTIONS], ids=lambda k: repr(k))
@pytest.mark.parametrize("value", [True, [], {}, float("nan"), float("inf"), 10**400, None])
def test_toml_wrong_types(kind: Kind, value: object) -> None:
    """Tables, nan and huge numbers are nobody's value, lists only entries', booleans switches'."""
    if value is True and isinstance(kind, Switch):
        assert kind.from_toml(value) is True
        return
    if value == [] and isinstance(kind, Entries):
        assert kind.from_toml(value) == ()
        return
    with pytest.raises(ValueError, match=r"is not|has to be"):
        kind.from_toml(value)


@pytest.mark.parametrize("value", [[], [7], ["a,b"], [""], "a,,b", ",", "", "a\0", ["\0"]])
def test_several_names(value: object) -> None:
    """Nothing beside a comma, and no comma in an array's string: it would be two."""
    with pytest.raises(ValueError, match=r"is empty|has to be|has a comma|null"):
        Words().from_toml(value)


def test_quoted_number() -> None:
    """A number in quotes is refused with what to change."""
    with pytest.raises(ValueError, match="without quotes"):
        Integer(0, 65535).from_toml("1234")


def test_choice_suggestion() -> None:
    """A misspelt word is refused with all words and the nearest."""
    with pytest.raises(ValueError, match=r"one of fsync, os, none; did you mean fsync\?"):
        Choice(("fsync", "os", "none")).from_text("fsnc")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("False", False), ("on", True), ("off", False), ("1", True), (" no ", False)],
)
def test_switches(text: str, expected: bool) -> None:
    """On and off have several words on a command line, and one each in TOML."""
    assert Switch().from_text(text) is expected
    assert Switch().from_toml(expected) is expected
    assert Switch().from_text(Switch().show(expected)) is expected


@pytest.mark.parametrize("text", ["", "2", "maybe", "truee"])
def test_switch_garbage(text: str) -> None:
    """What is neither on nor off is refused."""
    with pytest.raises(ValueError, match="is not true or false"):
        Switch().from_text(text)


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_unusable_text(text: str) -> None:
    """Text is not empty and holds no null character."""
    with pytest.raises(ValueError, match=r"empty|null"):
        Text().from_text(text)


@given(st.integers(0, 1 << 40))
def test_size_round_trip(size: int) -> None:
    """A shown size is read back as the same number."""
    assert SIZE.from_text(SIZE.show(size)) == size


@given(st.integers(0, 10**9).map(lambda us: us / 1_000_000))
def test_duration_round_trip(seconds: float) -> None:
    """A shown time, whole microseconds, is read back as the same float."""
    assert TIME.from_text(TIME.show(seconds)) == seconds


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_are_allowed(option: Option) -> None:
    """Every default is one of its option's own values, in both spellings."""
    if option.default is not None:
        assert option.kind.from_text(option.shown_default) == option.default
        assert option.kind.from_toml(option.default) == option.default
