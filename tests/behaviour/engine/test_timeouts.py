"""Time limits that pass in real time, and what they leave behind: nothing."""

from __future__ import annotations

import ssl
from time import monotonic

import pytest

from asyncbatch._engine import Connector, ExchangeLimits, TimedOut, Upload
from asyncbatch._engine.connect._resolver import Address, Resolver
from tests import aio
from tests.engines import engine_for, get, head_of, send_request
from tests.raw_server import OK, Peer, answer_all, serve
from tests.waiting import until


async def say_nothing(peer: Peer) -> None:
    await peer.read_request()
    await peer.until_closed()


async def drip(peer: Peer) -> None:
    await peer.read_request()
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999:
        await peer.send(bytes([byte]))
        await aio.sleep(0.005)


@pytest.mark.parametrize("script", [say_nothing, drip])
async def test_a_deadline_cuts_whatever_the_server_does(script: object) -> None:
    """A server that is silent, and one that sends a byte now and then."""
    async with serve(script) as server, engine_for() as engine:  # type: ignore[arg-type]
        with pytest.raises(TimedOut) as caught:
            await get(engine, server, deadline=monotonic() + 0.05)

        assert caught.value.phase == "total"
        await server.until(lambda: server.open == 0)


async def test_a_write_limit_ends_an_upload_that_nobody_takes() -> None:
    """A body in memory, larger than what the kernel buffers."""

    async def script(peer: Peer) -> None:
        await aio.Event().wait()

    body = bytes(30_000_000)
    head = head_of("PUT", "/", [("Content-Length", str(len(body)))])
    async with serve(script) as server, engine_for() as engine:
        limits = ExchangeLimits(write_timeout=0.05, read_timeout=30)
        with pytest.raises(TimedOut) as caught:
            await send_request(engine, server.origin, b"PUT", head, body, limits=limits)

    assert caught.value.phase == "write"


async def test_a_connect_limit_covers_the_name_too() -> None:
    """A resolver that hangs holds up one exchange for its limit, and closing not at all."""

    class Hanging(Resolver):
        async def resolve(self, host: str, port: int) -> list[Address]:
            await aio.Event().wait()
            raise AssertionError

    connector = Connector(ssl.create_default_context, resolver=Hanging())
    async with serve(answer_all) as server, engine_for(connector=connector) as engine:
        origin = server.origin._replace(host="name.invalid")
        with pytest.raises(TimedOut) as caught:
            await get(engine, origin, limits=ExchangeLimits(connect_timeout=0.02))
        with pytest.raises(TimedOut) as total:
            await get(engine, origin, deadline=monotonic() + 0.02)
        await until(lambda: not engine.counts()["connecting"])

    assert caught.value.phase == "connect"
    assert total.value.phase == "total"


async def test_a_deadline_ends_a_body_that_gives_nothing_to_send() -> None:
    """The caller's own iterable hangs."""

    async def pieces():
        yield b"x"
        await aio.Event().wait()

    head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
    async with serve(say_nothing) as server, engine_for() as engine:
        with pytest.raises(TimedOut):
            await send_request(
                engine, server.origin, b"POST", head, Upload(pieces()), deadline=monotonic() + 0.05
            )


async def test_a_storm_of_time_outs_leaves_the_pool_whole() -> None:
    """A thousand exchanges out of time, then as many in time."""

    async def script(peer: Peer) -> None:
        while True:
            if b"/slow" in await peer.read_request():
                await peer.until_closed()
            await peer.send(OK)

    async with serve(script) as server, engine_for(max_connections=10) as engine:

        async def slow() -> None:
            with pytest.raises(TimedOut):
                await get(engine, server, "/slow", deadline=monotonic() + 0.01)

        for _ in range(10):
            await aio.gather(*[slow() for _ in range(100)])
        results = await aio.gather(*[get(engine, server) for _ in range(1000)])

        assert engine.counts()["connections"] <= 10
        assert engine.counts()["waiting"] == 0
    assert all(bytes(result.content) == b"ok" for result in results)


async def test_a_connection_that_timed_out_answers_nobody_else() -> None:
    """A late response goes nowhere."""
    timed_out = aio.Event()

    async def script(peer: Peer) -> None:
        target = (await peer.read_request()).split()[1]
        if target == b"/late":
            await timed_out.wait()
            await peer.send(OK.replace(b"ok", b"NO"))
        else:
            await peer.send(OK)
        await answer_all(peer)

    async with serve(script) as server, engine_for(max_connections=1) as engine:
        with pytest.raises(TimedOut):
            await get(engine, server, "/late", deadline=monotonic() + 0.01)
        timed_out.set()
        for _ in range(5):
            assert bytes((await get(engine, server)).content) == b"ok"
            await aio.sleep(0.01)
