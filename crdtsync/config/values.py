"""The kinds of value that an option takes: how each is read, checked and shown.

A kind reads two spellings: the text of a command line or variable, and the typed value of a
TOML file. It raises ``ValueError`` with what would be right, in words that follow the value
("is not ..."); the loader adds where the value stands. ``show`` is the inverse of
``from_text``. Those of numbers are in ``quantities``.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

__all__ = ["Choice", "Entries", "Kind", "Switch", "Text", "Value", "Words", "nearest"]

Value = str | int | float | tuple[str, ...] | None


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
class Words(Text):
    """Several values, with commas between them; in a TOML file an array, too."""

    metavar: str = "NAMES"

    @property
    def allowed(self) -> str:
        return "text, several with commas between them"

    def from_text(self, text: str) -> Value:
        words = [word.strip() for word in text.split(",")]
        if not all(words):
            raise ValueError("is empty, or has nothing beside a comma")
        return Text.from_text(self, ",".join(words))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise ValueError("has to be a string, or an array of strings")
        if any("," in each for each in value):
            raise ValueError("has a comma in a string of the array")
        return self.from_text(",".join(value))


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


def nearest(word: str, known: Sequence[str]) -> str:
    """Return ``"; did you mean X?"`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
