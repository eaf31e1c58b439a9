"""Every way through a proxy on real sockets, in every lane: the answer is the origin's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, HTTPTransport, Request
from asyncbatch.testing import LoopbackServer, Reply
from tests.proxies import Manner, ProxyServer
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.once

WAYS = ["http", "https", "socks5", "socks5h"]


def proxy_for(way: str, proxy: ProxyServer, tls_proxy: ProxyServer) -> ProxyServer:
    return tls_proxy if way == "https" else proxy


async def through(lane: str, proxy: Any, urls: list[str]) -> list[asyncbatch.Result]:
    """Fetch by one of the ways that the same request can take in this library."""
    options: dict[str, Any] = {"verify": TRUSTING, "retry": None, "trust_env": False}
    if lane == "per fetcher":
        async with Fetcher(proxy=proxy, **options) as fetcher:
            return list(await fetcher.fetch_many(urls))
    if lane == "per request":
        async with Fetcher(**options) as fetcher:
            return list(await fetcher.fetch_many([Request(url, proxy=proxy) for url in urls]))
    if lane == "mounted":
        mounts = {"all://": HTTPTransport(proxy=proxy, verify=TRUSTING)}
        async with Fetcher(mounts=mounts, **options) as fetcher:
            return list(await fetcher.fetch_many(urls))
    transport = HTTPTransport(proxy=proxy, verify=TRUSTING)
    async with (
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
        Fetcher(client=client, retry=None) as fetcher,
    ):
        return list(await fetcher.fetch_many(urls))


LANES = ["per fetcher", "per request", "mounted", "client"]


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_answers_come_through_each_kind_of_proxy(
    way: str,
    is_tls: bool,
    lane: str,
    proxy: ProxyServer,
    tls_proxy: ProxyServer,
    origin: LoopbackServer,
    tls_origin: LoopbackServer,
) -> None:
    """On kept connections, byte by byte replies and all; nothing goes another way."""
    server, used = tls_origin if is_tls else origin, proxy_for(way, proxy, tls_proxy)
    used.manner.in_pieces = True
    urls = [server.url(f"/{number}") for number in range(3)]

    results = await through(lane, used.url(way), urls)

    assert [result.error for result in results] == [None] * 3
    assert [result.content for result in results] == [b"ok"] * 3
    assert sorted(request.target for request in server.requests) == ["/0", "/1", "/2"]
    assert used.accepted <= 3
    if way in ("http", "https") and not is_tls:
        assert sorted(head.split()[1].decode() for head in used.heads) == urls
    else:
        assert set(used.targets) == {("127.0.0.1", server.port)}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_credentials_let_in_and_reach_no_origin(
    way: str,
    is_tls: bool,
    lane: str,
    proxy: ProxyServer,
    tls_proxy: ProxyServer,
    origin: LoopbackServer,
    tls_origin: LoopbackServer,
) -> None:
    """They are percent-decoded from the URL; the origin sees none of it, nor does the result."""
    server, used = tls_origin if is_tls else origin, proxy_for(way, proxy, tls_proxy)
    used.manner = Manner(credentials=("us/er", "s3cr3t"))

    (result,) = await through(lane, used.url(way, "us%2Fer:s3cr3t@"), [server.url()])

    assert result.error is None
    (received,) = server.requests
    assert "proxy-authorization" not in received.headers
    assert "proxy-authorization" not in result.response.request.headers
    assert "s3cr3t" not in repr(result)


@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize("own", [True, False])
async def test_redirects_go_the_way_of_their_request(
    own: bool, hook: bool, proxy: ProxyServer
) -> None:
    """In the direct lane and in the client's; nothing for the proxy reaches either origin."""
    proxy.manner = Manner(credentials=("user", "s3cr3t"))
    url = proxy.url(userinfo="user:s3cr3t@")
    async with LoopbackServer(hosts=2, default=Reply(body=b"ok")) as origins:
        target = origins.url("/to", host=2)
        origins.on("/from", Reply(status=302, headers={"Location": target}))

        async def note(response: httpx.Response) -> None:
            return None

        hooks = {"response": [note]} if hook else {}
        options: dict[str, Any] = {} if own else {"proxy": url}
        async with Fetcher(
            retry=None, trust_env=False, event_hooks=hooks, auth=("a", "b"), **options
        ) as fetcher:
            request = Request(origins.url("/from"), **({"proxy": url} if own else {}))
            result = await fetcher.fetch(request)

    assert result.content == b"ok"
    targets = [head.split()[1].decode() for head in proxy.heads]
    assert targets == [origins.url("/from"), target]
    first, second = origins.requests
    assert "authorization" in first.headers
    assert "authorization" not in second.headers
    for received in (first, second):
        assert not [name for name in received.headers if name.lower().startswith("proxy")]


async def test_a_request_goes_directly_if_it_says_so(
    proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """Past the proxy of its fetcher, and only that one."""
    async with Fetcher(proxy=proxy.url(), retry=None) as fetcher:
        direct = await fetcher.fetch(Request(origin.url("/a"), proxy=None))
        other = await fetcher.fetch(origin.url("/b"))

    assert direct.ok
    assert other.ok
    assert [head.split()[1].decode() for head in proxy.heads] == [origin.url("/b")]


async def test_connections_are_kept_by_route_and_origin(
    proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """One for each of two ways to the same origin, whatever the order."""
    ways = [None, proxy.url(), None, proxy.url("socks5"), proxy.url(), proxy.url("socks5")]
    async with Fetcher(retry=None, trust_env=False) as fetcher:
        for way in ways:
            assert (await fetcher.fetch(Request(origin.url(), proxy=way))).ok

    assert proxy.accepted == 2
