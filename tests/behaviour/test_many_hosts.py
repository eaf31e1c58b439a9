"""Many hosts in one batch: each keeps a connection, and none holds up the others."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport, Rate
from asyncbatch.testing import LoopbackServer
from tests.unit.lanes.conftest import AUTHORITY, TRUSTING

HOSTS = 40
TURNS = 5


@pytest.fixture
async def many() -> AsyncIterator[LoopbackServer]:
    """Run a server on many hosts."""
    async with LoopbackServer(hosts=HOSTS) as server:
        yield server


def in_turn(server: LoopbackServer, turns: int = TURNS) -> list[str]:
    """Return URLs that ask every host once, then once more, and so on."""
    return [server.url(f"/{n}", host=h + 1) for n in range(turns) for h in range(HOSTS)]


async def ignore(_: Any) -> None:
    """Stand in for a hook."""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"concurrency": 5},
        {"concurrency": 1},
        {"per_host": 1},
        {"rate": Rate(100, per=1)},
        {"total_rate": Rate(2000, per=1)},
        {"deadline": 30},
        {"retry": None},
        pytest.param({"event_hooks": {"response": [ignore]}}, id="event_hooks"),
    ],
    ids=repr,
)
async def test_every_host_keeps_its_connection(
    many: LoopbackServer, options: dict[str, Any]
) -> None:
    """However few are asked at a time, and whatever they are held up by."""
    async with Fetcher(**{"concurrency": 20, "trust_env": False, **options}) as fetcher:
        results = await fetcher.fetch_many(in_turn(many))

    assert not results.failures
    # One of a host may be under way while the next is read.
    assert many.statistics().connections <= 1.5 * HOSTS


async def test_hosts_keep_their_connections_between_single_fetches(many: LoopbackServer) -> None:
    """A fetcher that lives long serves many hosts, one request at a time."""
    async with Fetcher(trust_env=False, concurrency=3) as fetcher:
        for url in in_turn(many, 2):
            assert (await fetcher.fetch(url)).ok

    assert many.statistics().connections == HOSTS


async def test_a_client_on_our_transport_keeps_them_as_well(many: LoopbackServer) -> None:
    """Without a word about limits."""
    transport = HTTPTransport(trust_env=False)
    async with (
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
        Fetcher(client, concurrency=5) as fetcher,
    ):
        results = await fetcher.fetch_many(in_turn(many))

    assert not results.failures
    assert many.statistics().connections <= 1.5 * HOSTS


async def test_limits_of_the_callers_bound_all_connections(many: LoopbackServer) -> None:
    """A number given by the caller includes the idle ones, as in httpx."""
    limits = httpx.Limits(max_connections=6, max_keepalive_connections=3)
    async with Fetcher(trust_env=False, concurrency=6, limits=limits) as fetcher:
        results = await fetcher.fetch_many(in_turn(many))
        kept = many.statistics().open_connections

    assert not results.failures
    assert kept <= 6
    assert many.statistics().peak_connections <= 6 + 1  # the server learns of a close a turn later


async def test_hosts_keep_their_connections_over_tls() -> None:
    """Where each new one costs a handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = [f"127.0.0.{n}" for n in range(1, HOSTS + 1)]
    AUTHORITY.issue_cert(*names).configure_cert(context)
    async with (
        LoopbackServer(hosts=HOSTS, ssl_context=context) as server,
        Fetcher(verify=TRUSTING, trust_env=False, concurrency=5) as fetcher,
    ):
        results = await fetcher.fetch_many(in_turn(server, 3))
        connections = server.statistics().connections

    assert not results.failures
    assert connections <= 1.5 * HOSTS


async def test_hosts_that_are_asked_once_leave_nothing_behind(many: LoopbackServer) -> None:
    """Neither connections beyond the bound nor anything that is kept for each."""
    limits = httpx.Limits(max_connections=8, max_keepalive_connections=4)
    async with Fetcher(trust_env=False, concurrency=4, limits=limits) as fetcher:
        urls = (many.url("/", host=h % HOSTS + 1) for h in itertools.count())
        results = await fetcher.fetch_many(itertools.islice(urls, 5 * HOSTS))
        counts = fetcher.client._transport.engine.counts()  # type: ignore[attr-defined]

    assert not results.failures
    assert counts["connections"] <= 8
    assert counts["origins"] <= 8
