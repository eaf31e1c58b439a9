"""Streamed responses: piece by piece, at the reader's pace."""

from __future__ import annotations

import os

import pytest

from asyncbatch._engine import BodyStream, ExchangeLimits, LentBodyStream
from asyncbatch._engine.connection._partial_response import HIGH_WATER
from asyncbatch._engine.http11 import ResponseTooLarge, TruncatedResponse
from asyncbatch._engine.io._refill import Refill
from tests import aio
from tests.engines import STREAMS, engine_for, get, read_all
from tests.raw_server import OK, Peer, answer_all, answers, serve

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_the_head_is_there_before_the_body() -> None:
    """The exchange settles with the head; the rest comes when it comes."""
    more = aio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CHUNKED)
        await more.wait()
        await peer.send(b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n")
        await answer_all(peer)

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        assert exchange.head is not None
        assert not exchange.is_over
        more.set()
        body = b"".join([piece async for piece in BodyStream(engine, exchange)])

        assert body == b"abcdef"
        assert (await get(engine, server)).is_reused


async def test_a_body_that_came_with_its_head_needs_no_wait() -> None:
    """And its connection is free before anybody reads it."""
    async with serve(answer_all) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        assert engine.counts()["idle"] == 1
        second = await get(engine, server)

        assert [piece async for piece in BodyStream(engine, exchange)] == [b"ok"]
        assert bytes(second.content) == b"ok"


async def test_a_slow_reader_slows_the_server() -> None:
    """What nobody reads is not received without end."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            await peer.send(bytes(100_000))
            sent += 100_000
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        before = -1
        while sent != before:
            before = sent
            await aio.sleep(0.03)
        connection = exchange.active_connection
        assert connection is not None
        assert sent < 30_000_000
        assert connection.protocol.untaken < 2 * HIGH_WATER

        total = 0
        async for piece in BodyStream(engine, exchange):
            total += len(piece)

    assert total == 50_000_000


async def test_a_body_that_is_cut_gives_what_came_and_then_the_error() -> None:
    """In that order."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell"
    async with serve(answers(cut)) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        await server.until(lambda: server.open == 0)
        stream = BodyStream(engine, exchange)

        assert await anext(stream) == b"hell"
        with pytest.raises(TruncatedResponse):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_streamed_body_is_capped() -> None:
    """In all, not by what lies in memory."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CHUNKED)
        for _ in range(20):
            await peer.send(b"3e8\r\n" + bytes(1000) + b"\r\n")

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=ExchangeLimits(streams=True, max_body=10_000))
        taken = bytearray()
        with pytest.raises(ResponseTooLarge):
            await read_all(BodyStream(engine, exchange), taken)

    assert len(taken) <= 10_000


async def test_closing_an_unread_body_closes_its_connection() -> None:
    """The rest of it would be in the way of the next response."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1] if peer.number == 1 else OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        await BodyStream(engine, exchange).aclose()
        second = await get(engine, server)

        assert server.connections == 2
    assert bytes(second.content) == b"ok"


async def test_a_body_without_length_ends_with_the_connection() -> None:
    """And is then complete."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"abc", b"def")

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)

        assert b"".join([piece async for piece in BodyStream(engine, exchange)]) == b"abcdef"


BODY = os.urandom(4_000_000)
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def received(refill: Refill | None) -> bytes:
    """Receive what has come, in small memory."""
    memory, content = memoryview(bytearray(100_000)), b""
    while refill is not None and (size := refill(memory)):
        content += memory[:size]
    return content


@pytest.mark.parametrize("refills", [False, True])
async def test_a_lent_body_is_the_body(refills: bool) -> None:
    """Whether its reader receives, too, or not; its connection then serves the next request."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(LONG + BODY)
        await answer_all(peer)

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        stream, body = LentBodyStream(engine, exchange), b""
        async for piece in stream:
            body += piece
            if refills:
                await aio.sleep(0.001)  # the server goes on
                body += received(stream.refill())

        assert body == BODY
        assert stream.refill() is None
        assert (await get(engine, server)).is_reused


async def test_a_lent_body_that_is_cut_gives_what_came_and_then_the_error() -> None:
    """Also when its reader has found the end."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(LONG + BODY[:3_000_000])

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        stream, body = LentBodyStream(engine, exchange), bytearray()

        async def read() -> None:
            async for piece in stream:
                body.extend(piece)
                await aio.sleep(0.001)  # the server goes on
                body.extend(received(stream.refill()))

        with pytest.raises(TruncatedResponse):
            await read()

        assert body == BODY[:3_000_000]


async def test_a_body_given_up_while_its_reader_receives_closes_its_connection() -> None:
    """And leaves the reader nothing to receive from."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(LONG + BODY[:3_000_000])
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=STREAMS)
        stream, refill, taken = LentBodyStream(engine, exchange), None, 0
        while refill is None and taken < 2_000_000:
            await aio.sleep(0.01)  # the server goes on, so that there is a full piece
            taken += len(await anext(stream))
            refill = stream.refill()
        if refill is None:
            pytest.skip("the event loop moves the bytes, by calls of its own")
        engine.abandon(exchange)

        assert received(refill) == b""
        assert stream.refill() is None
        await server.until(lambda: server.open == 0)
