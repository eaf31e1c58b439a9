"""The short way of a request to the engine: what takes it, and that it is as the long one."""

from __future__ import annotations

from typing import Any

import httpcore
import httpcore2
import httpx
import httpx2
import pytest

from asyncbatch._engine import EXCHANGE_EXTENSION, BodyStream, transport_class
from asyncbatch._engine.bridge import _short_way, _transports
from asyncbatch._engine.bridge._short_way import is_short
from asyncbatch._engine.http11 import ExchangeError
from tests.raw_server import OK, Peer, answer_all, answers, serve

pytestmark = pytest.mark.once

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
CORES = {httpx: httpcore, httpx2: httpcore2}

ANSWERS = {
    "whole": b"HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok",
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "none": b"",
    "half a head": OK[:10],
    "half a body": OK[:-1],
    "no body": OK[:-2],
    "nonsense": b"nonsense\r\n\r\n",
}


def transport_for(library: Any, **options: Any) -> Any:
    return transport_class(library)(**options)


def is_short_for(transport: Any, request: Any) -> bool:
    return is_short(
        transport._pool, request, super(_transports.TransportMixin, transport).handle_async_request
    )


def request_of(library: Any, method: str = "GET", **options: Any) -> Any:
    return library.Request(method, "http://h/", **options)


async def seen_of(library: Any, url: str, method: str) -> list[Any]:
    """Return all that a client sees of one request on our transport."""
    seen: list[Any] = []
    async with library.AsyncClient(transport=transport_for(library)) as client:
        try:
            async with client.stream(method, url, headers={"x": "1"}) as response:
                seen += [response.status_code, response.headers.raw, sorted(response.extensions)]
                seen.append(response.extensions[EXCHANGE_EXTENSION].is_reused)
                async for piece in response.aiter_raw():
                    seen.append(piece)
                seen += [response.is_closed, response.num_bytes_downloaded]
        except library.HTTPError as error:
            chain: Any = error
            while chain is not None:
                seen.append((type(chain), str(chain)))
                chain = chain.__cause__
            seen.append(error.request.url)
    return seen


@LIBRARIES
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_it_is_as_the_long_way(
    library: Any, answer: bytes, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same head, extensions and pieces, and errors with the same causes."""
    async with serve(answers(answer)) as server:
        short = await seen_of(library, server.url, method)
        monkeypatch.setattr(_transports, "is_short", lambda *_: False)
        long = await seen_of(library, server.url, method)

    assert short == long
    assert server.requests[0] == server.requests[-1]


@LIBRARIES
async def test_an_ordinary_request_takes_it(library: Any) -> None:
    """Its response reads straight from the exchange."""
    async with serve(answer_all) as server, transport_for(library) as transport:
        response = await transport.handle_async_request(library.Request("GET", server.url))

        assert is_short_for(transport, request_of(library))
        assert isinstance(response.stream, BodyStream)
        assert isinstance(response.stream, library.AsyncByteStream)
        assert await response.aread() == b"ok"


@LIBRARIES
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("CONNECT", {}),
        ("GÉT", {}),
        ("GET", {"extensions": {"target": b"*"}}),
        ("GET", {"extensions": {"trace": print}}),
    ],
)
def test_what_httpcore_would_change_or_report_does_not(
    library: Any, method: str, options: Any
) -> None:
    """A method it refuses, a target of the caller's, a trace of the steps."""
    request = request_of(library)
    request.method = method
    request.extensions.update(options.get("extensions", {}))

    assert not is_short_for(transport_for(library), request)


@LIBRARIES
def test_nothing_does_if_a_method_between_is_patched(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As mocks and instruments do, on classes or on the pool of one transport."""
    transport, request = transport_for(library), request_of(library)

    async def patched(self: Any, request: Any) -> Any:
        raise AssertionError

    owners = [library.AsyncHTTPTransport, CORES[library].AsyncConnectionPool]
    owners += [CORES[library].AsyncHTTPConnection, type(transport._pool), transport._pool]
    for owner in owners:
        with monkeypatch.context() as patch:
            patch.setattr(owner, "handle_async_request", patched)
            assert not is_short_for(transport, request)
    assert is_short_for(transport, request)


@LIBRARIES
async def test_an_upgrade_goes_the_long_way(library: Any) -> None:
    """It is carried out by httpcore."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        await peer.until_closed()

    fields = {"Connection": "upgrade", "Upgrade": "x"}
    async with serve(script) as server, transport_for(library) as transport:
        request = library.Request("GET", server.url, headers=fields)
        response = await transport.handle_async_request(request)
        await response.aclose()

    assert response.status_code == 101
    assert not isinstance(response.stream, BodyStream)


@LIBRARIES
async def test_an_error_in_the_body_is_httpxs_own(library: Any) -> None:
    """With httpcore's error and the engine's behind it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])
        peer.reset()

    async with serve(script) as server, transport_for(library) as transport:
        response = await transport.handle_async_request(library.Request("GET", server.url))
        with pytest.raises(library.TransportError) as caught:
            async for _ in response.stream:
                pass

    cause = caught.value.__cause__
    assert type(cause) is getattr(CORES[library], type(caught.value).__name__)
    assert cause is not None
    assert isinstance(cause.__cause__, ExchangeError)
    assert _short_way.as_library_error(cause, library).args == caught.value.args
