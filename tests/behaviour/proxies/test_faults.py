"""What a proxy does wrong, on real sockets: whose fault it is, and what it costs the host."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply
from tests.proxies import DENIED, EVIL, Manner, ProxyServer
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.once

ONCE: dict[str, Any] = {"retry": None, "trust_env": False, "verify": TRUSTING, "timeout": 20}

# The scheme of the proxy, whether the origin has TLS, and what the proxy does.
FAULTS: dict[str, tuple[str, bool, Manner]] = {
    "closes when it has accepted": ("http", False, Manner(dies="accepted")),
    "closes a tunnel when it has accepted": ("http", True, Manner(dies="accepted")),
    "closes when it is asked": ("http", False, Manner(dies="asked")),
    "closes when it is asked for a tunnel": ("http", True, Manner(dies="asked")),
    "closes within its reply": ("http", True, Manner(dies="within")),
    "closes when it is greeted": ("socks5", False, Manner(dies="asked")),
    "closes behind the method": ("socks5h", False, Manner(dies="method")),
    "closes within the reply of SOCKS": ("socks5h", False, Manner(dies="within")),
    "answers for the origin": ("http", True, Manner(reply=EVIL)),
    "speaks in a tunnel": ("http", True, Manner(behind=EVIL)),
    "speaks in a tunnel of SOCKS": ("socks5h", True, Manner(behind=EVIL)),
    "speaks in a plain tunnel": ("socks5h", False, Manner(behind=EVIL)),
    "refuses": ("http", True, Manner(reply=b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nEVIL")),
    "redirects": ("http", True, Manner(reply=b"HTTP/1.1 302 Go\r\nLocation: http://a/\r\n\r\n")),
    "speaks SSH": ("http", True, Manner(reply=b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "speaks SOCKS4": ("socks5", False, Manner(reply=b"\x04\x5a" + bytes(6))),
    "refuses by SOCKS": ("socks5", False, Manner(reply=b"\x05\x02\x00\x01" + bytes(6))),
    "has no route by SOCKS": ("socks5h", True, Manner(reply=b"\x05\x03\x00\x01" + bytes(6))),
    "wants a password": ("http", False, Manner(credentials=("a", "b"))),
    "wants a password for a tunnel": ("http", True, Manner(credentials=("a", "b"))),
    "wants a password by SOCKS": ("socks5h", False, Manner(credentials=("a", "b"))),
}


@pytest.fixture(params=["direct", "hooked", "client"])
def hooks(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what brings a request into each of the lanes."""

    def sign(request: httpx.Request) -> httpx.Request:
        return request

    async def note(request: httpx.Request) -> None:
        return None

    ways = {"hooked": {"event_hooks": {"request": [note]}}, "client": {"auth": sign}}
    return ways.get(request.param, {})


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_proxys_is_its_own(
    name: str,
    hooks: dict[str, Any],
    proxy: ProxyServer,
    origin: LoopbackServer,
    tls_origin: LoopbackServer,
) -> None:
    """Of kind `proxy`, with its name and no password; nothing that it sent is in the result."""
    scheme, is_tls, proxy.manner = FAULTS[name]
    url = proxy.url(scheme, "u:s3cr3t@")
    server = tls_origin if is_tls else origin
    async with Fetcher(proxy=url, **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(server.url())
        hosts = fetcher.statistics().by_host

    assert result.kind == "proxy"
    assert isinstance(result.error, asyncbatch.ProxyError)
    assert isinstance(result.error, httpx.ProxyError)
    assert result.error.proxy == proxy.url(scheme)
    assert proxy.url(scheme) in str(result.error)
    assert "s3cr3t" not in repr(result) + str(result.error) + repr(result.error.__cause__)
    assert result.status_code in (None, 407)
    assert b"EVIL" not in result.content or result.status_code == 407
    assert not hosts  # neither paused nor given up
    assert len(server.requests) == 0


async def test_one_that_is_not_there_is_told(hooks: dict[str, Any], origin: LoopbackServer) -> None:
    """In a moment, as a refused connect is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for scheme in ("http", "socks5", "socks5h", "https"):
        url = f"{scheme}://127.0.0.1:{port}"
        async with Fetcher(proxy=url, **ONCE, **hooks) as fetcher:
            result = await fetcher.fetch(origin.url())

        assert result.kind == "proxy"
        assert url in str(result.error)


async def test_one_whose_name_is_unknown_is_told(
    hooks: dict[str, Any], origin: LoopbackServer
) -> None:
    """It is not the origin's name that is unknown."""
    async with Fetcher(proxy="http://proxy.invalid:3128", **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert result.kind == "proxy"


async def test_a_certificate_that_is_not_trusted_is_the_proxys(
    hooks: dict[str, Any], tls_proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """Where it is the one that it shows itself."""
    options = {**ONCE, "verify": True}
    async with Fetcher(proxy=tls_proxy.url("https"), **options, **hooks) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert result.kind == "proxy"
    assert "certificate" in str(result.error)


async def test_a_certificate_behind_a_tunnel_is_the_origins(
    hooks: dict[str, Any], proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """Behind an open tunnel the origin is meant."""
    options = {**ONCE, "verify": True}
    async with Fetcher(proxy=proxy.url(), **options, **hooks) as fetcher:
        result = await fetcher.fetch(tls_origin.url())

    assert result.kind == "tls"


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_an_end_behind_a_tunnel_is_the_origins(
    scheme: str, hooks: dict[str, Any], proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """Nobody can tell who has ended it."""
    proxy.manner = Manner(dies="connected")
    async with Fetcher(proxy=proxy.url(scheme), **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(tls_origin.url())

    assert result.kind == "tls"


async def test_an_error_page_that_is_forwarded_is_an_answer(
    hooks: dict[str, Any], proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """The origin's, for all that can be told: the status counts."""
    proxy.manner = Manner(reply=b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\npage")
    async with Fetcher(proxy=proxy.url(), **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert (result.kind, result.status_code, result.content) == ("status", 503, b"page")


async def test_a_forwarded_answer_that_breaks_off_is_truncated(
    hooks: dict[str, Any], proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """In an answer the origin is meant."""
    proxy.manner = Manner(dies="answering")
    async with Fetcher(proxy=proxy.url(), **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert result.kind == "truncated"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_proxy_that_wants_other_credentials_is_asked_once(
    is_tls: bool,
    hooks: dict[str, Any],
    proxy: ProxyServer,
    origin: LoopbackServer,
    tls_origin: LoopbackServer,
) -> None:
    """Whatever the retry policy says: asking again is of no use."""
    proxy.manner = Manner(reply=DENIED)
    options = {**ONCE, "retry": Retry(attempts=5, backoff=0)}
    async with Fetcher(proxy=proxy.url(), **options, **hooks) as fetcher:
        result = await fetcher.fetch((tls_origin if is_tls else origin).url())

    assert isinstance(result.error, asyncbatch.ProxyError)
    assert result.error.status_code == 407
    assert result.attempts == 1
    assert len(proxy.heads) == 1


async def test_407_behind_a_tunnel_is_the_origins(
    hooks: dict[str, Any], proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """It cannot have come from the proxy."""
    tls_origin.on("/", Reply(status=407))
    async with Fetcher(proxy=proxy.url(), **ONCE, **hooks) as fetcher:
        result = await fetcher.fetch(tls_origin.url("/"))

    assert (result.kind, result.status_code) == ("status", 407)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_has_not_been_sent_is_tried_again(
    method: str, hooks: dict[str, Any], proxy: ProxyServer, tls_origin: LoopbackServer
) -> None:
    """Whatever its method; and it costs the budget of the host nothing."""
    proxy.manner = Manner(dies="asked")
    retry = Retry(attempts=60, backoff=0, budget=0.01)
    options = {**ONCE, "retry": retry, "give_up_host_after": 2}
    async with Fetcher(proxy=proxy.url(), **options, **hooks) as fetcher:
        result = await fetcher.fetch(Request(tls_origin.url(), method))

    assert result.kind == "proxy"
    assert result.attempts == 60


async def test_what_may_have_been_done_is_not(
    hooks: dict[str, Any], proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """A proxy that takes a POST and says nothing may have forwarded it."""
    proxy.manner = Manner(dies="asked")
    options = {**ONCE, "retry": Retry(attempts=5, backoff=0)}
    async with Fetcher(proxy=proxy.url(), **options, **hooks) as fetcher:
        result = await fetcher.fetch(Request(origin.url(), "POST"))

    assert (result.kind, result.attempts) == ("proxy", 1)


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the authority of a proxy that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
async def test_one_that_says_nothing_is_no_fault_of_the_host(
    scheme: str, hooks: dict[str, Any], silent: str, tls_origin: LoopbackServer
) -> None:
    """It is a timeout, by the limit on connecting as by that on the whole, and blames nobody."""
    for limits in ({"timeout": 0.1}, {"timeout": 20, "connect_timeout": 0.1}):
        options = {**ONCE, **limits, "give_up_host_after": 1}
        async with Fetcher(proxy=f"{scheme}://{silent}", **options, **hooks) as fetcher:
            results = await fetcher.fetch_many([tls_origin.url()] * 3)
            hosts = fetcher.statistics().by_host

        assert [result.kind for result in results] == ["timeout"] * 3
        assert not hosts


async def test_a_proxy_of_a_request_needs_a_transport_of_ours(
    proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """Another one would go its own way, and nobody would know."""
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        Fetcher(client=client, retry=None) as fetcher,
    ):
        result = await fetcher.fetch(Request(origin.url(), proxy=proxy.url()))

    assert result.kind == "invalid_request"
    assert "HTTPTransport" in str(result.error)
    assert origin.requests == ()
