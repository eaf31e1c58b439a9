"""The option `minimum_rate`, through each lane, against servers that drip on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Request, Retry
from tests.raw_server import OK, Peer, Script, Server, serve
from tests.transports import SLACK, run_virtually
from tests.virtual_time import virtual_time

# The virtual clock governs no other event loop.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])

RATE = 100
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"

# How a request can reach the server: by the two lanes on the engine, and by stock clients.
ON_THE_ENGINE = ["direct", "client"]
WAYS = [*ON_THE_ENGINE, "httpx", "httpx2"]


@contextlib.asynccontextmanager
async def client_for(way: str) -> AsyncIterator[Any]:
    """Open the client of a way, `None` where the fetcher makes its own."""
    if way == "direct":
        yield None
    elif way == "client":
        async with httpx.AsyncClient(transport=asyncbatch.HTTPTransport(), timeout=None) as client:
            yield client
    else:
        library: Any = pytest.importorskip(way)
        async with library.AsyncClient(trust_env=False, timeout=None) as client:
            yield client


async def fetch(
    way: str, script: Script, request: dict[str, Any] | None = None, **options: Any
) -> tuple[asyncbatch.Result, float, Server]:
    """Fetch once, and return the result, the virtual seconds it took, and the server."""
    options = {"minimum_rate": RATE, "timeout": None, "retry": None, **options}
    async with serve(script) as server, client_for(way) as client:
        with virtual_time() as clock:
            async with Fetcher(client, **options) as fetcher:
                # A plain string goes the shortest way that the direct lane has.
                item = server.url if request is None else Request(server.url, **request)
                result = await fetcher.fetch(item)
                elapsed = clock.elapsed
                await server.until(lambda: result.ok or server.open == 0)
    return result, elapsed, server


def dripping(start: bytes, size: int, *, every: float = 0.5) -> Script:
    """Make a script that answers with `start`, and then drips `size` bytes now and then."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(start)
        while True:
            await asyncio.sleep(every)
            await peer.send(b"x" * size)

    return script


def assert_too_slow(result: asyncbatch.Result) -> None:
    """A failure of the kind, class and details that the option promises."""
    assert isinstance(result, asyncbatch.Failure)
    assert result.kind == "timeout"
    assert isinstance(result.error, asyncbatch.TooSlow | httpx.ReadTimeout)
    assert isinstance(result.error, asyncbatch.TooSlow)
    assert result.error.minimum_rate == RATE
    assert str(result.error.request.url).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_that_drips_is_cut(way: str) -> None:
    """Ten seconds behind the first whole one, and the connection is closed."""
    result, elapsed, _ = await fetch(way, dripping(HEAD, RATE // 4))

    assert_too_slow(result)
    assert 10 <= elapsed <= 11.1


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_that_stops_is_cut(way: str) -> None:
    """A good start pays for one window and no more."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(HEAD + b"x" * 50_000)
        await peer.until_closed()

    result, elapsed, _ = await fetch(way, script)

    assert_too_slow(result)
    assert 10 <= elapsed <= 12.1


@pytest.mark.parametrize("way", WAYS)
async def test_dripping_chunks_are_cut(way: str) -> None:
    """However the body is framed."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(head)
        while True:
            await peer.send(b"1\r\nx\r\n")
            await asyncio.sleep(1)

    result, elapsed, _ = await fetch(way, script)

    assert_too_slow(result)
    assert elapsed <= 11.1


@pytest.mark.parametrize("way", ON_THE_ENGINE)
async def test_a_head_that_drips_is_cut(way: str) -> None:
    """Once its first byte has come, waiting is over."""
    result, elapsed, _ = await fetch(way, dripping(b"HTTP/1.1 200 OK\r\nX: ", 1))

    assert_too_slow(result)
    assert 10 <= elapsed <= 11.1


@pytest.mark.parametrize("way", ["httpx", "httpx2"])
async def test_a_stock_client_hides_its_heads(way: str) -> None:
    """There the head is under `timeout` alone."""
    result, elapsed, _ = await fetch(way, dripping(b"HTTP/1.1 200 OK\r\nX: ", 1), timeout=30)

    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert elapsed == pytest.approx(30, abs=SLACK)


@pytest.mark.parametrize("way", WAYS)
async def test_time_to_think_is_not_counted(way: str) -> None:
    """A server may take a minute before its first byte."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await asyncio.sleep(60)
        await peer.send(OK)

    result, elapsed, _ = await fetch(way, script)

    assert result.content == b"ok"
    assert elapsed >= 60


@pytest.mark.parametrize("way", WAYS)
async def test_behind_an_interim_response_it_may_think_on(way: str) -> None:
    """103 is not the beginning of the response."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n")
        await asyncio.sleep(1)
        await peer.send(b"Link: </x>\r\n\r\n")
        await asyncio.sleep(60)
        await peer.send(OK)

    result, _, _ = await fetch(way, script)

    assert result.content == b"ok"


@pytest.mark.parametrize("way", WAYS)
async def test_a_long_upload_is_not_counted(way: str) -> None:
    """The rate is the response's."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            await asyncio.sleep(1)
            yield b"x"

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)

    result, elapsed, _ = await fetch(way, script, {"method": "POST", "content": pieces()})

    assert result.content == b"ok"
    assert elapsed >= 30


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_that_keeps_the_rate_may_take_its_time(way: str) -> None:
    """Exactly the rate will do, over minutes."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n")
        for _ in range(120):
            await peer.send(b"x" * RATE)
            await asyncio.sleep(1)

    result, elapsed, _ = await fetch(way, script)

    assert len(result.content) == 12_000
    assert elapsed >= 119


@pytest.mark.parametrize("way", WAYS)
async def test_the_body_of_a_redirect_counts_too(way: str) -> None:
    """Each hop is looked at."""
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 9999\r\n\r\n"
    result, elapsed, server = await fetch(way, dripping(redirect, 1), follow_redirects=True)

    assert_too_slow(result)
    assert elapsed <= 11.1
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_the_second_hop_counts_from_its_own_beginning(way: str) -> None:
    """What the first hop was slow at is not held against the second."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 9\r\n\r\n")
        for _ in range(9):
            await asyncio.sleep(1)
            await peer.send(b"x")
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        for _ in range(9):
            await asyncio.sleep(1)
            await peer.send(b"y")

    result, elapsed, _ = await fetch(way, script, follow_redirects=True)

    assert result.content == b"y" * 9
    assert elapsed >= 18


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_tried_again_like_any_time_out(way: str) -> None:
    """On a connection of its own, and the server has its chance."""
    answers = iter([dripping(HEAD, 1), dripping(OK, 0)])

    async def script(peer: Peer) -> None:
        await next(answers)(peer)

    result, _, server = await fetch(way, script, retry=Retry(attempts=2))

    assert result.content == b"ok"
    assert isinstance(result.history[0].error, asyncbatch.TooSlow)
    assert server.connections == 2


@pytest.mark.parametrize("way", ON_THE_ENGINE)
async def test_without_it_a_drip_goes_on(way: str) -> None:
    """The option is off by default."""
    slow = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", 1)
    result, elapsed, _ = await fetch(way, slow, minimum_rate=None)

    assert len(result.content) == 60
    assert elapsed >= 29


@pytest.mark.parametrize("way", ON_THE_ENGINE)
async def test_a_connection_judges_each_response_anew(way: str) -> None:
    """The second of a connection starts with nothing against it."""

    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.read_request()
            await asyncio.sleep(20)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            for _ in range(9):
                await asyncio.sleep(1)
                await peer.send(b"x")

    async with serve(script) as server, client_for(way) as client:
        with virtual_time():
            async with Fetcher(
                client, minimum_rate=RATE, timeout=None, retry=None, concurrency=1
            ) as fetcher:
                results = await fetcher.fetch_many([server.url] * 3)

    assert [result.content for result in results] == [b"x" * 9] * 3
    assert server.connections == 1


async def test_in_a_batch_each_slow_one_is_cut_and_the_others_go_on(anyio_backend: Any) -> None:
    """Those that keep the rate are none the worse for it."""

    async def script(peer: Peer) -> None:
        while True:
            if b"/slow" in await peer.read_request():
                await peer.send(HEAD + b"x" * 70_000)
                await peer.until_closed()
            await peer.send(OK)

    async with serve(script) as server:
        with virtual_time():
            async with Fetcher(minimum_rate=RATE, timeout=None, retry=None) as fetcher:
                urls = [f"{server.url}{'slow' if n % 10 == 0 else 'fast'}" for n in range(200)]
                results = await fetcher.fetch_many(urls)

    assert {result.index for result in results.failures} == set(range(0, 200, 10))
    for failure in results.failures:
        assert_too_slow(failure)


@pytest.mark.parametrize("way", ON_THE_ENGINE)
async def test_a_tighter_limit_wins(way: str) -> None:
    """The attempt's own limit is reported where it passes first."""
    result, elapsed, _ = await fetch(way, dripping(HEAD, 1), timeout=5)

    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert elapsed == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_it_is_seen_in_the_request(way: str) -> None:
    """What travels to the engine with a request does not stay on it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
        await peer.read_request()
        await peer.send(OK)

    result, _, _ = await fetch(way, script, follow_redirects=True)

    response = result.unwrap()
    hops = [response.request, *(hop.request for hop in response.history)]
    assert [set(request.extensions) for request in hops] == [{"timeout"}] * 2


class DrippingBody(httpx.AsyncByteStream):
    """A byte a second, without end, from a transport that has no sockets."""

    def __init__(self) -> None:
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await anyio.sleep(1)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_any_transport_is_watched_on_any_event_loop(backend: str, anyio_backend: Any) -> None:
    """The body is read by us wherever it comes from, and closed when it is given up."""
    body = DrippingBody()

    async def main() -> asyncbatch.Result:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
        async with Fetcher(
            transport=transport, minimum_rate=RATE, timeout=None, retry=None
        ) as fetcher:
            return await fetcher.fetch("http://127.0.0.1:9/")

    result = run_virtually(backend, main)

    assert_too_slow(result)
    assert 10 <= result.elapsed <= 11
    assert body.is_closed
