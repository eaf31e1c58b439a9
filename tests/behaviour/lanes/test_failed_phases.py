"""The phases of attempts that failed: the same, whichever lane they took."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind
from asyncbatch.testing import FakeClock, LoopbackServer, Reply
from tests.raw_server import Peer, serve
from tests.served import lanes_of
from tests.transports import SLACK
from tests.unit.engine.connect.test_host_connector import silent_port


@contextlib.asynccontextmanager
async def fetcher_for(lane: str, **options: Any) -> AsyncIterator[asyncbatch.Fetcher]:
    settings = {"retry": None, **options}
    if lane == "stock":
        phases = httpx.Timeout(5, connect=options.get("connect_timeout", 5))
        async with (
            httpx.AsyncClient(trust_env=False, timeout=phases) as client,
            asyncbatch.Fetcher(client, **settings) as fetcher,
        ):
            yield fetcher
        return
    if lane == "client":
        # One that does nothing: that there is an authentication flow takes requests there.
        settings["auth"] = httpx.Auth()
    async with asyncbatch.Fetcher(trust_env=False, **settings) as fetcher:
        lanes = lanes_of(fetcher)
        yield fetcher
        assert set(lanes) <= {lane}


def phases(result: asyncbatch.Result) -> list[str]:
    return [name for name, seconds in result.timing.phases() if seconds is not None]


@contextlib.asynccontextmanager
async def hanging_up() -> AsyncIterator[int]:
    """Take connections, read what comes, and close them."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serve(script) as server:
        yield server.port


@pytest.fixture(params=["direct", "client", "stock"])
def lane(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_a_handshake_that_failed_has_taken_its_time(lane: str) -> None:
    """And so has the connect before it."""
    async with hanging_up() as port, fetcher_for(lane) as fetcher:
        result = await fetcher.fetch(f"https://127.0.0.1:{port}/")

    assert result.kind == FailureKind.tls
    assert phases(result) == ["connect", "tls"]
    assert result.timing.tls


async def test_a_refused_connect_has_taken_its_time(lane: str) -> None:
    """And there was no handshake."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with fetcher_for(lane) as fetcher:
            result = await fetcher.fetch(f"https://127.0.0.1:{sock.getsockname()[1]}/")

    assert result.kind == FailureKind.connect
    assert phases(result) == ["connect"]


@pytest.mark.parametrize("limit", ["connect_timeout", "timeout"])
async def test_a_connect_that_was_not_answered_has_taken_its_time(lane: str, limit: str) -> None:
    """Whichever limit cut it off."""
    with silent_port() as port:
        async with fetcher_for(lane, **{limit: 0.05}) as fetcher:
            result = await fetcher.fetch(f"http://127.0.0.1:{port}/")

    assert result.kind == FailureKind.timeout
    assert phases(result) == ["connect"]
    assert result.timing.connect


@contextlib.contextmanager
def unknown_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in ("name.test", b"name.test"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original(host, *args, **kwargs)

    original = socket.getaddrinfo
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield


async def test_a_name_that_is_unknown_was_looked_up_and_no_more(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has been connected to."""
    with unknown_names(monkeypatch):
        async with fetcher_for(lane) as fetcher:
            result = await fetcher.fetch("http://name.test/")

    assert result.kind == FailureKind.dns
    assert phases(result) == ["dns"]


@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_the_look_up_before_a_failure_is_told_apart(lane: str) -> None:
    """By the engine, which looks names up itself."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with fetcher_for(lane) as fetcher:
            result = await fetcher.fetch(f"http://localhost:{sock.getsockname()[1]}/")

    assert result.kind == FailureKind.connect
    assert phases(result) == ["dns", "connect"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_is_cut_off_by_time_was_received_until_then(
    lane: str, framing: Any, server: LoopbackServer
) -> None:
    """Its phase does not end of itself."""
    server.on("/", Reply(body=b"x" * 100, framing=framing).hang(body=10))

    async with fetcher_for(lane, timeout=0.2) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.kind == FailureKind.timeout
    assert phases(result) == ["connect", "send", "wait", "receive"]
    assert result.timing.receive


async def wait_in_a_pool(**options: Any) -> asyncbatch.Result:
    """Fetch through a client whose one connection is in use for the first ten seconds."""
    limits = httpx.Limits(max_connections=1)
    async with LoopbackServer() as server:
        server.on("/slow", Reply().delayed(10))
        server.on("/", Reply().delayed(1))
        async with (
            httpx.AsyncClient(limits=limits, trust_env=False, timeout=None) as client,
            asyncbatch.Fetcher(client, retry=None, **options) as fetcher,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.get, server.url("/slow"))
            await server.wait_until(lambda seen: seen.active == 1)
            return await fetcher.fetch(server.url("/"))


def virtually(main: Any) -> asyncbatch.Result:
    async def under_a_clock() -> asyncbatch.Result:
        with FakeClock():
            result: asyncbatch.Result = await main()
            return result

    return asyncio.run(under_a_clock())


@pytest.mark.parametrize("timeout", [2.0, 10.5, None])
def test_waiting_in_a_pool_that_is_not_ours_counts_as_queued(timeout: float | None) -> None:
    """Not as the server's time, nor against `timeout`; and it costs no attempt."""
    result = virtually(lambda: wait_in_a_pool(timeout=timeout))

    assert result.ok
    assert result.attempts == 1
    assert result.timing.queued == pytest.approx(10, abs=2)
    assert result.timing.wait == pytest.approx(1, abs=SLACK)
    network = sum(seconds for _, seconds in result.timing.phases())
    assert network == pytest.approx(1, abs=SLACK)


def test_waiting_in_a_pool_counts_against_the_deadline() -> None:
    """Which is for all of it."""
    result = virtually(lambda: wait_in_a_pool(timeout=2, deadline=5))

    assert isinstance(result.error, asyncbatch.DeadlineExceeded)
    assert result.elapsed == pytest.approx(5, abs=SLACK)
