"""A loop that stands still: the time is nobody's, and what has come is read before limits count."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport, Progress, Request
from asyncbatch._runtime import _stalls
from asyncbatch._runtime._stalls import GRACE, LATE, Stalls, TimedSteps, TimeLimit
from asyncbatch.testing import FakeClock

# A limit


class Handle:
    """A timer of the loop below."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when, self.call, self.is_cancelled = when, call, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """A loop whose time is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Handle] = []

    @property
    def time(self) -> Callable[[], float]:
        return lambda: self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Handle:
        self.timers.append(Handle(when, call))
        return self.timers[-1]

    def run_until(self, now: float) -> None:
        """Run what is due, as late as it is."""
        self.now = now
        for timer in list(self.timers):
            if timer.when <= now and not timer.is_cancelled:
                timer.cancel()
                timer.call()

    @property
    def due(self) -> list[float]:
        return [timer.when for timer in self.timers if not timer.is_cancelled]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(_stalls, "running_loop", lambda: loop)
    return loop


@pytest.mark.asyncio_only  # `Loop` stands in for asyncio's
async def test_a_limit_passes_on_time(loop: Loop):
    """Where the loop has been alive."""
    with TimeLimit(5) as limit:
        assert loop.due == [5]
        loop.run_until(5 + LATE / 2)
        await anyio.sleep(60)

    assert limit.has_passed


@pytest.mark.asyncio_only  # `Loop` stands in for asyncio's
async def test_a_limit_that_comes_late_passes_later(loop: Loop):
    """By as long as the loop stood still, and time to read; as often as it does."""
    with TimeLimit(5) as limit:
        loop.run_until(8)
        assert loop.due == [8 + 3 + GRACE]
        loop.run_until(20)
        assert loop.due == [20 + (20 - 11 - GRACE) + GRACE]

    assert not limit.has_passed
    assert loop.due == []


@pytest.mark.asyncio_only  # `Loop` stands in for asyncio's
async def test_a_limit_of_wall_time_gives_time_to_read_once(loop: Loop):
    """Its caller wants an answer."""
    with TimeLimit(5, grace=0.2) as limit:
        loop.run_until(8)
        assert loop.due == [8.2]
        loop.run_until(10)
        await anyio.sleep(60)

    assert limit.has_passed


@pytest.mark.asyncio_only  # `Loop` stands in for asyncio's
async def test_a_limit_can_be_extended(loop: Loop):
    """By what is known to be nobody's."""
    with TimeLimit(5) as limit:
        limit.extend(2)
        loop.run_until(5)
        assert loop.due == [7]  # the timer came too early
    with TimeLimit(None) as none:
        none.extend(2)

    assert not limit.has_passed
    assert not none.has_passed


@pytest.mark.asyncio_only  # `Loop` stands in for asyncio's
async def test_a_limit_asks_for_more_time_when_it_has_passed(loop: Loop):
    """And passes if there is none."""
    more = [3.0, 0.0]
    with TimeLimit(5, more=lambda: more.pop(0)) as limit:
        loop.run_until(5)
        assert loop.due == [8]
        loop.run_until(8)
        await anyio.sleep(60)

    assert limit.has_passed
    assert more == []


async def test_a_limit_that_was_left_cannot_be_extended(loop: Loop):
    """Or its timer would stay with the loop, for a scope that nobody is in."""
    limit = TimeLimit(5.0)
    with limit:
        pass
    limit.extend(2.0)

    assert loop.due == []


# Steps


async def test_the_steps_of_an_awaitable_are_timed_one_by_one():
    """What it waits is its own; what it keeps the loop for is told."""
    now = 0.0
    told: list[tuple[float, float]] = []

    async def code() -> str:
        nonlocal now
        now += 1
        await anyio.lowlevel.checkpoint()
        now += 0.001
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            now += 2
        return "done"

    stalls = Stalls()
    stalls.join(lambda seconds, before: told.append((seconds, before)))

    assert await TimedSteps(code(), stalls, lambda: now) == "done"
    assert told == [(1, 0), (2, 1.001)]


async def test_the_first_wait_of_an_awaitable_is_told_once():
    """And never, of one that does not wait."""
    waits: list[str] = []

    async def code(steps: int) -> None:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()

    for steps in (0, 1, 3):
        await TimedSteps(
            code(steps), Stalls(), time.monotonic, lambda steps=steps: waits.append(steps)
        )

    assert waits == [1, 3]


async def test_a_limit_may_be_set_within_its_scope():
    """It counts from then on."""
    with TimeLimit(None) as limit:
        limit.start(0.01)
        await anyio.sleep_forever()

    assert limit.has_passed


async def test_what_is_raised_into_or_by_an_awaitable_passes_through():
    """A cancellation gets in, and an error out."""
    seen: list[str] = []

    async def code() -> None:
        try:
            await anyio.sleep(60)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyError("x")

    with anyio.move_on_after(0) as scope:
        await TimedSteps(code(), Stalls(), time.monotonic)
    with pytest.raises(KeyError):
        await TimedSteps(fail(), Stalls(), time.monotonic)

    assert scope.cancelled_caught
    assert len(seen) == 1


# Batches, in virtual time

SECONDS = 0.7


async def slow(_: httpx.Request) -> httpx.Response:
    await anyio.sleep(0.1)
    return httpx.Response(200)


def virtually(function: Callable[[FakeClock], Any]) -> Any:
    async def main() -> Any:
        with FakeClock() as clock:
            return await function(clock)

    return anyio.run(main)


@pytest.mark.parametrize("kind", ["blocking", "waiting", "blocking async"])
@pytest.mark.parametrize("concurrency", [1, 2, 100])
def test_a_slow_input_makes_no_request_fail_and_is_in_no_account(kind: str, concurrency: int):
    """Whether it keeps the loop or waits, and whatever is under way meanwhile."""

    async def main(clock: FakeClock) -> Any:
        def blocking() -> Iterator[str]:
            for n in range(6):
                clock.advance(SECONDS)
                yield f"http://host.test/{n}"

        async def waiting() -> AsyncIterator[str]:
            for url in urls():
                await anyio.sleep(SECONDS)
                yield url

        async def blocking_async() -> AsyncIterator[str]:
            for url in blocking():
                yield url

        def urls() -> list[str]:
            return [f"http://host.test/{n}" for n in range(6)]

        given: Any = {"blocking": blocking, "waiting": waiting, "blocking async": blocking_async}
        transport = httpx.MockTransport(slow)
        async with Fetcher(transport=transport, concurrency=concurrency, timeout=0.5) as fetcher:
            return await fetcher.fetch_many(given[kind]())

    results = virtually(main)

    assert [result.attempts for result in results] == [1] * 6
    assert not results.failures
    assert max(result.elapsed for result in results) < 0.15
    assert max(result.timing.queued for result in results) < 0.15


def test_a_slow_progress_callable_makes_no_request_fail():
    """What it takes is in no request's account either."""

    async def main(clock: FakeClock) -> Any:
        def show(_: Progress) -> None:
            clock.advance(SECONDS)

        transport = httpx.MockTransport(slow)
        fetcher = Fetcher(transport=transport, concurrency=1, timeout=0.5, progress=show)
        async with fetcher:
            return await fetcher.fetch_many(f"http://host.test/{n}" for n in range(20))

    results = virtually(main)

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.15


@pytest.mark.parametrize("event", ["request", "response"])
def test_a_hook_that_keeps_the_loop_makes_no_request_fail(event: str):
    """Neither its own nor others, and its time is in no account."""

    async def main(clock: FakeClock) -> Any:
        async def hook(_: Any) -> None:
            clock.advance(SECONDS)

        options: Any = {"timeout": 0.5, "retry": None, "event_hooks": {event: [hook]}}
        async with Fetcher(transport=httpx.MockTransport(slow), **options) as fetcher:
            return await fetcher.fetch_many([f"http://host.test/{n}" for n in range(5)])

    results = virtually(main)

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.15


@pytest.mark.parametrize("place", ["auth", "function as auth", "body", "async body"])
def test_code_of_a_request_that_keeps_the_loop_makes_none_fail(place: str):
    """An authentication flow, before a request and after it; and a body that is produced."""

    async def main(clock: FakeClock) -> Any:
        class Auth(httpx.Auth):
            def auth_flow(self, request: httpx.Request) -> Any:
                clock.advance(SECONDS)
                yield request
                clock.advance(SECONDS)

        def sign(request: httpx.Request) -> httpx.Request:
            clock.advance(SECONDS)
            return request

        def body() -> Iterator[bytes]:
            yield b"a"
            clock.advance(SECONDS)
            yield b"b"

        async def async_body() -> AsyncIterator[bytes]:
            for piece in body():
                yield piece

        given: dict[str, Callable[[], dict[str, Any]]] = {
            "auth": lambda: {"auth": Auth()},
            "function as auth": lambda: {"auth": sign},
            "body": lambda: {"content": body()},
            "async body": lambda: {"content": async_body()},
        }
        requests = [Request(f"http://host.test/{n}", "POST", **given[place]()) for n in range(5)]
        transport = httpx.MockTransport(slow)
        async with Fetcher(transport=transport, timeout=0.5, retry=None) as fetcher:
            return await fetcher.fetch_many(requests)

    results = virtually(main)

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.15


def test_a_loop_that_stands_still_before_a_worker_begins_makes_no_request_fail():
    """Its request has a slot then, and nothing on the way that could tell."""

    async def main(clock: FakeClock) -> Any:
        def urls() -> Iterator[str]:
            # Comes up before the task of the worker that this is read for.
            asyncio.get_running_loop().call_soon(clock.advance, SECONDS)
            yield "http://host.test/"

        transport = httpx.MockTransport(slow)
        async with Fetcher(transport=transport, deadline=0.5, retry=None) as fetcher:
            return await fetcher.fetch_many(urls())

    results = virtually(main)

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.15


# Batches, over sockets


@contextmanager
def served(size: int) -> Iterator[str]:
    """Serve a body from a thread, whatever the event loop does."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size

    def serve(sock: socket.socket) -> None:
        with sock:
            while sock.recv(65536):
                sock.sendall(reply)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=[sock]))
            threads[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


@pytest.mark.once
@pytest.mark.may_block
@pytest.mark.parametrize(
    ("lane", "concurrency"), [("direct", 1), ("direct", 3), ("client", 3), ("httpx", 1)]
)
async def test_a_blocking_input_makes_no_request_fail(lane: str, concurrency: int):
    """Of a server that answers at once, each item taking longer than `timeout`."""
    client = {
        "direct": lambda: None,
        "client": lambda: httpx.AsyncClient(transport=HTTPTransport()),
        "httpx": httpx.AsyncClient,
    }[lane]()

    def urls() -> Iterator[str]:
        for _ in range(2):
            time.sleep(1.0)
            yield url

    with served(100_000) as url:
        options: Any = {"concurrency": concurrency, "timeout": 0.8, "retry": None}
        async with Fetcher(client, **options) as fetcher:
            results = await fetcher.fetch_many(urls())
        if client is not None:
            await client.aclose()

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.8


@pytest.mark.once
@pytest.mark.may_block
async def test_a_loop_that_stood_still_reads_what_has_come():
    """Any code may have blocked it; the limits count after that."""

    async def block() -> None:
        await anyio.sleep(0.01)
        time.sleep(1.0)  # noqa: ASYNC251  # that is what is tested

    with served(2_000_000) as url:
        fetcher = Fetcher(concurrency=5, timeout=0.7, retry=None)
        async with fetcher, anyio.create_task_group() as tasks:
            tasks.start_soon(block)
            results = await fetcher.fetch_many([url] * 5)

    assert not results.failures


async def test_the_scope_of_a_limit_is_one_of_the_running_library() -> None:
    """On each event loop, however many have been made on another one before."""
    for _ in range(2):
        with TimeLimit(None) as limit:
            pass

        assert type(limit._scope) is type(anyio.CancelScope())
        assert not limit.has_passed
