"""What in the product draws lots or takes a thread, made the seed's for the length of a story."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeVar, TypeVarTuple
from unittest.mock import patch

import anyio.lowlevel
import anyio.to_thread

from crdtsync.authoring import running
from crdtsync.channels import keeping, model, service, shedding, shrinking
from crdtsync.history.worker import Workers
from tests.simulation.kernel import Kernel

__all__ = ["Here", "seamless"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@contextmanager
def seamless(kernel: Kernel) -> Iterator[None]:
    """Let ids come from the seed, and what is done on a thread be done in place."""
    lots = kernel.stream("ids")

    class Secrets:
        randbits = staticmethod(lots.getrandbits)

    def fresh_client(clocks: Mapping[int, int]) -> int:
        while (client := lots.randrange(1, 1 << 32)) in clocks:
            pass
        return client

    async def in_place(call: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return call(*args)

    with ExitStack() as stack:
        stack.enter_context(patch.object(model, "secrets", Secrets))
        for module in (keeping, running, service):
            stack.enter_context(patch.object(module, "fresh_client", fresh_client))
        for module in (shedding, shrinking):  # the stories' chats are short
            stack.enter_context(patch.object(module, "MIN_SHED", 5))
        stack.enter_context(patch.object(anyio.to_thread, "run_sync", in_place))
        yield


class Here(Workers):
    """Work of other processes, done in this one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        await anyio.lowlevel.checkpoint()
        return function(*args)
