"""Health for probes: ``/health/live`` says the loop turns, ``/health/ready`` that work gets done.

Ready means: the store takes writes, the loop is not lagging, no shutdown is under way, and clients
can be let in.
"""

import logging
import time
from typing import Literal

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdtsync.auth import Dependent, Trouble
from crdtsync.errors import StoreError
from crdtsync.hub import Hub
from crdtsync.server.problems import RETRY_AFTER_S, problem

__all__ = ["MAX_LOOP_LAG_S", "PROBE_TIMEOUT_S", "Check", "Health"]

logger = logging.getLogger("crdtsync.health")

MAX_LOOP_LAG_S = 0.5
"""A loop that is later than this does not answer clients in time."""
LAG_SAMPLES = 3
LAG_SAMPLE_S = 0.01
"""The loop's lag is the worst of so many sleeps of this length."""
PROBE_TIMEOUT_S = 5.0
"""A store, or an authenticator, that takes longer to prove itself counts as failed."""
PROBE_REUSE_S = 1.0
"""A probe's result serves requests for this long: probing writes, and anybody may ask."""

Check = Literal["store", "loop", "draining", "authentication"]


class Health:
    """The two health routes of one hub."""

    def __init__(
        self,
        hub: Hub,
        *,
        authenticator: object = None,
        max_loop_lag_s: float = MAX_LOOP_LAG_S,
    ) -> None:
        """``authenticator`` is asked as well, where it depends on anything."""
        self._hub = hub
        self._dependent = authenticator if isinstance(authenticator, Dependent) else None
        self._max_loop_lag_s = max_loop_lag_s
        self._lock = anyio.Lock()
        self._store_failure = ""
        self._probed_at: float | None = None

    async def live(self, request: Request) -> Response:
        """Answer: that is the proof."""
        return _ok({})

    async def ready(self, request: Request) -> Response:
        """Run every check; 503 names those that failed."""
        failures: dict[Check, str] = {}
        if self._hub.draining:
            failures["draining"] = "the server is shutting down"
        if lag := await self._lag():
            failures["loop"] = lag
        if store := await self._store():
            failures["store"] = store
        names: tuple[Check, ...] = ("store", "loop", "draining")
        checks = {name: failures.get(name, "ok") for name in names}
        if self._dependent is not None:
            trouble = await self._trouble(self._dependent)
            checks["authentication"] = trouble.reason if trouble else "ok"
            if trouble is not None and trouble.fatal:
                failures["authentication"] = trouble.reason
        if not failures:
            return _ok(checks, restarts=self._hub.stats.restarts)
        return problem(
            503,
            "; ".join(f"{name}: {detail}" for name, detail in failures.items()),
            code="not-ready",
            headers={"Retry-After": str(RETRY_AFTER_S)},
            members={"checks": checks},
        )

    async def _lag(self) -> str:
        worst = 0.0
        for _ in range(LAG_SAMPLES):
            before = time.perf_counter()
            await anyio.sleep(LAG_SAMPLE_S)
            worst = max(worst, time.perf_counter() - before - LAG_SAMPLE_S)
        if worst <= self._max_loop_lag_s:
            return ""
        return f"the event loop is {worst:.2f} s late"

    async def _trouble(self, dependent: Dependent) -> Trouble | None:
        try:
            with anyio.fail_after(PROBE_TIMEOUT_S):
                return await dependent.trouble()
        except TimeoutError:
            return Trouble(f"no answer within {PROBE_TIMEOUT_S:g} s", fatal=True)

    async def _store(self) -> str:
        async with self._lock:
            now = anyio.current_time()
            if self._probed_at is not None and now - self._probed_at < PROBE_REUSE_S:
                return self._store_failure
            self._store_failure = await self._probe()
            self._probed_at = anyio.current_time()
            return self._store_failure

    async def _probe(self) -> str:
        try:
            with anyio.fail_after(PROBE_TIMEOUT_S):
                await self._hub.store.probe()
        except TimeoutError:
            return f"no answer within {PROBE_TIMEOUT_S:g} s"
        except StoreError as error:
            logger.error("the store is not ready: %s %s", error, error.hint)
            return "it can't be written to"
        return ""


def _ok(checks: dict[Check, str], *, restarts: int = 0) -> Response:
    body: dict[str, object] = {"status": "ok"}
    if checks:
        body |= {"checks": checks, "restarts": restarts}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})
