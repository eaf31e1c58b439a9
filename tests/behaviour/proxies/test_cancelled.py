"""Requests that are cancelled while a proxy opens a tunnel: nothing of them is left."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, FetcherClosed, ProxyPool, Request
from asyncbatch.testing import LoopbackServer
from tests.proxies import Manner, ProxyServer
from tests.unit.lanes.conftest import TRUSTING
from tests.waiting import until

pytestmark = pytest.mark.once

# The scheme of the proxy, whether it asks for a password, and the step at which it says no more.
# `accepted` is its TLS handshake if it has one, `connected` that of the origin in the tunnel.
STEPS = [
    *(("http", False, step) for step in ("accepted", "asked", "within", "connected")),
    *(("https", False, step) for step in ("accepted", "asked", "within", "connected")),
    *(("socks5h", False, step) for step in ("accepted", "asked", "method", "within", "connected")),
    ("socks5", True, "method"),
    ("socks5", True, "within"),
]


@pytest.fixture(params=["direct", "client"])
def lane(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what brings a request into either lane."""

    def sign(request: httpx.Request) -> httpx.Request:
        return request

    return {"auth": sign} if request.param == "client" else {}


def sockets() -> set[str]:
    """Return the sockets that this process has open, those of the proxy's threads included."""
    found: set[str] = set()
    folder = Path("/proc/self/fd")
    if not folder.is_dir():  # not on Linux
        return found
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            target = str(path.readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found


@pytest.mark.parametrize("by", ["cancellation", "closing"])
@pytest.mark.parametrize(("scheme", "has_password", "step"), STEPS)
async def test_what_is_cancelled_within_a_handshake_leaves_nothing(
    scheme: str,
    has_password: bool,
    step: str,
    by: str,
    lane: dict[str, Any],
    proxy: ProxyServer,
    tls_proxy: ProxyServer,
    tls_origin: LoopbackServer,
) -> None:
    """The proxy sees each connection end, and the fetcher serves on."""
    used = tls_proxy if scheme == "https" else proxy
    used.manner = Manner(stalls=step, credentials=("u", "p") if has_password else None)
    url = used.url(scheme, "u:p@")
    options: dict[str, Any] = {"verify": TRUSTING, "retry": None, "trust_env": False, **lane}
    before = sockets()
    async with Fetcher(proxy=url, timeout=60, concurrency=3, **options) as fetcher:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(_fetch, fetcher, tls_origin.url())
            await until(lambda: used.stalled == 3)
            if by == "closing":
                await fetcher.__aexit__(None, None, None)
            tasks.cancel_scope.cancel()

        await until(lambda: used.open_connections == 0)
        used.manner = Manner()
        if by != "closing":
            assert (await fetcher.fetch(tls_origin.url())).ok

    await until(lambda: used.open_connections == 0)
    await until(lambda: sockets() <= before)


async def _fetch(fetcher: Fetcher, url: str) -> None:
    with contextlib.suppress(FetcherClosed):
        await fetcher.fetch(url)


async def test_a_pool_may_be_shared_and_used_after_one_of_its_fetchers_was_closed(
    proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """Each fetcher has an account of its own; what one has cancelled does not count for another."""
    proxy.manner = Manner(stalls="asked")
    pool = ProxyPool([proxy.url()], per_proxy=1)
    options: dict[str, Any] = {
        "proxy": pool,
        "verify": TRUSTING,
        "retry": None,
        "timeout": 60,
    }
    async with Fetcher(**options) as second:
        async with Fetcher(**options) as first, anyio.create_task_group() as tasks:
            for fetcher in (first, second):
                tasks.start_soon(_fetch, fetcher, tls_origin.url())
                tasks.start_soon(_fetch, fetcher, tls_origin.url())
            await until(lambda: proxy.stalled == 2)  # one for each of them
            tasks.cancel_scope.cancel()
        proxy.manner = Manner()
        results = await second.fetch_many([tls_origin.url()] * 3)
    async with Fetcher(**options) as third:
        later = await third.fetch(tls_origin.url())

    assert results.failures == []
    assert later.ok


async def test_a_proxy_of_a_request_is_taken_in_the_clients_lane(
    proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """Where the fetcher's own client sends it; past the pool of the fetcher."""

    def sign(request: httpx.Request) -> httpx.Request:
        return request

    async with Fetcher(
        proxy=["http://127.0.0.1:1"], auth=sign, verify=TRUSTING, retry=None
    ) as fetcher:
        result = await fetcher.fetch(Request(tls_origin.url(), proxy=proxy.url()))

    assert result.ok
    assert len(proxy.heads) == 1
