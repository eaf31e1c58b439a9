"""HTTP/2, by the engine and by httpcore: requests that time out, and servers that leave."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

import asyncbatch
from asyncbatch import FailureKind, Request
from asyncbatch.testing import FakeClock

pytest.importorskip("h2")
pytest.importorskip("ngh2")
h2: Any = importlib.import_module("h2")
for _name in ("config", "connection", "events", "settings"):
    importlib.import_module(f"h2.{_name}")

T = TypeVar("T")
BODY = b"well"


class Server(asyncio.Protocol):
    """
    One connection: `/hang` is not answered, `/slow` after three seconds, all others at once.

    It lets so many streams be open at a time, and goes away after so many requests.
    """

    connections = 0

    def __init__(self, streams: int, lasts: int | None) -> None:
        self._streams = streams
        self._left = lasts
        self._transport: Any = None
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))

    def connection_made(self, transport: Any) -> None:
        type(self).connections += 1
        self._transport = transport
        limit = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._streams}
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values=limit)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._left == 0:
            return
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived) and self._left != 0:
                self._serve(event)
        self._flush()

    def _serve(self, event: Any) -> None:
        path = dict(event.headers)[b":path"]
        if self._left is not None:
            self._left -= 1
        if path == b"/hang":
            return
        if path == b"/slow":
            asyncio.get_running_loop().call_later(3, self._answer, event.stream_id)
            return
        self._answer(event.stream_id)
        if self._left == 0:
            # As nginx does: it says so, and closes when the answers are out.
            self._h2.close_connection(last_stream_id=event.stream_id)
            asyncio.get_running_loop().call_later(0.1, self._transport.close)

    def _answer(self, stream: int) -> None:
        self._h2.send_headers(stream, [(":status", "200"), ("content-length", str(len(BODY)))])
        self._h2.send_data(stream, BODY, end_stream=True)
        self._flush()

    def _flush(self) -> None:
        self._transport.write(self._h2.data_to_send())


@contextlib.asynccontextmanager
async def serving(streams: int = 100, lasts: int | None = None) -> AsyncIterator[str]:
    """Serve HTTP/2 without TLS, and yield where."""
    Server.connections = 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(streams, lasts), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def fetching(client: str, **options: Any) -> AsyncIterator[asyncbatch.Fetcher]:
    """Make a fetcher over HTTP/2, on our transport or on a client of the caller's."""
    settings: dict[str, Any] = {"http1": False, "http2": True, "trust_env": False}
    if client == "own":
        async with asyncbatch.Fetcher(**settings, **options) as fetcher:
            yield fetcher
        return
    library = pytest.importorskip(client)
    async with (
        library.AsyncClient(**settings) as own,
        asyncbatch.Fetcher(own, **options) as fetcher,
    ):
        yield fetcher


def virtually(main: Callable[[], Awaitable[T]]) -> T:
    async def under_a_clock() -> T:
        with FakeClock():
            return await main()

    return asyncio.run(under_a_clock())


@pytest.fixture(params=["own", "httpx", "httpx2"])
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_requests_behind_timed_out_ones_are_served(client: str) -> None:
    """By the same connection; with httpcore by another one, since it counts those given up."""

    async def main() -> tuple[asyncbatch.Results, asyncbatch.Results]:
        async with (
            serving(streams=5) as url,
            fetching(client, give_up_host_after=None, timeout=10) as fetcher,
        ):
            await fetcher.fetch_many([f"{url}/"] * 10)
            hung = await fetcher.fetch_many([Request(f"{url}/hang", timeout=1)] * 12)
            return hung, await fetcher.fetch_many([f"{url}/{n}" for n in range(40)])

    hung, good = virtually(main)

    assert {result.kind for result in hung} <= {FailureKind.timeout, FailureKind.protocol}
    assert {result.content for result in good} == {BODY}


def test_who_is_under_way_on_such_a_connection_is_served_to_the_end(client: str) -> None:
    """Only with httpcore, new requests go elsewhere."""

    async def main() -> tuple[asyncbatch.Results, asyncbatch.Result, int]:
        async with (
            serving() as url,
            fetching(client, retry=None, give_up_host_after=None) as fetcher,
        ):
            await fetcher.fetch(f"{url}/")
            both = await fetcher.fetch_many(
                [f"{url}/slow", Request(f"{url}/hang", timeout=1)], batch_timeout=20
            )
            return both, await fetcher.fetch(f"{url}/"), Server.connections

    (slow, hung), after, connections = virtually(main)

    assert (slow.content, slow.elapsed) == (BODY, pytest.approx(3, abs=0.5))
    assert hung.kind == FailureKind.timeout
    assert after.content == BODY
    assert connections == (1 if client == "own" else 2)


def test_a_connection_that_is_told_to_go_away_costs_a_try_at_most(client: str) -> None:
    """And is no matter of the request."""

    async def main() -> asyncbatch.Results:
        retry = asyncbatch.Retry(attempts=8, backoff=0.1, budget=None)
        async with (
            serving(lasts=10) as url,
            fetching(client, concurrency=5, retry=retry, give_up_host_after=None) as fetcher,
        ):
            return await fetcher.fetch_many([f"{url}/{n}" for n in range(200)])

    results = virtually(main)

    kinds = {result.kind for result in results.failures}
    assert FailureKind.invalid_request not in kinds
    assert len(results.successes) == 200


def test_a_header_that_http2_forbids_is_an_invalid_request() -> None:
    """The mistake is the caller's, and another connection would say the same."""

    async def main() -> asyncbatch.Result:
        async with serving() as url, fetching("own") as fetcher:
            return await fetcher.fetch(Request(f"{url}/", headers={"te": "gzip"}))

    result = virtually(main)

    assert (result.kind, result.attempts) == (FailureKind.invalid_request, 1)
