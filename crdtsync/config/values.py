"""The kinds of value that an option takes: how each is read, checked and shown.

A kind reads two spellings: the text of a command line or variable, and the typed value of a
TOML file. It raises ``ValueError`` with what would be right, in words that follow the value
("is not ..."); the loader adds where the value stands. ``show`` is the inverse of
``from_text``.
"""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

__all__ = [
    "Choice",
    "Duration",
    "Integer",
    "Kind",
    "Size",
    "Switch",
    "Text",
    "Value",
    "Words",
    "nearest",
    "show_duration",
    "show_size",
]

Value = str | int | float | tuple[str, ...] | None

_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_SHOWN_SIZES: Final = ("GiB", "MiB", "KiB", "GB", "MB", "kB")
_SECONDS: Final = {
    "": Decimal(1),
    "us": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_NUMBER: Final = re.compile(r"([+-]?[0-9][0-9_]{0,20}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)")
_INTEGER: Final = re.compile(r"[+-]?[0-9][0-9_]{0,20}")


class Kind(Protocol):
    """One kind of value."""

    @property
    def metavar(self) -> str:
        """What stands for the value in a help text."""
        ...

    @property
    def unit(self) -> str:
        """The unit of a plain number, empty where there is none."""
        ...

    @property
    def allowed(self) -> str:
        """What is accepted, in words."""
        ...

    def from_text(self, text: str) -> Value:
        """Read a command line's or a variable's text."""
        ...

    def from_toml(self, value: object) -> Value:
        """Read a TOML file's value."""
        ...

    def show(self, value: Value) -> str:
        """Return the shortest text that ``from_text`` reads as this value."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text that is not empty; ``None`` stands for "not set"."""

    metavar: str = "TEXT"
    unit: str = ""

    @property
    def allowed(self) -> str:
        return "text"

    def from_text(self, text: str) -> Value:
        if not text:
            raise ValueError("is empty")
        if "\0" in text:
            raise ValueError("holds a null character")
        return text

    def from_toml(self, value: object) -> Value:
        if not isinstance(value, str):
            raise ValueError("has to be a string, in quotes")
        return self.from_text(value)

    def show(self, value: Value) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Words:
    """Several values, with commas between them; in a TOML file an array, too."""

    metavar: str = "NAMES"
    unit: str = ""

    @property
    def allowed(self) -> str:
        return "text, several with commas between them"

    def from_text(self, text: str) -> Value:
        words = [word.strip() for word in text.split(",")]
        if not all(words):
            raise ValueError("is empty, or has nothing beside a comma")
        if "\0" in text:
            raise ValueError("holds a null character")
        return ",".join(words)

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise ValueError("has to be a string, or an array of strings")
        if any("," in each for each in value):
            raise ValueError("has a comma in a string of the array")
        return self.from_text(",".join(value))

    def show(self, value: Value) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of one kind, each looked at, with commas between them; in TOML, a list."""

    meaning: str
    """What each of them is, in words."""
    check: Callable[[str], object] = field(repr=False)
    """Raises ``ValueError`` where one is none, in words that follow it ("is not ...")."""
    metavar: str = "LIST"
    unit: str = ""

    @property
    def allowed(self) -> str:
        return f"{self.meaning}, separated by commas"

    def from_text(self, text: str) -> Value:
        return self._checked([word.strip() for word in text.split(",") if word.strip()])

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ValueError("has to be a list of strings")
        return self._checked(list(value))

    def _checked(self, words: list[str]) -> Value:
        for word in words:
            try:
                self.check(word)
            except ValueError as error:
                which = f"holds {word!r}, which " if len(words) > 1 else ""
                raise ValueError(f"{which}{error}") from None
        return tuple(words)

    def show(self, value: Value) -> str:
        assert isinstance(value, tuple)
        return ",".join(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a few."""

    choices: tuple[str, ...]
    unit: str = ""

    @property
    def metavar(self) -> str:
        return "|".join(self.choices)

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def from_text(self, text: str) -> Value:
        word = text.strip().lower()
        if word not in self.choices:
            raise ValueError(f"is not {self.allowed}{nearest(word, self.choices)}")
        return word

    def from_toml(self, value: object) -> Value:
        if not isinstance(value, str):
            raise ValueError(f"has to be {self.allowed}, in quotes")
        return self.from_text(value)

    def show(self, value: Value) -> str:
        return str(value)


_WORDS: Final = {"true": 1, "on": 1, "yes": 1, "1": 1, "false": 0, "off": 0, "no": 0, "0": 0}


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off: ``true`` and ``false``, or ``on``, ``yes``, ``1`` and their opposites."""

    metavar: str = ""
    unit: str = ""

    @property
    def allowed(self) -> str:
        return "true or false"

    def from_text(self, text: str) -> Value:
        word = _WORDS.get(text.strip().lower())
        if word is None:
            raise ValueError(f"is not {self.allowed}")
        return bool(word)

    def from_toml(self, value: object) -> Value:
        if not isinstance(value, bool):
            raise ValueError(f"has to be {self.allowed}, without quotes")
        return value

    def show(self, value: Value) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    minimum: int
    maximum: int
    metavar: str = "N"
    unit: str = ""

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.minimum} to {self.maximum}"

    def from_text(self, text: str) -> Value:
        if not _INTEGER.fullmatch(text.strip()):
            raise ValueError(f"is not {self.allowed}")
        return self._within(int(text))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            raise ValueError("has to be a number: write it without quotes")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"is not {self.allowed}")
        return self._within(value)

    def _within(self, number: int) -> int:
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"is not {self.allowed}")
        return number

    def show(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes within bounds: ``65536``, ``64KiB`` (1024), ``64kB`` (1000)."""

    minimum: int
    maximum: int
    metavar: str = "SIZE"
    unit: str = "bytes"

    @property
    def allowed(self) -> str:
        return f"a size from {show_size(self.minimum)} to {show_size(self.maximum)}"

    def from_text(self, text: str) -> Value:
        match = _NUMBER.fullmatch(text.strip())
        factor = _BYTES.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError("is not a size: write bytes, or kB, MB, GB, KiB, MiB or GiB behind it")
        size = Decimal(match[1].replace("_", "")) * factor
        if size != int(size):
            raise ValueError("is not a whole number of bytes")
        return self._within(int(size))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError('has to be a number of bytes, or a string like "64MiB"')
        return self._within(value)

    def _within(self, number: int) -> int:
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"is not {self.allowed}")
        return number

    def show(self, value: Value) -> str:
        assert isinstance(value, int)
        return show_size(value)


@dataclass(frozen=True, slots=True)
class Duration:
    """A time in seconds within bounds: ``20``, ``1.5ms``, ``30s``, ``2m``, ``1h``."""

    minimum: float
    maximum: float
    metavar: str = "TIME"
    unit: str = "seconds"

    @property
    def allowed(self) -> str:
        return f"a time from {show_duration(self.minimum)} to {show_duration(self.maximum)}"

    def from_text(self, text: str) -> Value:
        match = _NUMBER.fullmatch(text.strip())
        factor = _SECONDS.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError("is not a time: write seconds, or ms, s, m or h behind it")
        return self._within(float(Decimal(match[1].replace("_", "")) * factor))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError('has to be a number of seconds, or a string like "500ms"')
        return self._within(value)

    def _within(self, number: float) -> float:
        # The comparison comes first: it also refuses nan, and integers no float can hold.
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"is not {self.allowed}")
        return float(number)

    def show(self, value: Value) -> str:
        assert isinstance(value, int | float)
        return show_duration(value)


def show_size(size: int) -> str:
    """Write a number of bytes with the largest unit that leaves it whole: ``64MiB``."""
    for unit in _SHOWN_SIZES:
        factor = _BYTES[unit.lower()]
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def show_duration(seconds: float) -> str:
    """Write seconds with a unit: ``20s``, ``1.5ms``, ``2h``."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{_plain(exact / _SECONDS[unit])}{unit}"
    if exact and abs(exact) < 1 and math.isfinite(seconds):
        return f"{_plain(exact * 1000)}ms"
    return f"{_plain(exact)}s"


def nearest(word: str, known: Sequence[str]) -> str:
    """Return ``"; did you mean X?"`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
