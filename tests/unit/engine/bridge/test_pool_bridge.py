"""The engine in the place of httpcore's pool: what it is handed, and what it leaves to httpcore."""

from __future__ import annotations

import ssl
from typing import Any

import httpcore
import httpx
import pytest
import trustme

from asyncbatch import HTTPTransport
from asyncbatch._engine import (
    AddressRefused,
    ConnectFailed,
    EngineClosed,
    HandshakeFailed,
    ResolveFailed,
    SentTooSlowly,
    TimedOut,
    is_stock_pool,
    is_untouched,
)
from asyncbatch._engine.bridge import _pool_bridge
from asyncbatch._engine.bridge._pool_bridge import (
    EXCHANGE_EXTENSION,
    MINIMUM_RATE_EXTENSION,
    PROXY_EXTENSION,
    REPLAY_EXTENSION,
    NetworkStream,
)
from asyncbatch._engine.http11 import (
    ExchangeError,
    InvalidRequest,
    ProtocolError,
    TruncatedResponse,
)
from asyncbatch._runtime._threads import NoThreads
from asyncbatch._values._proxy import Proxy
from tests.raw_server import OK, Peer, answer_all, serve


@pytest.fixture
async def pool() -> Any:
    """Return what is in the place of httpcore's pool."""
    async with HTTPTransport() as transport:
        yield transport._pool


async def post(pool: Any, url: str, headers: Any, content: Any, **extensions: Any) -> Any:
    """Send a POST by httpcore's own terms, and read the response."""
    if isinstance(content, bytes):
        content = httpx.ByteStream(content)
    request = httpcore.Request("POST", url, headers=headers, content=content, extensions=extensions)
    response = await pool.handle_async_request(request)
    body = b"".join([piece async for piece in response.stream])
    return response, body


def reset() -> TruncatedResponse:
    error = TruncatedResponse("reset", received=False)
    error.__cause__ = ConnectionResetError()
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ResolveFailed("x"), "ConnectError"),
        (ConnectFailed("x"), "ConnectError"),
        (HandshakeFailed("x"), "ConnectError"),
        (AddressRefused("x"), "ConnectError"),
        (InvalidRequest("x"), "LocalProtocolError"),
        (ProtocolError("x"), "RemoteProtocolError"),
        (TruncatedResponse("x", received=False), "RemoteProtocolError"),
        (reset(), "ReadError"),
        (EngineClosed("x"), "ReadError"),
        (TimedOut("pool"), "PoolTimeout"),
        (TimedOut("connect"), "ConnectTimeout"),
        (TimedOut("write"), "WriteTimeout"),
        (TimedOut("read"), "ReadTimeout"),
        (TimedOut("total"), "ReadTimeout"),
        (SentTooSlowly(5.0), "ReadTimeout"),
    ],
)
def test_each_error_has_httpcores_type(error: ExchangeError, name: str) -> None:
    """And its own words."""
    pool: Any = HTTPTransport()._pool
    core_error = pool.as_core_error(error)

    assert type(core_error) is getattr(httpcore, name)
    assert str(core_error) == str(error)


async def test_a_body_must_have_the_length_that_the_fields_declare(pool: Any) -> None:
    """Or the rest would be the next request."""
    async with serve(answer_all) as server:
        fields = [("Host", "x"), ("Content-Length", "5")]
        response, body = await post(pool, server.url, fields, b"12345")
        assert (response.status, body) == (200, b"ok")
        with pytest.raises(httpcore.LocalProtocolError, match="4 bytes"):
            await post(pool, server.url, fields, b"1234")

    assert len(server.requests) == 1


async def test_a_body_in_memory_is_chunked_where_the_fields_say_so(pool: Any) -> None:
    """In one chunk."""
    async with serve(answer_all) as server:
        await post(pool, server.url, [("Host", "x"), ("Transfer-Encoding", "chunked")], b"body")

    assert server.requests[0].endswith(b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n")


@pytest.mark.parametrize("framing", [("Content-Length", "4"), ("Transfer-Encoding", "chunked")])
async def test_a_body_of_pieces_is_sent_as_they_come(pool: Any, framing: Any) -> None:
    """By its length, or in a chunk for each."""

    async def pieces() -> Any:
        yield b"bo"
        yield b"dy"

    async with serve(answer_all) as server:
        await post(pool, server.url, [("Host", "x"), framing], pieces())

    tail = b"body" if framing[1] == "4" else b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
    assert server.requests[0].endswith(b"\r\n\r\n" + tail)


async def test_pieces_without_any_framing_are_no_body(pool: Any) -> None:
    """There is nothing by which a server could find their end."""

    async def pieces() -> Any:
        yield b"body"

    async with serve(answer_all) as server:
        with pytest.raises(httpcore.LocalProtocolError):
            await post(pool, server.url, [("Host", "x")], pieces())


async def test_what_is_no_time_limit_is_refused(pool: Any) -> None:
    """So is what is no trace. Neither is found out when it is too late."""
    with pytest.raises(TypeError, match="seconds or None"):
        await post(pool, "http://127.0.0.1:9/", [], b"", timeout={"read": "5"})
    with pytest.raises(TypeError, match="callable"):
        await post(pool, "http://127.0.0.1:9/", [], b"", trace="print")


async def test_limits_of_one_kind_are_made_once_and_not_kept_for_ever(pool: Any) -> None:
    """A caller may have another one for each request."""
    same = {"connect": 1.0, "read": 2.0, "write": 3.0, "pool": 4.0}
    limits = pool._terms_of(same, 5.0)
    assert pool._terms_of(dict(same), 5.0) is limits
    assert (limits.connect_timeout, limits.read_timeout, limits.write_timeout) == (1.0, 2.0, 3.0)
    assert (limits.pool_timeout, limits.minimum_rate, limits.streams) == (4.0, 5.0, True)
    for seconds in range(1000):
        pool._terms_of({"read": float(seconds)}, None)

    assert len(pool._limits) < 100


async def test_an_exchange_that_took_place_is_answered_from_that(pool: Any) -> None:
    """Once: a redirected request inherits the extensions."""
    async with serve(answer_all) as server:
        first, _ = await post(pool, server.url, [("Host", "x"), ("Content-Length", "0")], b"")
        exchange = first.extensions[EXCHANGE_EXTENSION]
        request = httpcore.Request("GET", server.url, extensions={REPLAY_EXTENSION: exchange})
        response = await pool.handle_async_request(request)

    assert response.status == 200
    assert REPLAY_EXTENSION not in request.extensions
    assert len(server.requests) == 1


async def test_the_least_rate_of_a_request_is_kept(pool: Any) -> None:
    """It is an extension of the request."""
    async with serve(answer_all) as server:
        rate = {MINIMUM_RATE_EXTENSION: 7.0}
        response, _ = await post(
            pool, server.url, [("Host", "x"), ("Content-Length", "0")], b"", **rate
        )

    assert response.extensions[EXCHANGE_EXTENSION].limits.minimum_rate == 7.0


async def test_a_body_that_breaks_off_is_httpcores_error(pool: Any) -> None:
    """Behind what came of it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])

    async with serve(script) as server:
        request = httpcore.Request("GET", server.url, headers=[("Host", "x")])
        response = await pool.handle_async_request(request)
        stream = aiter(response.stream)
        assert await anext(stream) == b"o"
        with pytest.raises(httpcore.RemoteProtocolError):
            await anext(stream)


async def test_what_cannot_be_trusted_is_told_before_httpcore_begins() -> None:
    """A file of roots that is none, for a request that is left to httpcore."""

    def fail() -> ssl.SSLContext:
        raise OSError("no roots")

    transport: Any = HTTPTransport()
    transport._pool._make_ssl_context = fail
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError, match="no roots"):
            await client.get(
                "https://127.0.0.1:9/", headers={"Upgrade": "x", "Connection": "upgrade"}
            )


async def test_a_pool_says_what_it_has() -> None:
    """As httpcore's does."""
    async with serve(answer_all) as server, HTTPTransport() as transport:
        pool: Any = transport._pool
        assert "unused" in repr(pool)
        await post(pool, server.url, [("Host", "x"), ("Content-Length", "0")], b"")
        assert "1 idle" in repr(pool)


def test_the_network_stream_of_a_response_tells_what_httpxs_does() -> None:
    """And nothing where there is no connection any more."""

    class Connection:
        def get_extra_info(self, name: str) -> str:
            return name

    stream = NetworkStream(Connection())
    told = [stream.get_extra_info(n) for n in ("client_addr", "server_addr", "socket", "else")]

    assert told == ["sockname", "peername", "socket", None]
    assert NetworkStream(None).get_extra_info("socket") is None


UPGRADE = [("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "echo"), ("Content-Length", "0")]


async def test_an_upgrade_by_a_proxy_of_its_own_is_refused(pool: Any) -> None:
    """Httpcore would not use that proxy."""
    proxy = {PROXY_EXTENSION: Proxy("http", "127.0.0.1", 9)}
    with pytest.raises(httpcore.UnsupportedProtocol, match="a proxy of its own"):
        await post(pool, "http://127.0.0.1:9/", UPGRADE, b"", **proxy)


async def test_an_upgrade_by_a_proxy_with_tls_trusts_what_all_requests_do() -> None:
    """Also for a plain URL, for which httpcore needs no other context."""
    authority, ours = trustme.CA(), ssl.create_default_context()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    async with serve(answer_all, tls=theirs) as server:
        proxy = httpx.Proxy(server.url.replace("http:", "https:"))
        async with HTTPTransport(proxy=proxy, verify=ours) as transport:
            response, body = await post(transport._pool, "http://x.test/", UPGRADE, b"")

    assert (response.status, body) == (200, b"ok")
    assert server.requests[0].startswith(b"POST http://x.test/ ")


async def test_the_context_of_an_upgrade_is_made_here_if_no_thread_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rather than fail: the machine may have threads no more."""

    async def no_threads(*_: object) -> None:
        raise NoThreads

    def fail() -> ssl.SSLContext:
        raise OSError("was made")

    monkeypatch.setattr(_pool_bridge._threads, "call", no_threads)
    async with HTTPTransport() as transport:
        pool: Any = transport._pool
        pool._make_ssl_context = fail
        with pytest.raises(httpcore.ConnectError, match="was made"):
            await post(pool, "https://127.0.0.1:9/", UPGRADE, b"")


def test_only_a_pool_without_a_proxy_is_taken_for_a_stock_one() -> None:
    """Its requests would go around the proxy."""
    proxy = httpcore.Proxy("http://127.0.0.1:9")

    assert is_stock_pool(httpcore.AsyncConnectionPool())
    assert not is_stock_pool(httpcore.AsyncConnectionPool(proxy=proxy))


def test_a_method_from_elsewhere_under_httpcores_name_is_a_patch() -> None:
    """As `functools.wraps` leaves it, whose mark can be removed."""

    def patched() -> None:
        """Do what a patch does."""

    patched.__module__ = "httpcore"

    assert is_untouched(httpcore.AsyncConnectionPool.handle_async_request, "httpcore")
    assert not is_untouched(patched, "httpcore")
