"""`running_clock`: the time of any event loop, whichever library made it virtual."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import EventLoopToken, current_token

from asyncbatch._runtime._event_loop import call_soon, is_running, running_clock
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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_runs_until_it_has_ended(backend: str):
    """Then nothing is called in it, and no loop at all calls nothing either."""
    called = []

    async def main() -> EventLoopToken:
        token = current_token()
        assert is_running(token)
        call_soon(token, lambda: called.append("before"))
        await anyio.sleep(0.001)
        return token

    token = anyio.run(main, backend=backend)
    call_soon(token, lambda: called.append("after"))
    call_soon(None, lambda: called.append("never"))

    assert not is_running(token)
    assert not is_running(None)
    assert called == ["before"]


def test_it_is_real_again_after_the_virtual_one():
    """A clock that is asked for behind a `FakeClock` reads real time."""

    async def main() -> bool:
        with FakeClock() as fake:
            fake.advance(10**6)
        return abs(running_clock()() - anyio.current_time()) < 60

    assert anyio.run(main)
