"""The one silent repetition: on a reused connection, before any answer, once, if it is safe."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from asyncbatch._engine import Upload
from asyncbatch._engine.http11 import TruncatedResponse
from tests import aio
from tests.engines import engine_for, get, head_of, post, send_request
from tests.machines import put_where_sockets_connect
from tests.raw_server import OK, Peer, answers, serve
from tests.waiting import until


def dies_on_second(answer: bytes = b"", *, connections: int = 1, reset: bool = False):
    """Script: the first connections die on their second request, after `answer`."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.read_request()
        if peer.number <= connections:
            await peer.send(answer)
            if reset:
                peer.reset()
            return
        await peer.send(OK)
        await peer.until_closed()

    return script


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
@pytest.mark.parametrize("reset", [False, True])
async def test_an_idempotent_request_survives_a_stale_connection(method: str, reset: bool) -> None:
    """The server closed at the moment we wrote: sent again, on a fresh connection."""
    async with serve(dies_on_second(reset=reset)) as server, engine_for() as engine:
        await get(engine, server)
        exchange = await get(engine, server, method=method)

        assert server.connections == 2
        assert len(server.requests) == 3
    assert exchange.has_resent
    assert not exchange.is_reused


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
async def test_what_is_not_idempotent_is_never_repeated(method: str) -> None:
    """It may have been done: that is for the caller to decide."""
    async with serve(dies_on_second()) as server, engine_for() as engine:
        await get(engine, server)
        with pytest.raises(TruncatedResponse):
            await get(engine, server, method=method)

        assert len(server.requests) == 2


@pytest.mark.parametrize("answer", [b"H", OK[:20], b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_nothing_is_repeated_after_a_byte_of_the_answer(answer: bytes) -> None:
    """The server had seen the request."""
    async with serve(dies_on_second(answer)) as server, engine_for() as engine:
        await get(engine, server)
        with pytest.raises(TruncatedResponse):
            await get(engine, server)

        assert len(server.requests) == 2


async def test_a_request_is_repeated_once_only() -> None:
    """A fresh connection that dies is the end, so a server that hangs up sees no storm."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        if peer.number == 1:
            await peer.send(OK)
            await peer.read_request()

    async with serve(script) as server, engine_for() as engine:
        await get(engine, server)
        with pytest.raises(TruncatedResponse):
            await get(engine, server)

        assert server.connections == 2
        assert len(server.requests) == 3


async def test_nothing_is_repeated_on_a_fresh_connection() -> None:
    """The first exchange of a connection gets one try."""
    async with serve(answers()) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse):
            await get(engine, server)

        assert server.connections == 1


async def test_a_repetition_does_not_use_another_idle_connection() -> None:
    """After one stale connection the others are probably stale as well."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        if peer.number <= 2:
            peer.server.changed.set()
            await peer.server.until(lambda: len(peer.server.requests) >= 2)
        await peer.send(OK)
        await peer.read_request()
        if peer.number > 2:
            await peer.send(OK)
            await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        await aio.gather(get(engine, server), get(engine, server))
        exchange = await get(engine, server)

        assert server.connections == 3
    assert exchange.has_resent


async def test_a_body_in_memory_is_repeated_whole() -> None:
    """PUT with bytes."""
    head = head_of("PUT", "/", [("Content-Length", "4")])
    async with serve(dies_on_second()) as server, engine_for() as engine:
        await get(engine, server)
        await send_request(engine, server.origin, b"PUT", head, b"body")

    assert server.requests[1] == server.requests[2] == head + b"body"


async def test_a_streamed_body_is_not_repeated() -> None:
    """It can be read once only."""

    async def pieces():
        yield b"body"

    head = head_of("PUT", "/", [("Content-Length", "4")])
    async with serve(dies_on_second()) as server, engine_for() as engine:
        await get(engine, server)
        with pytest.raises(TruncatedResponse):
            await send_request(engine, server.origin, b"PUT", head, Upload(pieces(), 4))

        assert len(server.requests) == 2


async def test_a_post_is_not_written_to_a_connection_known_to_be_closed() -> None:
    """The end of an idle connection is seen before the write, so even a POST survives it."""
    async with serve(answers(OK)) as server, engine_for() as engine:
        await get(engine, server)
        await server.until(lambda: server.open == 0)
        await post(engine, server)

        assert len(server.requests) == 2


async def test_a_repetition_without_a_descriptor_outlives_the_other_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for those of its origin; when they are gone it gets one of its own."""
    ends = {b"/dies": aio.Event(), b"/held": aio.Event()}

    async def script(peer: Peer) -> None:
        while True:
            path = (await peer.read_request()).split()[1]
            if path in ends and peer.number <= 2:
                await ends[path].wait()
                return
            await peer.send(OK)

    def no_descriptor(*_: Any) -> bool:
        raise OSError(errno.EMFILE, "Too many open files")

    async with serve(script) as server, engine_for() as engine:
        await aio.gather(get(engine, server), get(engine, server))
        held = aio.ensure_future(get(engine, server, "/held", method="POST"))
        dies = aio.ensure_future(get(engine, server, "/dies"))
        await server.until(lambda: len(server.requests) == 4)
        with monkeypatch.context() as patch:
            put_where_sockets_connect(patch, no_descriptor)
            ends[b"/dies"].set()
            await until(lambda: engine.counts()["waiting"] == 1)
            await until(lambda: not engine.counts()["connecting"])
        ends[b"/held"].set()
        with pytest.raises(TruncatedResponse):
            await held

        async with aio.timeout(100):
            assert (await dies).content == b"ok"
