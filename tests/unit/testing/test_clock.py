"""
Virtual time in a running asyncio event loop, and in those that plain code starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import threading
import time
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import uvloop

import asyncbatch
from asyncbatch.testing import FakeClock, Fault, FaultTransport, LoopbackServer, Reply

DAY = 86_400.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run on asyncio's own loop, the only one that the clock can take over."""
    return "asyncio", {"use_uvloop": False}


async def test_sleeping_takes_virtual_time_alone() -> None:
    """The clock jumps from timer to timer, in their order, and says how long it took."""
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        order.append(name)

    with FakeClock() as clock:
        async with anyio.create_task_group() as group:
            group.start_soon(sleeper, "late", 3 * DAY)
            group.start_soon(sleeper, "early", 60)

    assert order == ["early", "late"]
    assert clock.elapsed == pytest.approx(3 * DAY)


async def test_the_loop_and_its_libraries_see_virtual_time() -> None:
    """Asyncio and anyio tell the same time as the clock."""
    with FakeClock() as clock:
        start = clock.time
        await asyncio.sleep(100)

        assert clock.time == asyncio.get_running_loop().time() == anyio.current_time()
        assert clock.time - start == pytest.approx(100)


@pytest.mark.parametrize("up", [1023.9, 4095.123456789, 1e6 + 1 / 3])
async def test_whole_seconds_add_up_exactly(up: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the machine has been up: no digit of its clock gets lost on the way."""
    clock = FakeClock()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: up)
        clock.__enter__()
    for _ in range(119):
        await asyncio.sleep(1)
    clock.__exit__(None, None, None)

    assert clock.elapsed == 119


async def test_time_outs_come_in_virtual_time() -> None:
    """A deadline is met by the clock, to the second."""
    with FakeClock() as clock:
        with anyio.move_on_after(60) as scope:
            await anyio.sleep_forever()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await anyio.sleep(31)

    assert scope.cancelled_caught
    assert clock.elapsed == pytest.approx(90)


async def test_what_can_run_runs_before_time_moves() -> None:
    """Work that waits for no timer is done at one moment."""
    with FakeClock() as clock:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, DAY)
            for _ in range(1000):
                await anyio.lowlevel.checkpoint()

            assert clock.elapsed == 0
            group.cancel_scope.cancel()


async def test_time_can_be_advanced_by_hand() -> None:
    """After an advance, the timers that are due come at once."""
    with FakeClock() as clock:
        with anyio.move_on_after(10) as scope:
            clock.advance(10)
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert clock.elapsed == pytest.approx(10)


async def test_time_does_not_run_backwards() -> None:
    """A negative advance is refused."""
    with FakeClock() as clock, pytest.raises(ValueError, match="seconds must be 0 or more, not -1"):
        clock.advance(-1)


async def test_everything_is_restored() -> None:
    """Behind the `with`, after an error too, the loop tells and takes real time again."""
    loop = asyncio.get_running_loop()
    before, real = dict(vars(loop)), time.monotonic()
    with contextlib.suppress(LookupError), FakeClock():
        await anyio.sleep(DAY)
        raise LookupError

    assert vars(loop).keys() == before.keys()
    assert "select" not in vars(vars(loop)["_selector"])
    assert real <= loop.time() < real + DAY


async def test_a_clock_can_be_entered_again() -> None:
    """Each `with` counts from its own beginning."""
    clock = FakeClock()
    for _ in range(2):
        with clock:
            await anyio.sleep(5)

        assert clock.elapsed == pytest.approx(5)


async def test_two_clocks_at_once_are_refused() -> None:
    """One loop has one time."""
    with FakeClock(), pytest.raises(RuntimeError, match="has a fake clock already"), FakeClock():
        pass


def test_plain_code_keeps_virtual_time() -> None:
    """The event loops that it starts do, one after the other, on one clock."""
    busy = FaultTransport(faults=[Fault.status(429, retry_after=60).first(1)])
    late = FaultTransport(faults=[Fault.latency(30)])
    urls = [f"http://host.test/{number}" for number in range(3)]
    with FakeClock() as clock:
        (result,) = asyncbatch.fetch_many_sync(urls[:1], transport=busy)
        assert (result.ok, result.elapsed, clock.elapsed) == (True, 60.0, 60.0)
        with asyncbatch.SyncFetcher(transport=late, timeout=40) as fetcher:
            assert fetcher.fetch(urls[0]).elapsed == 30.0
            assert [each.elapsed for each in fetcher.stream(urls)] == [30.0] * 3
        assert clock.elapsed == 120.0
        clock.advance(5)
        asyncio.run(asyncio.sleep(3600))

    assert clock.elapsed == 3725.0


def test_plain_code_keeps_virtual_time_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is not there on Windows."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvloop" else find(name)
    )
    with FakeClock() as clock:
        asyncio.run(asyncio.sleep(3600))

    assert clock.elapsed == 3600.0


def test_threads_and_a_server_serve_plain_code() -> None:
    """While a thread of the loop's works, time passes as it does; a server may answer in it."""

    async def main() -> float:
        begun = asyncio.get_running_loop().time()
        with anyio.fail_after(3600):
            await anyio.to_thread.run_sync(time.sleep, 0.01)
        return asyncio.get_running_loop().time() - begun

    with LoopbackServer().in_thread() as server, FakeClock(grace=0.5):
        assert 0.005 < anyio.run(main) < 3600
        assert asyncbatch.fetch_many_sync([server.url()])[0].ok


def test_plain_code_gets_real_time_back() -> None:
    """However it ends."""
    before = asyncio.BaseEventLoop.run_forever, uvloop.new_event_loop

    with contextlib.suppress(ZeroDivisionError), FakeClock():
        assert asyncio.BaseEventLoop.run_forever is not before[0]
        raise ZeroDivisionError

    assert (asyncio.BaseEventLoop.run_forever, uvloop.new_event_loop) == before


def test_two_clocks_at_once_are_refused_in_plain_code_too() -> None:
    """Within each other, and in a loop that keeps the time of one."""

    async def enter() -> None:
        FakeClock().__enter__()

    with FakeClock():
        with pytest.raises(RuntimeError, match="there is a fake clock already"), FakeClock():
            pass
        with pytest.raises(RuntimeError, match="has a fake clock already"):
            asyncio.run(enter())


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("trio", {}, r"trio\.testing\.MockClock\(autojump_threshold=0\)"),
        ("asyncio", {"use_uvloop": True}, r"needs an asyncio\.SelectorEventLoop, not uvloop's"),
    ],
)
def test_other_loops_are_refused(backend: str, options: dict[str, bool], message: str) -> None:
    """On trio and uvloop the error says what to use instead."""

    async def enter() -> None:
        with FakeClock():
            pass

    with pytest.raises(RuntimeError, match=message):
        anyio.run(enter, backend=backend, backend_options=options)


def test_a_negative_grace_is_refused() -> None:
    """A number that makes no sense is an error where it is written."""
    with pytest.raises(ValueError, match="grace must be 0 or more seconds, not -1"):
        FakeClock(grace=-1)


async def test_threads_are_waited_for() -> None:
    """While a thread works, the clock does not run away from it."""
    with FakeClock() as clock, anyio.fail_after(DAY):
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)
        await asyncio.to_thread(time.sleep, 0.02)

    assert clock.elapsed == pytest.approx(0.06, abs=5)


async def test_names_are_looked_up_under_it() -> None:
    """A DNS look-up, which runs in a thread, meets no time-out that was not due."""
    async with LoopbackServer() as server, httpx.AsyncClient(timeout=5) as client:
        url = server.url().replace("127.0.0.1", "localhost")
        with FakeClock() as clock:
            response = await client.get(url)

    assert response.text == "ok"
    assert clock.elapsed < 5


async def test_look_ups_in_threads_of_the_engine_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are not the event loop's, and take longer than `grace`."""
    look_up = socket.getaddrinfo

    def look_up_slowly(*args: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():  # where numbers are read
            time.sleep(0.02)
        return look_up(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    async with LoopbackServer() as server, asyncbatch.Fetcher(retry=None) as fetcher:
        with FakeClock() as clock:
            result = await fetcher.fetch(server.url().replace("127.0.0.1", "localhost"))

    assert result.ok, result
    assert clock.elapsed < 5


async def test_a_loopback_server_in_the_same_loop_keeps_virtual_time() -> None:
    """Delays and slow bodies of the server cost nothing; time-outs do not come too soon."""
    async with LoopbackServer() as server, httpx.AsyncClient(timeout=4000) as client:
        server.on("/", Reply(body=10).delayed(3600).paced(1, every=60))
        with FakeClock() as clock:
            await client.get(server.url())

    assert clock.elapsed == pytest.approx(3600 + 9 * 60)


async def test_a_loopback_server_entered_inside_keeps_virtual_time() -> None:
    """It does not matter which of server, client and clock is opened first."""
    with FakeClock() as clock:
        async with LoopbackServer() as server, httpx.AsyncClient(timeout=4000) as client:
            server.on("/", Reply().delayed(3600))
            await client.get(server.url())

    assert clock.elapsed == pytest.approx(3600)


async def test_time_outs_against_a_real_server_are_virtual() -> None:
    """A server that never answers is given up after the time-out, in no time."""
    async with LoopbackServer() as server, httpx.AsyncClient(timeout=300) as client:
        server.on("/", Reply().hang())
        with FakeClock() as clock, pytest.raises(httpx.ReadTimeout):
            await client.get(server.url())

    assert clock.elapsed == pytest.approx(300)


async def test_many_requests_at_once_meet_no_false_time_out() -> None:
    """Under load, with small time-outs, bytes on their way win against the clock."""
    async with LoopbackServer(hosts=10) as server, httpx.AsyncClient(timeout=1) as client:
        server.on("*", Reply(body=100_000).delayed(0.1, jitter=0.8))

        async def get(number: int) -> None:
            for _ in range(5):
                await client.get(server.url(f"/{number}", host=number % 10 + 1))

        with FakeClock() as clock:
            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(get, number)

    assert server.statistics().requests == 250
    assert 0.5 < clock.elapsed < 4.5


@pytest.mark.may_block
async def test_a_server_in_another_thread_needs_grace() -> None:
    """A peer that keeps real time is waited for as long as the grace."""
    with LoopbackServer().in_thread() as server:
        server.on("/", Reply(body=b"ok").delayed(0.02))
        async with httpx.AsyncClient(timeout=1) as client:
            with FakeClock(grace=30):
                assert (await client.get(server.url())).text == "ok"


async def test_faults_keep_virtual_time() -> None:
    """The latency of a fault transport costs nothing."""
    transport = FaultTransport(faults=[Fault.latency(3600)])
    async with httpx.AsyncClient(transport=transport, timeout=None) as client:
        with FakeClock() as clock:
            await client.get("https://example.org/")

    assert clock.elapsed == pytest.approx(3600)


async def test_a_cancelled_thread_job_does_not_stop_the_clock() -> None:
    """A job that nobody waits for any more is not waited for by the clock either."""
    loop = asyncio.get_running_loop()
    with FakeClock() as clock:
        job = loop.run_in_executor(None, time.sleep, 0.01)
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job
        await anyio.sleep(DAY)

    assert clock.elapsed == pytest.approx(DAY)
