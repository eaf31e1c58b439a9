"""`running_clock`: the time of any event loop, whichever library made it virtual."""

from __future__ import annotations

import anyio
import pytest

from asyncbatch._runtime._event_loop import running_clock
from asyncbatch.testing import FakeClock
from tests.transports import run_virtually


@pytest.mark.asyncio_only  # trio's clock has another origin
async def test_it_agrees_with_the_event_loop():
    """What it says lies between two readings of the loop's own clock."""
    clock = running_clock()
    before = anyio.current_time()
    now = clock()
    # uvloop's clock stands still for the turn of its loop, and is rounded to milliseconds.
    await anyio.sleep(0.001)
    after = anyio.current_time()

    assert before - 0.002 <= now <= after + 0.002


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_follows_a_clock_that_a_test_made_virtual(backend):
    """An hour of virtual time is an hour to it."""

    async def main() -> float:
        clock = running_clock()
        begun = clock()
        await anyio.sleep(3600)
        return clock() - begun

    assert run_virtually(backend, main) == pytest.approx(3600)


def test_it_is_real_again_after_the_virtual_one():
    """A clock that is asked for behind a `FakeClock` reads real time."""

    async def main() -> bool:
        with FakeClock() as fake:
            fake.advance(10**6)
        return abs(running_clock()() - anyio.current_time()) < 60

    assert anyio.run(main)
