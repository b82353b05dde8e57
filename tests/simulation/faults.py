"""What a disk does besides working: it fills up, fails, hesitates, and forgets at a power cut.

Owns the faults' weather. One of these objects lasts as long as the machine; a life of the server
asks it at each step of its store what happens there, and may end at that step.
"""

import errno
import os
from collections.abc import Callable
from typing import Literal

from crdtsync.errors import StoreError, StoreFull
from tests.simulation.kernel import Kernel

__all__ = ["Faults", "Mode"]

Mode = Literal["well", "full", "failing", "fsync", "slow"]
"""``fsync``: what is written is refused at the sync, and nobody knows what of it is there."""


class Faults:
    """The weather at the disk, and the steps at which the machine may die."""

    def __init__(self, kernel: Kernel, name: str = "disk") -> None:
        self.kernel = kernel
        self.chance = kernel.stream(name)
        self.mode: Mode = "well"
        self.slow_s = 0.001
        self.calm = False
        """Nothing goes wrong any more."""
        self.steps_left = -1
        """After so many steps of the store the process dies; never where it is negative."""
        self.dying = False
        """The process is dead from this step on."""
        self.die: Callable[[str], None] = lambda _: None
        self.failures = 0
        self.failing_syncs: Callable[[str], bool] = lambda _: False
        """Which files' syncs fail besides."""

    def step(self, what: str) -> None:
        """Take note of a step of the store; the process may die at it."""
        if self.steps_left >= 0:
            self.steps_left -= 1
            if self.steps_left < 0:
                self.dying = True
                self.die(what)

    def delay_s(self) -> float:
        """Return how long the next step takes."""
        if self.calm:
            return 0.0005
        if self.mode == "slow":
            return self.chance.random() * self.slow_s
        return self.chance.random() * 0.003

    def goes_wrong(self, kinds: tuple[Mode, ...] = ("full", "failing", "fsync")) -> Mode | None:
        """Return what goes wrong at this step, if something does."""
        if self.calm or self.mode not in kinds:
            return None
        if self.mode == "failing" and self.chance.random() < 0.5:
            return None
        self.failures += 1
        return self.mode

    @staticmethod
    def os_error(mode: Mode) -> OSError:
        number = errno.ENOSPC if mode == "full" else errno.EIO
        return OSError(number, os.strerror(number))

    @staticmethod
    def store_error(mode: Mode) -> StoreError:
        return StoreFull("the disk is full") if mode == "full" else StoreError("the disk fails")
