"""Cancellation at every await: it closes what it must, and leaks nothing."""

from __future__ import annotations

import random
import ssl

import pytest

from asyncbatch._engine import BodyStream, Connector, Engine, Upload
from asyncbatch._engine.connect._resolver import Address, Resolver
from asyncbatch._engine.connection._connection import Connection
from tests import aio
from tests.engines import STREAMS, engine_for, get, head_of, send_request
from tests.raw_server import OK, Peer, answer_all, serve
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("tasks_in_order")

NOTHING = {"connections": 0, "idle": 0, "connecting": 0, "waiting": 0, "origins": 0}


async def _settle(engine: Engine) -> dict[str, int]:
    await until(lambda: not engine.counts()["connecting"])
    return engine.counts()


async def _cancel(task: aio.Future) -> None:
    task.cancel()
    with pytest.raises(aio.CancelledError):
        await task


async def test_while_the_name_is_looked_up() -> None:
    """The dial ends with the exchange."""

    class Hanging(Resolver):
        async def resolve(self, host: str, port: int) -> list[Address]:
            await aio.Event().wait()
            raise AssertionError

    connector = Connector(ssl.create_default_context, resolver=Hanging())
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        task = aio.ensure_future(get(engine, server.origin._replace(host="x.invalid")))
        await aio.sleep(0.001)
        await _cancel(task)

        assert await _settle(engine) == NOTHING


async def test_before_the_dial_has_begun() -> None:
    """A task that is cancelled before its first step never runs a line."""
    async with serve(answer_all) as server, engine_for() as engine:
        exchange = engine.begin(server.origin, b"GET", head_of())
        engine.abandon(exchange)

        assert await _settle(engine) == NOTHING


@pytest.mark.parametrize("sent", [b"", OK[:10], OK[:-1]])
async def test_while_the_response_is_awaited(sent: bytes) -> None:
    """The connection is closed, since the rest would still come on it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(sent)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        task = aio.ensure_future(get(engine, server))
        await server.until(lambda: bool(server.requests))
        await aio.sleep(0.005)
        await _cancel(task)
        await server.until(lambda: server.open == 0)

        assert engine.counts() == NOTHING


async def test_while_waiting_for_a_place() -> None:
    """The queue forgets it, and the next in line is served."""
    hold = aio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await hold.wait()
            await peer.send(OK)

    async with serve(script) as server, engine_for(max_connections=1) as engine:
        tasks = [aio.ensure_future(get(engine, server, "/0"))]
        await server.until(lambda: bool(server.requests))
        for path in ("/1", "/2", "/3"):
            tasks.append(aio.ensure_future(get(engine, server, path)))
            await until(lambda: engine.counts()["waiting"] == len(tasks) - 1)
        await _cancel(tasks[1])
        hold.set()
        await aio.gather(tasks[0], *tasks[2:])

        assert [request.split()[1] for request in server.requests] == [b"/0", b"/2", b"/3"]


@pytest.mark.asyncio_only  # on trio it comes too late: the task ends with its result
async def test_when_the_response_has_just_come() -> None:
    """Complete before the task knows: the connection is kept, the result dropped."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        original = Connection.received
        task: aio.Future | None = None

        def receive(self: Connection, content: bytes | memoryview) -> None:
            original(self, content)
            assert task is not None
            task.cancel()

        Connection.received = receive  # type: ignore[method-assign]
        try:
            task = aio.ensure_future(get(engine, server))
            with pytest.raises(aio.CancelledError):
                await task
        finally:
            Connection.received = original  # type: ignore[method-assign]

        assert engine.counts()["idle"] == 1
        assert (await get(engine, server)).is_reused


async def test_while_a_body_is_uploaded() -> None:
    """The iterable is stopped too."""
    stopped = aio.Event()

    async def pieces():
        try:
            yield b"x"
            await aio.Event().wait()
        finally:
            stopped.set()

    head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
    async with serve(answer_all) as server, engine_for() as engine:
        task = aio.ensure_future(
            send_request(engine, server.origin, b"POST", head, Upload(pieces()))
        )
        await server.until(lambda: server.open == 1)
        await aio.sleep(0.005)
        await _cancel(task)
        await stopped.wait()

        assert engine.counts() == NOTHING


async def test_while_a_streamed_body_is_read() -> None:
    """The reader that is cancelled closes the connection."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        stream = BodyStream(engine, exchange)
        assert await anext(stream) == b"o"
        task = aio.ensure_future(anext(stream))
        await aio.sleep(0)
        await _cancel(task)
        await server.until(lambda: server.open == 0)

        assert engine.counts() == NOTHING


async def test_a_storm_of_cancellations_loses_nothing() -> None:
    """Thousands of exchanges, cancelled at random moments, and the pool serves all that follow."""
    dice = random.Random(7)

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            if dice.random() < 0.3:
                await aio.sleep(0)
            await peer.send(OK)

    async with serve(script) as server, engine_for(max_connections=20) as engine:
        for _ in range(30):
            tasks = [aio.ensure_future(get(engine, server)) for _ in range(100)]
            for task in tasks:
                if dice.random() < 0.7:
                    for _ in range(dice.randrange(4)):
                        await aio.sleep(0)
                    task.cancel()
            results = await aio.gather(*tasks, return_exceptions=True)
            for result in results:
                if not isinstance(result, aio.CancelledError):
                    assert bytes(result.content) == b"ok"  # type: ignore[union-attr]
            counts = await _settle(engine)
            assert counts["waiting"] == 0
            assert counts["connections"] == counts["idle"] <= 20
        await aio.gather(*[get(engine, server) for _ in range(200)])
