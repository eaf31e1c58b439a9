"""HTTP/2 inside the tunnel of a proxy, which speaks HTTP/1.1 itself."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from asyncbatch import Fetcher, HTTPTransport
from tests import http2_peer as wire
from tests.http2_server import AUTHORITY as ORIGINS
from tests.http2_server import serve_http2
from tests.proxies import ProxyServer
from tests.unit.lanes.conftest import AUTHORITY

pytestmark = pytest.mark.once

WAYS = ["http", "https", "socks5", "socks5h"]


def trusting() -> ssl.SSLContext:
    """Return a context that trusts the origins here and the proxy with TLS."""
    context = ssl.create_default_context()
    ORIGINS.configure_trust(context)
    AUTHORITY.configure_trust(context)
    return context


@pytest.mark.parametrize("lane", ["direct", "client"])
@pytest.mark.parametrize("way", WAYS)
async def test_requests_share_one_tunnel(
    way: str, lane: str, proxy: ProxyServer, tls_proxy: ProxyServer
) -> None:
    """A hundred at once: what is offered to the proxy by ALPN is HTTP/1.1, to the origin HTTP/2."""
    used = tls_proxy if way == "https" else proxy
    async with serve_http2() as server:
        urls = [f"{server.url}{n}" for n in range(100)]
        options: dict[str, Any] = {"proxy": used.url(way), "verify": trusting(), "http2": True}
        if lane == "direct":
            async with Fetcher(trust_env=False, retry=None, **options) as fetcher:
                results = await fetcher.fetch_many(urls)
        else:
            async with (
                httpx.AsyncClient(transport=HTTPTransport(**options), trust_env=False) as client,
                Fetcher(client=client, retry=None) as fetcher,
            ):
                results = await fetcher.fetch_many(urls)
        accepted = used.accepted

    assert [result.error for result in results] == [None] * 100
    assert [result.text for result in results] == [f"/{n}" for n in range(100)]
    assert {result.response.http_version for result in results.successes} == {"HTTP/2"}
    assert (accepted, server.connections) == (1, 1)
    assert used.targets == [("127.0.0.1", server.raw.port)]


@pytest.mark.parametrize("way", ["http", "https"])
async def test_credentials_for_the_proxy_stay_outside_the_tunnel(
    way: str, proxy: ProxyServer, tls_proxy: ProxyServer
) -> None:
    """Also those of a request: they are no field of HTTP/2."""
    used = tls_proxy if way == "https" else proxy
    used.manner.credentials = ("me", "secret")
    seen: list[tuple[str, str]] = []

    def answer(conversation: Any, stream: int) -> None:
        seen.extend(conversation.peer.requests[stream])
        conversation.respond(stream)

    async with (
        serve_http2(answer) as server,
        Fetcher(
            proxy=used.url(way, "me:secret@"),
            verify=trusting(),
            http2=True,
            trust_env=False,
            retry=None,
            headers={"proxy-authorization": "Basic b3RoZXI="},
        ) as fetcher,
    ):
        result = await fetcher.fetch(server.url)

    assert result.error is None
    assert "proxy-authorization" not in dict(seen)


async def test_a_tunnel_that_ends_is_opened_again(proxy: ProxyServer) -> None:
    """What a leaving server has not begun goes through another one."""

    def answer(conversation: Any, stream: int) -> None:
        conversation.respond(stream, conversation.path(stream).encode())
        if stream == 5:
            conversation.send(conversation.peer.take() + wire.goaway(stream))
            conversation.is_deaf = True

    async with (
        serve_http2(answer, max_streams=2) as server,
        Fetcher(
            proxy=proxy.url(),
            verify=trusting(),
            http2=True,
            trust_env=False,
            retry=None,
            concurrency=2,
        ) as fetcher,
    ):
        results = await fetcher.fetch_many([f"{server.url}{n}" for n in range(20)])

    assert [result.text for result in results] == [f"/{n}" for n in range(20)]
    assert proxy.accepted > 1
