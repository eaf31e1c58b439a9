"""`HTTPTransport` in a plain client of httpx, and of httpx2: httpx's behaviour, our engine."""

from __future__ import annotations

import gc
import re
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpcore2
import httpx
import httpx2
import pytest
import respx
import trustme
from pytest_httpx import HTTPXMock

import asyncbatch
from asyncbatch._engine import (
    EXCHANGE_EXTENSION,
    AddressRefused,
    ConnectFailed,
    Exchange,
    HTTPTransport,
    ResolveFailed,
    TimedOut,
    is_pristine,
    transport_class,
)
from tests import aio
from tests.raw_server import OK, Peer, answer_all, answers, serve

pytestmark = pytest.mark.once

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


def client_for(library: Any, **options: Any) -> Any:
    transport = transport_class(library)(**options)
    return library.AsyncClient(transport=transport, trust_env=False)


@LIBRARIES
async def test_a_client_gets_its_response_from_the_engine(library: Any) -> None:
    """Status, fields, body and the extensions httpx's users look at."""
    answer = (
        b"HTTP/1.1 201 Made\r\nX-A: 1\r\nX-A: 2\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        await peer.until_closed()

    async with serve(script) as server, client_for(library) as client:
        response = await client.get(server.url)
        stream = response.extensions["network_stream"]

        assert response.status_code == 201
        assert response.headers.get_list("x-a") == ["1", "2"]
        assert response.text == "ok"
        assert response.http_version == "HTTP/1.1"
        assert response.reason_phrase == "Made"
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.port)
        assert stream.get_extra_info("ssl_object") is None
        assert stream.get_extra_info("unknown") is None
        assert response.extensions[EXCHANGE_EXTENSION].connect > 0
        assert isinstance(client._transport, library.AsyncHTTPTransport)
        assert client._transport.engine.counts()["connections"] == 1
        assert "1 connections" in repr(client._transport._pool)


@LIBRARIES
async def test_a_client_streams_in_both_directions(library: Any) -> None:
    """Chunked upload, chunked download, raw pieces."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n",
            b"3\r\ndef\r\n0\r\n\r\n",
        )
        await answer_all(peer)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with serve(script) as server, client_for(library) as client:
        async with client.stream("POST", server.url, content=pieces()) as response:
            body = b"".join([piece async for piece in response.aiter_raw()])
        await client.get(server.url)

        assert server.connections == 1
    assert body == b"abcdef"
    assert server.requests[0].endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@LIBRARIES
@pytest.mark.parametrize(
    ("options", "tail"),
    [
        ({"content": b"bytes"}, b"bytes"),
        ({"content": b""}, b"\r\n\r\n"),
        ({"json": {"a": 1}}, b'{"a":1}'),
        ({"data": {"a": "1"}}, b"a=1"),
        ({"files": {"f": ("n", b"content")}}, b"--\r\n"),
    ],
)
async def test_every_kind_of_body_is_sent(library: Any, options: Any, tail: bytes) -> None:
    """As httpx encodes it."""
    async with serve(answer_all) as server, client_for(library) as client:
        await client.post(server.url, **options)

    assert server.requests[0].endswith(tail)


@LIBRARIES
async def test_a_response_that_is_left_unread_is_closed(library: Any) -> None:
    """And the next request gets its own."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1] if peer.number == 1 else OK)
        await peer.until_closed()

    async with serve(script) as server, client_for(library) as client:
        async with client.stream("GET", server.url):
            pass

        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


async def _refuse(peer: Peer) -> None:
    """Accept and say nothing until the client leaves."""
    await peer.until_closed()


@LIBRARIES
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "RemoteProtocolError"),
        (OK[:10], "RemoteProtocolError"),
        (OK[:-1], "RemoteProtocolError"),
        (b"nonsense\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "RemoteProtocolError"),
    ],
)
async def test_errors_are_the_librarys_own(library: Any, answer: bytes, error: str) -> None:
    """With the engine's error, and so its kind, behind them."""
    async with serve(answers(answer)) as server, client_for(library) as client:
        with pytest.raises(getattr(library, error)) as caught:
            await client.get(server.url)

    assert caught.value.request.url == server.url
    assert caught.value.__cause__.__cause__.kind in ("truncated", "protocol", "too_large")


@LIBRARIES
async def test_a_reset_is_a_read_error(library: Any) -> None:
    """As httpcore tells it from an orderly end."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.reset()

    async with serve(script) as server, client_for(library) as client:
        with pytest.raises(library.ReadError):
            await client.get(server.url)


@LIBRARIES
async def test_failed_connects_are_connect_errors(library: Any) -> None:
    """For names, ports, addresses and certificates."""
    async with client_for(library) as client:
        with pytest.raises(library.ConnectError) as name:
            await client.get("http://name.invalid/")
        with pytest.raises(library.ConnectError) as port:
            await client.get("http://127.0.0.1:1/")

    assert isinstance(name.value.__cause__.__cause__, ResolveFailed)
    assert isinstance(port.value.__cause__.__cause__, ConnectFailed)


@LIBRARIES
@pytest.mark.parametrize("phase", ["read", "pool"])
async def test_time_limits_are_httpx_s(library: Any, phase: str) -> None:
    """Each phase has its limit, and its error."""
    error = {"read": "ReadTimeout", "pool": "PoolTimeout"}[phase]
    limits = library.Limits(max_connections=1)
    async with serve(_refuse) as server, client_for(library, limits=limits) as client:
        timeout = library.Timeout(None, **{phase: 0.03})
        first = aio.ensure_future(client.get(server.url, timeout=library.Timeout(0.2)))
        if phase == "pool":
            await server.until(lambda: server.open == 1)
        else:
            first.cancel()
        with pytest.raises(getattr(library, error)) as caught:
            await client.get(server.url, timeout=timeout)
        await aio.gather(first, return_exceptions=True)

    assert isinstance(caught.value.__cause__.__cause__, TimedOut)


@LIBRARIES
@pytest.mark.parametrize(
    "headers",
    [
        [(b"X-A", b"b\r\nX-Evil: 1")],
        [(b"X A", b"b")],
        [(b"Content-Length", b"5")],
        [(b"Transfer-Encoding", b"gzip")],
    ],
)
async def test_what_must_not_be_sent_is_not(library: Any, headers: Any) -> None:
    """A local error, and no connection."""
    async with serve(answer_all) as server, client_for(library) as client:
        with pytest.raises(library.LocalProtocolError):
            await client.get(server.url, headers=headers)

        assert server.connections == 0


@LIBRARIES
async def test_a_trace_is_given_httpcores_events(library: Any) -> None:
    """The same names, in the same order, on a fresh and on a kept connection."""
    events: list[str] = []

    async def trace(name: str, info: Any) -> None:
        await aio.sleep(0)
        events.append(name)

    runs = []
    for transport in (transport_class(library)(), library.AsyncHTTPTransport(verify=False)):
        async with (
            serve(answer_all) as server,
            library.AsyncClient(transport=transport) as client,
        ):
            for _ in range(2):
                await client.get(server.url, extensions={"trace": trace})
                runs.append(events[:])
                events.clear()

    ours_fresh, ours_kept, theirs_fresh, theirs_kept = runs
    assert ours_fresh == theirs_fresh
    assert ours_kept == theirs_kept


@LIBRARIES
async def test_a_trace_sees_failures(library: Any) -> None:
    """As httpcore reports them."""
    runs = []
    for transport in (transport_class(library)(), library.AsyncHTTPTransport(verify=False)):
        events: list[str] = []

        async def trace(name: str, info: Any, events: list[str] = events) -> None:
            events.append(name)

        async with (
            serve(answers(b"")) as server,
            library.AsyncClient(transport=transport) as client,
        ):
            with pytest.raises(library.RemoteProtocolError):
                await client.get(server.url, extensions={"trace": trace})
            with pytest.raises(library.ConnectError):
                await client.get("http://127.0.0.1:1/", extensions={"trace": trace})
        runs.append([name for name in events if "response_closed" not in name])

    assert runs[0] == runs[1]


@LIBRARIES
async def test_tls_is_verified_as_the_client_was_told(library: Any) -> None:
    """A context of the caller's, `verify=False`, the default, and the name for SNI."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("name.example").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    named = {"sni_hostname": "name.example"}
    async with serve(answer_all, tls=tls) as server:
        url = f"https://127.0.0.1:{server.port}/"
        async with client_for(library, verify=trusting) as client:
            response = await client.get(url, extensions=named)
            stream = response.extensions["network_stream"]
            assert isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
            with pytest.raises(library.ConnectError):
                await client.get(url)
        async with client_for(library, verify=False) as client:
            assert (await client.get(url)).content == b"ok"
        async with client_for(library) as client:
            with pytest.raises(library.ConnectError, match="certificate"):
                await client.get(url, extensions=named)


@LIBRARIES
async def test_addresses_are_checked(library: Any) -> None:
    """In the engine."""
    async with serve(answer_all) as server, client_for(library, addresses="public") as client:
        with pytest.raises(library.ConnectError) as caught:
            await client.get(server.url)

        assert server.connections == 0
    assert isinstance(caught.value.__cause__.__cause__, AddressRefused)


@LIBRARIES
async def test_addresses_are_checked_where_httpcore_does_the_work(
    library: Any, anyio_backend_name: str
) -> None:
    """For an upgrade: the policy cannot be left behind."""
    async with client_for(library, addresses="public") as client:
        with pytest.raises(library.ConnectError) as caught:
            await client.get("http://localhost:1/", headers={"upgrade": "echo"})

    # httpcore drops the cause of what it passes on.
    assert isinstance(caught.value.__cause__.__context__, AddressRefused)


@pytest.mark.parametrize("options", [{"proxy": "http://127.0.0.1:1"}, {"uds": "/x"}])
def test_addresses_that_could_not_be_checked_are_refused(options: Any) -> None:
    """Rather than accepted and ignored."""
    with pytest.raises(ValueError, match="addresses"):
        HTTPTransport(addresses="public", **options)


def test_a_transport_without_any_protocol_is_refused() -> None:
    """Rather than one that speaks HTTP/1.1 although it may not."""
    with pytest.raises(ValueError, match="http1=False leaves no protocol: give http2=True too"):
        HTTPTransport(http1=False)


@LIBRARIES
async def test_an_upgrade_is_left_to_httpcore(library: Any) -> None:
    """Whose network stream can speak what comes after."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"
    async with serve(answers(answer + b"hello")) as server, client_for(library) as client:
        headers = {"Upgrade": "echo", "Connection": "upgrade"}
        async with client.stream("GET", server.url, headers=headers) as response:
            stream = response.extensions["network_stream"]
            assert response.status_code == 101
            assert await stream.read(5) == b"hello"


async def test_a_proxy_is_asked_in_absolute_form() -> None:
    """By the engine, whether or not the name of the server can be resolved here."""
    async with serve(answer_all) as proxy:
        transport = HTTPTransport(proxy=proxy.url)
        async with httpx.AsyncClient(transport=transport) as client:
            response = await client.get("http://name.invalid/x")

        assert response.content == b"ok"
        assert proxy.requests[0].startswith(b"GET http://name.invalid/x ")


@LIBRARIES
async def test_the_tls_context_is_made_in_a_thread(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where httpcore does the work: it takes 20 ms of the event loop."""
    threads = []

    def make(*_: Any, **options: Any) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return ssl.create_default_context()

    monkeypatch.setattr(library, "create_ssl_context", make)
    transport = transport_class(library)()
    async with library.AsyncClient(transport=transport, trust_env=False) as client:
        for _ in range(2):
            with pytest.raises(library.ConnectError):
                await client.get("https://127.0.0.1:1/", headers={"upgrade": "echo"})

    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_the_tls_context_is_not_made_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 20 ms, and plain HTTP needs none; a wrong path is told at once all the same."""

    def fail(*_: Any, **options: Any) -> None:
        pytest.fail("made too early")

    monkeypatch.setattr(httpx, "create_ssl_context", fail)
    HTTPTransport()
    monkeypatch.undo()

    with pytest.raises(FileNotFoundError), pytest.warns(DeprecationWarning, match="verify"):
        HTTPTransport(verify="/nowhere")


@LIBRARIES
async def test_a_request_leaves_no_cycle_of_ours_behind(library: Any) -> None:
    """What the engine made is freed without the garbage collector."""
    async with serve(answer_all) as server, client_for(library) as client:
        engine = client._transport.engine
        from tests.engines import get

        await get(engine, server)
        gc.collect()
        others = exchanges()
        gc.disable()
        try:
            for _ in range(20):
                await get(engine, server)
            left = [each for each in exchanges() if not any(each is other for other in others)]
            # The last one may still be named by the connection's own bookkeeping.
            assert len(left) <= 1
        finally:
            gc.enable()


def exchanges() -> list[Exchange]:
    """Return all that the garbage collector knows, those of other tests too."""
    return [each for each in gc.get_objects() if type(each) is Exchange]


# What patches httpx or httpcore wins over the engine.


async def test_respx_mocks_a_client_on_the_engine() -> None:
    """No request reaches the network."""
    async with serve(answer_all) as server:
        client = httpx.AsyncClient(transport=HTTPTransport())
        with respx.mock:
            respx.get(server.url).respond(418)
            assert not is_pristine(HTTPTransport()._pool.core)
            response = await client.get(server.url)
        assert response.status_code == 418
        assert server.connections == 0
        assert (await client.get(server.url)).content == b"ok"
        await client.aclose()


async def test_pytest_httpx_mocks_a_client_on_the_engine(httpx_mock: HTTPXMock) -> None:
    """It patches the transport's method, which we do not override."""
    httpx_mock.add_response(status_code=418)
    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        response = await client.get("http://name.invalid/")

    assert response.status_code == 418


@pytest.mark.parametrize("core", [httpcore, httpcore2], ids=["httpcore", "httpcore2"])
def test_an_unpatched_httpcore_is_pristine(core: Any) -> None:
    """And one that anything was put into is not."""
    assert is_pristine(core)
    original = core.AsyncConnectionPool.handle_async_request

    async def patched(self: Any, request: Any) -> Any:
        return await original(self, request)

    core.AsyncConnectionPool.handle_async_request = patched
    try:
        assert not is_pristine(core)
    finally:
        core.AsyncConnectionPool.handle_async_request = original
    assert is_pristine(core)


OTHER = pytest.mark.parametrize(("library", "other"), [(httpx, httpx2), (httpx2, httpx)])


@LIBRARIES
def test_there_is_a_class_for_each_library(library: Any) -> None:
    """It is that library's transport, the same class each time, and named as the public one."""
    made = asyncbatch.HTTPTransport.for_library(library)

    assert issubclass(made, library.AsyncHTTPTransport)
    assert made is asyncbatch.HTTPTransport.for_library(library)
    assert f"{made.__module__}.{made.__qualname__}" == "asyncbatch.HTTPTransport"


@pytest.mark.parametrize("library", ["httpx2", None, asyncbatch, httpx.AsyncClient])
def test_there_is_none_for_anything_else(library: Any) -> None:
    """The error says what it takes."""
    with pytest.raises(TypeError, match="library must be the module httpx or httpx2, not"):
        asyncbatch.HTTPTransport.for_library(library)


@OTHER
async def test_a_client_of_the_other_library_is_told_which_class_it_takes(
    library: Any, other: Any
) -> None:
    """Each takes objects of its own only: the error comes with the first request."""
    right = "HTTPTransport" if other is httpx else "HTTPTransport.for_library(httpx2)"
    async with other.AsyncClient(transport=transport_class(library)()) as client:
        with pytest.raises(TypeError, match=re.escape(f"for its clients take asyncbatch.{right}")):
            await client.get("http://127.0.0.1/")


@OTHER
async def test_a_fetcher_refuses_such_a_client_at_once(library: Any, other: Any) -> None:
    """Not each of a million requests for itself."""
    async with other.AsyncClient(transport=transport_class(library)()) as client:
        with pytest.raises(TypeError, match=f"take HTTPTransport.for_library.{other.__name__}."):
            asyncbatch.Fetcher(client=client)


@pytest.mark.parametrize("given", ["transport", "mounts"])
def test_a_fetcher_refuses_such_a_transport_for_its_own_client(given: str) -> None:
    """That is of httpx."""
    transport = transport_class(httpx2)()
    option: Any = transport if given == "transport" else {"all://": transport}

    with pytest.raises(TypeError, match=r"take HTTPTransport\.for_library.httpx.$"):
        asyncbatch.Fetcher(**{given: option})


@LIBRARIES
def test_a_plain_client_is_told_what_plain_code_takes(library: Any) -> None:
    """As it is entered, and as it sends."""
    with (
        pytest.raises(TypeError, match=r"in plain code use asyncbatch\.SyncFetcher"),
        library.Client(transport=transport_class(library)()),
    ):
        pass
    client = library.Client(transport=transport_class(library)())
    with pytest.raises(TypeError, match=f"not for {library.__name__}.Client"):
        client.get("http://127.0.0.1/")
    client.close()


@LIBRARIES
def test_a_class_that_others_have_replaced_names_no_library(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Httpcore belongs to the library, wherever its transport class comes from now."""

    class Theirs(library.AsyncHTTPTransport):  # type: ignore[misc]  # the base is a parameter
        __module__ = "somewhere.else"

    monkeypatch.setattr(library, "AsyncHTTPTransport", Theirs)

    assert transport_class(library)()._pool.core.__name__ == library.__name__.replace("x", "core")
