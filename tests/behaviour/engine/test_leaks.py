"""Thousands of connections that end badly, and what is left of them: nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Fetcher
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.http11 import ExchangeError
from asyncbatch._runtime._trio_loop import TrioLoop
from tests import aio
from tests.engines import engine_for, get
from tests.raw_server import OK, Peer, Server, serve
from tests.waiting import until

DESCRIPTORS = Path("/proc/self/fd")

pytestmark = [
    pytest.mark.skipif(not DESCRIPTORS.exists(), reason="descriptors cannot be counted"),
]

AT_ONCE = 100
NOTHING = {"connections": 0, "idle": 0, "connecting": 0, "waiting": 0, "origins": 0}

# What has been sent when the connection ends, or stands still: nothing, half a head, half a body,
# and an answer that leaves the connection idle.
PARTS = (b"", OK[:20], OK[:-1], OK)

Round = Callable[[], Awaitable[object]]


@pytest.fixture(params=[600, pytest.param(10_000, marks=pytest.mark.slow)])
def how_many(request: pytest.FixtureRequest) -> int:
    """Fewer in the ordinary suite; as many as it takes to be sure with `-m slow`."""
    count: int = request.param
    return count


class Trouble:
    """A server that answers in part until it is told to be well."""

    def __init__(self, *, resets: bool) -> None:
        self.is_well = False
        self._resets = resets

    async def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        turn = peer.number % (len(PARTS) + 1)
        if turn == len(PARTS) and self._resets and not self.is_well:
            peer.reset()
            return
        part = PARTS[turn % len(PARTS)]
        while True:
            await peer.read_request()
            await peer.send(OK if self.is_well else part)
            if self.is_well:
                continue
            if self._resets:
                peer.reset()
                return
            if part is not OK:
                await peer.until_closed()
                return


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(list(DESCRIPTORS.iterdir()))


@contextlib.asynccontextmanager
async def trouble(*, resets: bool) -> AsyncIterator[tuple[Trouble, Server]]:
    """Run the server, and look afterwards that descriptors and tasks are as they were before."""
    script = Trouble(resets=resets)
    async with serve(script) as server:
        before, tasks = descriptors(), aio.all_tasks()
        yield script, server
        await server.until(lambda: server.open == 0)
        await until(lambda: descriptors() == before)
        await until(lambda: aio.all_tasks() == tasks)


class Timers:
    """The timers that have been set on the running event loop since it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop: Any = running_loop()
        self._handles: list[Any] = []
        if isinstance(self._loop, TrioLoop):
            return
        for name in ("call_later", "call_at"):
            monkeypatch.setattr(type(self._loop), name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., Any]:
        original = getattr(type(self._loop), name)

        def set_timer(*args: Any, **kwargs: Any) -> Any:
            handle = original(*args, **kwargs)
            # On uvloop, one that is due at once is no timer.
            if hasattr(handle, "when"):
                self._handles.append(handle)
            return handle

        return set_timer

    @property
    def pending(self) -> int:
        """How many will still go off."""
        if isinstance(self._loop, TrioLoop):
            return sum(timer.callback is not None for _, _, timer in self._loop._timers)
        now = self._loop.time()
        live = {id(one) for one in self._handles if not one.cancelled() and one.when() > now}
        return len(live)


async def cancel_many(how_many: int, server: Server, start: Round) -> None:
    """Start rounds and cancel each at another moment, until so many connections were accepted."""
    moment = 0
    while server.connections < how_many:
        seen = len(server.requests)
        task = aio.ensure_future(start())
        # Some while they connect, some with the first answers there, some with all.
        if moment % 4 == 0:
            for _ in range(moment % 11):
                await aio.sleep(0)
        else:
            wanted = seen + AT_ONCE * (moment % 4) // 4
            await server.until(lambda wanted=wanted: len(server.requests) >= wanted)
        moment += 1
        task.cancel()
        with pytest.raises(aio.CancelledError):
            await task


async def test_cancelled_exchanges_leave_nothing(
    how_many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they were at: no descriptor, task, place, waiter or timer, and the engine works."""
    timers = Timers(monkeypatch)
    async with trouble(resets=False) as (script, server):
        async with engine_for(max_connections=AT_ONCE) as engine:

            async def start() -> object:
                return await aio.gather(*[get(engine, server) for _ in range(AT_ONCE)])

            await cancel_many(how_many, server, start)
            await until(lambda: not engine.counts()["connecting"])
            script.is_well = True
            exchanges = await aio.gather(*[get(engine, server) for _ in range(100)])

            assert [bytes(exchange.content) for exchange in exchanges] == [b"ok"] * 100
            assert engine.counts()["connections"] == engine.counts()["idle"] <= AT_ONCE
            assert engine.counts()["waiting"] == 0
            assert timers.pending <= 1
        assert engine.counts() == {}
        assert timers.pending == 0


async def test_reset_exchanges_leave_nothing(
    how_many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reset before the answer, in it or behind it: the same."""
    timers = Timers(monkeypatch)
    async with trouble(resets=True) as (script, server):
        async with engine_for(max_connections=AT_ONCE) as engine:
            while server.connections < how_many:
                ended = await aio.gather(
                    *[get(engine, server) for _ in range(AT_ONCE)], return_exceptions=True
                )
                assert all(isinstance(one, ExchangeError) or one.content for one in ended)  # type: ignore[union-attr]
            await until(lambda: engine.counts() == NOTHING)
            assert timers.pending <= 1
            script.is_well = True
            exchanges = await aio.gather(*[get(engine, server) for _ in range(100)])

            assert [bytes(exchange.content) for exchange in exchanges] == [b"ok"] * 100
        assert timers.pending == 0


def fetcher_for_trouble() -> Fetcher:
    """Make a fetcher that tries each request once, however many have failed."""
    return Fetcher(concurrency=AT_ONCE, retry=None, give_up_host_after=None, trust_env=False)


async def test_cancelled_batches_leave_nothing(
    how_many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through a fetcher: no slot is taken, and the next batch has no failure."""
    timers = Timers(monkeypatch)
    async with trouble(resets=False) as (script, server):
        async with fetcher_for_trouble() as fetcher:
            await cancel_many(how_many, server, lambda: fetcher.fetch_many([server.url] * AT_ONCE))
            assert fetcher.statistics().in_flight == fetcher.statistics().waiting == 0
            script.is_well = True
            results = await fetcher.fetch_many([server.url] * 100)

            assert [result.content for result in results] == [b"ok"] * 100
        assert timers.pending == 0


async def test_reset_batches_leave_nothing(how_many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reset is the failure of one request, and of nothing else."""
    timers = Timers(monkeypatch)
    async with trouble(resets=True) as (script, server):
        async with fetcher_for_trouble() as fetcher:
            while server.connections < how_many:
                results = await fetcher.fetch_many([server.url] * AT_ONCE)
                assert len(results) == AT_ONCE
                kinds = {failure.kind for failure in results.failures}
                assert kinds <= {"protocol", "truncated", "connect"}
            assert fetcher.statistics().in_flight == fetcher.statistics().waiting == 0
            script.is_well = True
            results = await fetcher.fetch_many([server.url] * 100)

            assert [result.content for result in results] == [b"ok"] * 100
        assert timers.pending == 0
