"""The engine: to which loop it belongs, how an exchange is given up, and what closing does."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from asyncbatch._engine import BodyStream, EngineClosed, Exchange
from asyncbatch._engine._engine import Engine, take_error
from asyncbatch._engine.http11 import InvalidRequest, TruncatedResponse
from tests import aio
from tests.engines import STREAMS, engine_for, get, head_of
from tests.raw_server import OK, Peer, answer_all, serve


async def test_an_unused_engine_has_nothing() -> None:
    """Closing it, in either way, is no trouble."""
    async with engine_for() as engine:
        assert engine.counts() == {}
        engine.take_out(1.0, 1.0)
        engine.close_nowait()


async def test_a_closed_engine_begins_nothing() -> None:
    """Nor does it answer what is under way."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        task = aio.ensure_future(get(engine, server))
        await server.until(lambda: bool(server.requests))
        engine.close_nowait()
        with pytest.raises(EngineClosed):
            await task
        with pytest.raises(EngineClosed, match="closed"):
            await get(engine, server)
        await server.until(lambda: server.open == 0)


async def test_an_exchange_that_is_sent_again_on_a_closed_engine_fails() -> None:
    """Instead of waiting for a connection that nobody opens."""
    has_ended = aio.Event()

    def follow(exchange: Exchange) -> None:
        has_ended.set()

    async with serve(answer_all) as server, engine_for() as engine:
        exchange = engine.begin(server.origin, b"GET", head_of(), follow=follow)
        await has_ended.wait()
        engine.close_nowait()
        assert not exchange.future.done()
        exchange.renew(server.origin, b"GET", head_of(), monotonic() + 5, monotonic())
        engine.submit(exchange)

        assert exchange.future.done()
        assert isinstance(take_error(exchange), EngineClosed)


async def test_an_exchange_that_breaks_off_raises_what_broke_it() -> None:
    """Where the body is streamed, its reader learns of it, behind what came."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse):
            await get(engine, server)
        exchange = await get(engine, server, limits=STREAMS)
        stream = BodyStream(engine, exchange)
        assert await anext(stream) == b"o"
        with pytest.raises(TruncatedResponse):
            await anext(stream)


async def test_an_exchange_that_is_given_up_is_over() -> None:
    """Wherever it is: waiting, connecting, sent, or over already."""
    held = aio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await held.wait()

    async with serve(script) as server, engine_for(max_connections=1) as engine:
        first = engine.begin(server.origin, b"GET", head_of())
        waiting = engine.begin(server.origin, b"GET", head_of())
        await server.until(lambda: bool(server.requests))
        assert engine.counts()["waiting"] == 1
        for exchange in (waiting, first, first):
            engine.abandon(exchange)
            assert exchange.is_over
            assert exchange.future.cancelled()

        assert engine.counts() == {
            **dict.fromkeys(("connections", "idle", "connecting", "waiting", "origins"), 0)
        }
        held.set()


async def test_an_observer_is_told_of_its_own_exchange() -> None:
    """Of each step by name, and of no other exchange."""
    steps: list[str] = []
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        exchange = engine.begin(
            server.origin, b"GET", head_of(), observer=lambda name, _: steps.append(name)
        )
        await exchange.future
        await get(engine, server)

    assert steps
    assert len(steps) == len(set(steps))


async def test_a_stall_of_the_loop_is_told_to_who_keeps_the_time_too() -> None:
    """After the engine's own exchanges have been given the time back."""
    told: list[tuple[float, float]] = []
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        pool: Any = engine._pool
        pool.clocks.on_stall(1.0, 2.0)
        engine.on_stall = lambda seconds, before: told.append((seconds, before))
        pool.clocks.on_stall(3.0, 4.0)

    assert told == [(3.0, 4.0)]


def run_on_a_loop_of_its_own(engine: Engine) -> None:
    async def main() -> None:
        async with serve(answer_all) as server:
            exchange = await get(engine, server)
            assert bytes(exchange.content) == b"ok"

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


def test_an_engine_moves_to_another_loop_when_its_own_is_closed() -> None:
    """As where `asyncio.run` is called once for each batch."""
    engine = make_engine()
    run_on_a_loop_of_its_own(engine)
    run_on_a_loop_of_its_own(engine)
    asyncio.run(engine.aclose())


def test_an_engine_belongs_to_one_open_loop() -> None:
    """Its connections cannot be used from another one."""
    engine, loop = make_engine(), asyncio.new_event_loop()

    async def begin(server: Any) -> None:
        await get(engine, server)

    async def elsewhere() -> None:
        async with serve(answer_all) as server:
            with pytest.raises(RuntimeError, match="another event loop"):
                await get(engine, server)
            await engine.aclose()

    async def main() -> None:
        async with serve(answer_all) as server:
            await get(engine, server)
            await asyncio.to_thread(asyncio.run, elsewhere())
            await get_again(server)

    async def get_again(server: Any) -> None:
        # Closing it from the other loop has closed it, but touched nothing of this loop's.
        with pytest.raises(EngineClosed):
            await begin(server)

    loop.run_until_complete(main())
    loop.close()


def make_engine() -> Engine:
    import ssl

    from asyncbatch._engine import Connector

    return Engine(Connector(ssl.create_default_context))


async def test_an_error_is_taken_out_of_its_exchange_once() -> None:
    """So that neither keeps the other."""
    async with serve(answer_all) as server, engine_for() as engine:
        exchange = await get(engine, server)
    error = ValueError()
    exchange.error = error

    assert take_error(exchange) is error
    assert exchange.error is None
    assert isinstance(take_error(exchange), InvalidRequest)
