"""Writing a history that somebody else may write at the same time: the loser reads again."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from crdtsync.history.base import HistoryChanged
from crdtsync.history.model import HistoryUnavailable

__all__ = ["MAX_CHANGED", "rewrite"]

log = logging.getLogger("crdtsync.history")

MAX_CHANGED: Final = 5
"""So often somebody else may have written meanwhile."""

T = TypeVar("T")


async def rewrite(document: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Read, work and write by ``attempt``, again where somebody else has written meanwhile.

    Raises ``HistoryUnavailable`` where that is so all the time, and what ``attempt`` raises.
    """
    for _ in range(MAX_CHANGED):
        try:
            return await attempt()
        except HistoryChanged:
            log.debug("the history of %r was written meanwhile", document)
    raise HistoryUnavailable("somebody else writes this history all the time")
