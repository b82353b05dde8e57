"""The kinds of value that are numbers: whole ones, sizes and times, with their units.

Each has bounds, and says in its errors what would be within them.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from crdtsync.config.values import Value

__all__ = ["Duration", "Integer", "Size", "show_duration", "show_size"]

Number = TypeVar("Number", int, float)

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
    "d": Decimal(86400),
}
_NUMBER: Final = re.compile(r"([+-]?[0-9][0-9_]{0,20}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)")
_INTEGER: Final = re.compile(r"[+-]?[0-9][0-9_]{0,20}")


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
        return _within(self, int(text))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            raise ValueError("has to be a number: write it without quotes")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"is not {self.allowed}")
        return _within(self, value)

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
        return _within(self, int(size))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError('has to be a number of bytes, or a string like "64MiB"')
        return _within(self, value)

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
            raise ValueError("is not a time: write seconds, or us, ms, s, m, h or d behind it")
        return _within(self, float(Decimal(match[1].replace("_", "")) * factor))

    def from_toml(self, value: object) -> Value:
        if isinstance(value, str):
            return self.from_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError('has to be a number of seconds, or a string like "500ms"')
        return float(_within(self, value))

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


def _within(kind: Integer | Size | Duration, number: Number) -> Number:
    # Compared as it came: that refuses nan, too, and integers that no float can hold.
    if not kind.minimum <= number <= kind.maximum:
        raise ValueError(f"is not {kind.allowed}")
    return number


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
