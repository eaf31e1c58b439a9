"""Several proxies for one fetcher, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, ProxyPool, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply
from tests.proxies import DENIED, Manner, ProxyServer

pytestmark = pytest.mark.once

ONCE: dict[str, Any] = {"retry": None, "timeout": 20}


@pytest.fixture
def proxies() -> Iterator[list[ProxyServer]]:
    """Run three proxies."""
    with ProxyServer() as first, ProxyServer() as second, ProxyServer() as third:
        yield [first, second, third]


@pytest.fixture
def dead() -> str:
    """Return the URL of a proxy that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def urls_of(proxies: list[ProxyServer]) -> list[str]:
    return [proxy.url() for proxy in proxies]


@pytest.fixture(params=["direct", "hooked", "client"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return options by which requests take one lane or the other."""

    def sign(request: httpx.Request) -> httpx.Request:
        return request

    async def note(request: httpx.Request) -> None:
        return None

    ways = {"hooked": {"event_hooks": {"request": [note]}}, "client": {"auth": sign}}
    return ways.get(request.param, {})


async def test_a_list_is_a_round_robin(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """Whatever the environment says; a request that names its own way is not counted."""
    async with Fetcher(proxy=urls_of(proxies), **ONCE, **options) as fetcher:
        results = await fetcher.fetch_many([origin.url()] * 9)
        own = await fetcher.fetch(Request(origin.url(), proxy=None))
        one = await fetcher.fetch(origin.url())

    assert results.failures == []
    assert own.ok
    assert one.ok
    assert [len(proxy.heads) for proxy in proxies] == [4, 3, 3]


async def test_no_more_are_in_flight_than_may_be(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """What waits for a proxy waits in the queue, while each has as many as it may."""
    pool = ProxyPool(urls_of(proxies[:2]), per_proxy=2)
    async with Fetcher(proxy=pool, concurrency=20, **ONCE, **options) as fetcher:
        results = await fetcher.fetch_many([origin.url()] * 40)

    assert results.failures == []
    assert sum(len(proxy.heads) for proxy in proxies[:2]) == 40
    # The first four go to both. Of the others, a busy proxy may get only a few.
    assert min(len(proxy.heads) for proxy in proxies[:2]) >= 2
    assert max(proxy.accepted for proxy in proxies) <= 2


async def test_bad_ones_rest_and_nothing_is_lost(
    options: dict[str, Any], proxies: list[ProxyServer], dead: str, origin: LoopbackServer
) -> None:
    """Retries go through others, at no cost to the host's budget."""
    retry = Retry(attempts=10, backoff=0, budget=0.01)
    pool = [dead, *urls_of(proxies[:1])]
    async with Fetcher(
        proxy=pool, retry=retry, timeout=20, concurrency=4, give_up_host_after=2, **options
    ) as fetcher:
        results = await fetcher.fetch_many([origin.url()] * 60)

    assert results.failures == []
    assert len(proxies[0].heads) == 60
    assert sum(result.attempts - 1 for result in results) <= 12


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_one_that_wants_other_credentials_is_not_asked_again(
    method: str, options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """But the next one is, whatever the method: nothing has been done."""
    proxies[0].manner = Manner(reply=DENIED)
    retry = Retry(attempts=3, backoff=0)
    async with Fetcher(proxy=urls_of(proxies[:2]), retry=retry, **options) as fetcher:
        results = [await fetcher.fetch(Request(origin.url(), method)) for _ in range(4)]

    assert [result.ok for result in results] == [True] * 4
    assert len(proxies[0].heads) == 1


async def test_a_429_rests_the_proxy_and_not_the_host(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """The limit is that of one address."""
    proxies[0].manner = Manner(
        reply=b"HTTP/1.1 429 Slow\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n"
    )
    retry = Retry(attempts=3, backoff=0)
    async with Fetcher(proxy=urls_of(proxies[:2]), retry=retry, **options) as fetcher:
        results = [await fetcher.fetch(origin.url()) for _ in range(4)]
        hosts = fetcher.statistics().by_host

    assert [result.ok for result in results] == [True] * 4
    assert len(proxies[0].heads) == 1
    assert not hosts


async def test_with_none_left_requests_fail_at_once(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """Of kind `proxy`; nothing waits for the end of a rest."""
    for proxy in proxies:
        proxy.manner = Manner(reply=DENIED)
    retry = Retry(attempts=9, backoff=0)
    async with Fetcher(
        proxy=ProxyPool(urls_of(proxies), per_proxy=1), retry=retry, timeout=20, **options
    ) as fetcher:
        results = await fetcher.fetch_many([origin.url()] * 20)

    assert {result.kind for result in results} == {"proxy"}
    assert "no proxy is left" in str(results[-1].error)
    assert [len(proxy.heads) for proxy in proxies] == [1, 1, 1]
    assert origin.requests == ()


async def test_sticky_keeps_a_host_to_its_proxy(
    options: dict[str, Any], proxies: list[ProxyServer]
) -> None:
    """Each host to one."""
    async with LoopbackServer(hosts=4, default=Reply(body=b"ok")) as origins:
        urls = [origins.url(host=number % 4 + 1) for number in range(24)]
        pool = ProxyPool(urls_of(proxies), choose="sticky")
        async with Fetcher(proxy=pool, **ONCE, **options) as fetcher:
            results = await fetcher.fetch_many(urls)

    assert results.failures == []
    hosts = [{head.split()[1].split(b"/")[2] for head in proxy.heads} for proxy in proxies]
    assert sum(map(len, hosts)) == 4


async def test_a_key_that_raises_is_the_callers(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """And nobody else's failure."""

    def key(request: Request) -> str:
        raise LookupError(request.tag)

    pool = ProxyPool(urls_of(proxies), choose="sticky", key=key)
    async with Fetcher(proxy=pool, **ONCE, **options) as fetcher:
        result = await fetcher.fetch(Request(origin.url(), tag="mine"))

    assert result.kind == "callback"
    assert isinstance(result.error, LookupError)


async def test_a_deadline_ends_the_wait_for_a_proxy(
    options: dict[str, Any], proxies: list[ProxyServer], origin: LoopbackServer
) -> None:
    """The one in flight goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        pool = ProxyPool([silent], per_proxy=1)
        async with Fetcher(proxy=pool, retry=None, timeout=0.4, **options) as fetcher:
            results = await fetcher.fetch_many([origin.url(), Request(origin.url(), deadline=0.1)])

    assert [result.kind for result in results] == ["timeout", "timeout"]
    assert "deadline" in str(results[1].error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxy": []}, "at least one proxy"),
        ({"proxy": ["http://a.test"], "transport": httpx.MockTransport(print)}, "drop transport"),
        ({"proxy": ["http://a.test"], "addresses": "public"}, "addresses"),
        ({"proxy": ["ftp://me:s3cr3t@a.test"]}, "begins with http://"),
    ],
)
def test_what_cannot_be_is_told_at_once(options: dict[str, Any], message: str) -> None:
    """With the cure, and without a password."""
    with pytest.raises(ValueError, match=message) as caught:
        Fetcher(**options)

    assert "s3cr3t" not in str(caught.value)
