"""Request bodies that are produced while they are sent."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncbatch._engine import Engine, Exchange, Upload
from asyncbatch._engine.connect import _sockets
from asyncbatch._engine.http11 import InvalidRequest, TruncatedResponse
from tests import aio
from tests.engines import engine_for, get, head_of, post, send_request
from tests.raw_server import OK, Peer, Server, answer_all, serve


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await aio.sleep(0)
        yield piece


async def pieces_at_once(*pieces: bytes) -> AsyncIterator[bytes]:
    """Leave the server no time to answer in between."""
    for piece in pieces:
        yield piece


async def send(engine: Engine, server: Server, upload: Upload) -> Exchange:
    framing = (
        ("Transfer-Encoding", "chunked")
        if upload.length is None
        else ("Content-Length", str(upload.length))
    )
    head = head_of("POST", "/", [framing])
    return await send_request(engine, server.origin, b"POST", head, upload)


async def test_a_body_of_known_length_is_sent_as_it_is() -> None:
    """Piece by piece, empty ones included."""
    async with serve(answer_all) as server, engine_for() as engine:
        exchange = await send(engine, server, Upload(pieces_of(b"ab", b"", b"cd"), 4))
        await send(engine, server, Upload(pieces_of(b"ab", b"cd"), 4))

        assert server.connections == 1
    assert server.requests[0].endswith(b"\r\n\r\nabcd")
    assert exchange.sent_at >= exchange.send_at


async def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    """An empty piece does not end it."""
    async with serve(answer_all) as server, engine_for() as engine:
        await send(engine, server, Upload(pieces_of(b"ab", b"", b"cd")))

    assert server.requests[0].endswith(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


@pytest.mark.parametrize("pieces", [[b"abc"], [b"abcd", b"e"], []])
async def test_a_body_must_have_the_length_that_was_declared(pieces: list[bytes]) -> None:
    """Otherwise its rest, or the next request, would be taken for the other."""
    async with serve(answer_all) as server, engine_for() as engine:
        with pytest.raises(InvalidRequest):
            await send(engine, server, Upload(pieces_at_once(*pieces), 4))
        await get(engine, server)

        assert server.connections == 2


async def test_an_error_of_the_iterable_is_the_callers() -> None:
    """It comes out as it is, and the connection is closed."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        raise ZeroDivisionError

    async with serve(answer_all) as server, engine_for() as engine:
        with pytest.raises(ZeroDivisionError):
            await send(engine, server, Upload(pieces(), 4))

        assert engine.counts()["connections"] == 0


async def test_a_large_upload_goes_at_the_pace_of_the_server() -> None:
    """What the server does not take is not asked of the iterable."""
    asked = 0
    reading = aio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(300):
            asked += 1
            yield bytes(100_000)

    async def script(peer: Peer) -> None:
        await reading.wait()
        await peer.read_request()
        await peer.send(OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        task = aio.ensure_future(send(engine, server, Upload(pieces(), 30_000_000)))
        before = -1
        while asked != before or not asked:
            before = asked
            await aio.sleep(0.03)
        assert asked < 300
        reading.set()
        await task

    assert asked == 300


async def test_an_early_answer_ends_the_upload() -> None:
    """The server has decided; the connection is not used again, and the iterable is stopped."""
    stopped = aio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"ab"
            await aio.Event().wait()
        finally:
            stopped.set()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await send(engine, server, Upload(pieces()))

        assert exchange.head is not None
        assert exchange.head.status == 413
        assert engine.counts()["connections"] == 0
        await stopped.wait()


async def test_an_early_answer_to_a_body_in_memory_ends_its_connection() -> None:
    """The rest of the body would be read as the next request."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(OK)
        await aio.Event().wait()

    head = head_of("PUT", "/", [("Content-Length", "30000000")])
    async with serve(script) as server, engine_for() as engine:
        exchange = await send_request(engine, server.origin, b"PUT", head, bytes(30_000_000))

        assert bytes(exchange.content) == b"ok"
        assert engine.counts()["connections"] == 0


@pytest.mark.parametrize("size", [100_000, 20_000_000])
async def test_an_answer_is_read_even_if_the_server_then_resets(size: int) -> None:
    """A refusal of an upload is not lost in the error of our next write."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        await aio.sleep(0.01)

    head = head_of("PUT", "/", [("Content-Length", str(size))])
    async with serve(script) as server, engine_for() as engine:
        exchange = await send_request(engine, server.origin, b"PUT", head, bytes(size))

    assert exchange.head is not None
    assert exchange.head.status == 413


async def test_continue_is_skipped() -> None:
    """`100 Continue` and then the answer; `Expect` is left alone."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.reader.readexactly(2)
        await peer.send(OK)
        await peer.until_closed()

    head = head_of("POST", "/", [("Content-Length", "2"), ("Expect", "100-continue")])
    async with serve(script) as server, engine_for() as engine:
        exchange = await send_request(engine, server.origin, b"POST", head, b"hi")

    assert exchange.head is not None
    assert exchange.head.status == 200


async def test_a_server_that_hangs_up_during_an_upload_is_an_error_at_once() -> None:
    """The iterable is not waited for."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        await aio.Event().wait()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse):
            await send(engine, server, Upload(pieces()))


async def test_what_is_not_sent_yet_is_not_copied(anyio_backend_name: str) -> None:
    """A long body waits for its peer without a second one in memory."""
    by_asyncio = anyio_backend_name == "asyncio" and not _sockets.CAN_WATCH
    if by_asyncio and sys.version_info < (3, 12):
        pytest.skip("asyncio's own transports of Python 3.11 copy what the kernel does not take")
    body = bytes(30_000_000)
    stalled = aio.Event()

    async def script(peer: Peer) -> None:
        await stalled.wait()
        await peer.read_request()
        await peer.send(OK)

    async with serve(script) as server, engine_for() as engine:
        tracemalloc.start()
        try:
            task = aio.ensure_future(post(engine, server, body))
            await server.until(lambda: server.open == 1)
            for _ in range(20):
                await aio.sleep(0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        stalled.set()
        exchange = await task

    assert peak < len(body) / 2
    assert bytes(exchange.content) == b"ok"
    assert server.requests[0].endswith(body)


class Breaking:
    """A transport whose connection is lost by a write, as by one that the kernel refuses."""

    def __init__(self, connection: Any, good: int) -> None:
        self._connection = connection
        self._transport = connection._transport
        self._good = good
        connection._transport = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, content: bytes) -> None:
        if not self._good:
            self._connection.connection_lost(ConnectionResetError())
            return
        self._good -= 1
        self._transport.write(content)


@pytest.mark.parametrize("good", [0, 1, 2])
async def test_a_connection_that_is_lost_by_a_write_ends_the_upload(good: int) -> None:
    """With the head or with a piece: the iterable is asked for no more."""
    asked = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(5):
            asked += 1
            yield b"abcd"

    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        (connection,) = engine._pool.idle.members  # type: ignore[union-attr]
        Breaking(connection, good)
        with pytest.raises(TruncatedResponse):
            await send(engine, server, Upload(pieces(), 20))
        await get(engine, server)

        assert server.connections == 2
    # The piece that is lost, and the one that finds the connection closed.
    assert asked == (good + 1 if good else 0)


async def test_an_iterable_without_a_close_is_sent_as_well() -> None:
    """Only generators have one."""

    class Pieces:
        left = 2

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"ab"

    async with serve(answer_all) as server, engine_for() as engine:
        await send(engine, server, Upload(Pieces(), 4))

    assert server.requests[0].endswith(b"\r\n\r\nabab")


def test_an_exit_that_the_iterable_asks_for_ends_the_loop() -> None:
    """It is no failure of one request."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        raise SystemExit(3)

    told: list[type[BaseException]] = []

    async def main() -> None:
        async with serve(answer_all) as server, engine_for() as engine:
            try:
                await send(engine, server, Upload(pieces(), 4))
            except BaseException as error:
                told.append(type(error))
                raise

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())

    assert caught.value.code == 3
    assert told == [asyncio.CancelledError]
