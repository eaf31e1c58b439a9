"""What comes of an exchange or a connection as time passes, which is virtual here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncbatch import Fetcher
from asyncbatch._engine import BodyStream, ExchangeLimits, TimedOut, Upload
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connection._connection import MAX_AGE
from asyncbatch._engine.pool._idle import IDLE_GRACE
from tests import aio
from tests.engines import STREAMS, engine_for, get, head_of, read_all, send_request
from tests.raw_server import OK, Peer, answer_all, serve
from tests.virtual_time import virtual_time

# The virtual clock governs no other event loop.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def drip(peer: Peer) -> None:
    await peer.read_request()
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999:
        await peer.send(bytes([byte]))
        await aio.sleep(0.1)


async def test_a_read_limit_is_for_each_wait() -> None:
    """A server that keeps sending is in time; one that stops is not."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        for i in range(len(OK)):
            await peer.send(OK[i : i + 1])
            await aio.sleep(0.04)
        await peer.read_request()
        await peer.send(OK[:10])
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        with virtual_time():
            limits = ExchangeLimits(read_timeout=0.1)
            await get(engine, server, limits=limits)
            with pytest.raises(TimedOut) as caught:
                await get(engine, server, limits=limits)

    assert caught.value.phase == "read"


@pytest.mark.parametrize("large", [False, True])
async def test_the_next_piece_of_an_upload_is_not_the_peers_to_hurry_with(large: bool) -> None:
    """Neither limit runs while it is being produced, also after a piece that was held up."""
    size = 8_000_000 if large else 8

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(size)
        await aio.sleep(0.5)
        yield b"the rest"

    head = head_of("PUT", "/", [("Content-Length", str(size + 8))])
    async with serve(answer_all) as server, engine_for() as engine:
        with virtual_time():
            limits = ExchangeLimits(write_timeout=5.0 if large else 0.2, read_timeout=0.2)
            upload = Upload(pieces())
            exchange = await send_request(
                engine, server.origin, b"PUT", head, upload, limits=limits
            )

    assert exchange.head is not None
    assert exchange.head.status == 200


async def test_a_streamed_body_is_under_the_same_deadline() -> None:
    """The limit goes on behind the head."""
    async with serve(drip) as server, engine_for() as engine:
        with virtual_time():
            deadline = running_loop().time() + 60
            exchange = await get(engine, server, limits=STREAMS, deadline=deadline)
            with pytest.raises(TimedOut):
                await read_all(BodyStream(engine, exchange))

            assert engine.counts()["connections"] == 0


async def test_surplus_idle_connections_are_closed_after_a_moment() -> None:
    """Not at once: between two exchanges of a busy pool all of them are idle."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await aio.sleep(IDLE_GRACE / 5)
            await peer.send(OK)

    async with serve(script) as server, engine_for(max_connections=10, max_idle=2) as engine:
        with virtual_time():
            for _ in range(20):
                await aio.gather(*[get(engine, server) for _ in range(10)])
            assert server.connections == server.open == 10
            await server.until(lambda: server.open == 2)

            assert engine.counts()["idle"] == 2


async def test_a_connection_is_used_for_some_minutes_at_most() -> None:
    """However busy it is kept, so that a change of addresses is noticed."""
    async with serve(answer_all) as server, engine_for(idle_expiry=2 * MAX_AGE) as engine:
        with virtual_time():
            for _ in range(15):
                await get(engine, server)
                await aio.sleep(MAX_AGE / 10)

    assert server.connections == 2


async def test_a_connection_of_a_relay_is_used_for_some_minutes_at_most() -> None:
    """Also by requests of which each follows the one before at once."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await aio.sleep(MAX_AGE / 10)
            await peer.send(OK)

    async with serve(script) as server:
        with virtual_time():
            async with Fetcher(concurrency=1, timeout=None, retry=None) as fetcher:
                results = await fetcher.fetch_many([server.url] * 15)

    assert not results.failures
    assert server.connections == 2


@pytest.mark.parametrize(("told", "kept"), [(5, 4.0), (2, 1.0), (1, 0.5), (90, 60.0)])
async def test_an_idle_connection_is_closed_before_its_server_does(told: int, kept: float) -> None:
    """A second before the time that `Keep-Alive` tells, or the half of it, or our own time."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        field = b"Keep-Alive: timeout=%d" % told
        await peer.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 0\r\n\r\n")
        await peer.until_closed()

    async with serve(script) as server, engine_for(idle_expiry=60) as engine:
        with virtual_time():
            await get(engine, server)
            await aio.sleep(kept - 0.1)
            assert server.open == 1
            await aio.sleep(0.2)

            assert server.open == 0
