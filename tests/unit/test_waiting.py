"""The alarm, on both event loops."""

import time

import anyio
import pytest

from crdtsync.waiting import Alarm

pytestmark = pytest.mark.anyio

SOON_S = 0.05


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_an_alarm_that_is_set_goes_off_at_once() -> None:
    """Set before or while somebody waits, it wakes them, once."""
    alarm = Alarm()
    alarm.set()
    with anyio.fail_after(5):
        await alarm.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm.wait)
            await anyio.sleep(SOON_S)
            alarm.set()
            alarm.set()
    with anyio.move_on_after(SOON_S) as scope:
        await alarm.wait()
    assert scope.cancelled_caught


async def test_an_alarm_goes_off_when_its_time_has_come() -> None:
    """A delay counts, whenever it was set."""
    alarm = Alarm()
    with anyio.fail_after(5):
        started = time.monotonic()
        alarm.set(SOON_S)
        await alarm.wait()
        assert time.monotonic() - started > SOON_S / 2
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm.wait)
            await anyio.sleep(SOON_S)
            started = time.monotonic()
            alarm.set(SOON_S)
        assert time.monotonic() - started > SOON_S / 2


@pytest.mark.parametrize("waits", [False, True])
async def test_the_sooner_time_counts(waits: bool) -> None:
    """Whether it was set first or last."""
    for delays in ((60.0, SOON_S), (SOON_S, 60.0), (60.0, 0.0)):
        alarm = Alarm()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                if waits:
                    tasks.start_soon(alarm.wait)
                    await anyio.sleep(SOON_S)
                for delay_s in delays:
                    alarm.set(delay_s)
                if not waits:
                    await alarm.wait()


async def test_waiting_can_be_given_up_and_begun_again() -> None:
    """A wait that is cancelled leaves no timer behind."""
    alarm = Alarm()
    with anyio.move_on_after(SOON_S):
        await alarm.wait()
    with anyio.fail_after(5):
        alarm.set()
        await alarm.wait()
