"""Request bodies that are produced while they are sent: whole each time, or not at all."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Request
from asyncbatch._lanes.failures._callers import CallersError
from asyncbatch._lanes.request._upload_stream import upload_stream
from asyncbatch._values._body_source import UnreadableBody
from asyncbatch.testing import LoopbackServer, Reply
from tests.raw_server import Peer, serve

pytestmark = pytest.mark.any_loop

CONTENT = b"0123456789" * 20_000
PARTS = [CONTENT[at : at + 70_000] for at in range(0, len(CONTENT), 70_000)]

mimetypes.init()  # which httpx leaves to the first form with a file, and which reads files


class Once:
    """An async iterator that is no generator, as streams and async files are."""

    def __init__(self) -> None:
        self._left = iter(PARTS)

    def __aiter__(self) -> Once:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._left, None)
        if piece is None:
            raise StopAsyncIteration
        return piece


class Again:
    """An async iterable that begins anew each time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in PARTS:
            yield part


class Spent:
    """An iterable that looks as if it could be read again, and cannot."""

    def __init__(self) -> None:
        self._left = iter(PARTS)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._left


class Pipe:
    """A file that can only be read."""

    def __init__(self) -> None:
        self._file = io.BytesIO(CONTENT)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class Stubborn(io.BytesIO):
    """A file that says it can be rewound, and cannot."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError("not today")


class Jammed(io.BytesIO):
    """A file that can be rewound until it has been read from."""

    is_stuck = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.is_stuck = True
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if self.is_stuck:
            raise OSError("it is stuck")
        return super().seek(offset, whence)


class Spring(io.BytesIO):
    """A file that goes to its end and not back."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == io.SEEK_SET and offset != self.tell():
            raise OSError("it does not go back")
        return super().seek(offset, whence)


async def _generated() -> AsyncIterator[bytes]:
    for part in PARTS:
        yield part


def _multipart(file: Any) -> dict[str, Any]:
    return {"files": {"file": ("a.bin", file)}}


ONCE: dict[str, Callable[[], dict[str, Any]]] = {
    "async iterator": lambda: {"content": Once()},
    "async generator": lambda: {"content": _generated()},
    "iterator": lambda: {"content": iter(PARTS)},
    "generator": lambda: {"content": (part for part in PARTS)},
    "iterable that is spent": lambda: {"content": Spent()},
    "pipe": lambda: {"content": Pipe()},
    "iterator as data": lambda: {"data": iter(PARTS)},
    "file that does not seek": lambda: {"content": Stubborn(CONTENT)},
    "multipart pipe": lambda: _multipart(Pipe()),
    "multipart file that does not seek": lambda: _multipart(Stubborn(CONTENT)),
}
AGAIN: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"content": CONTENT},
    "text": lambda: {"content": CONTENT.decode()},
    "bytearray": lambda: {"content": bytearray(CONTENT)},
    "memoryview": lambda: {"content": memoryview(CONTENT)},
    "list": lambda: {"content": PARTS},
    "async iterable": lambda: {"content": Again()},
    "file": lambda: {"content": io.BytesIO(CONTENT)},
    "file as data": lambda: {"data": io.BytesIO(CONTENT)},
    "bytes as data": lambda: {"data": CONTENT},
    "multipart file": lambda: _multipart(io.BytesIO(CONTENT)),
    "multipart bytes": lambda: _multipart(CONTENT),
}


def _whole(body: bytes) -> bool:
    return body.count(CONTENT) == 1


def _script(server: LoopbackServer, way: str) -> dict[str, Any]:
    """Have `/` ask for the body twice, and return what a request needs for that."""
    if way == "redirect":
        server.on("/", Reply.redirect("/there", status=307))
    elif way == "digest":
        challenge = Reply(401, headers={"www-authenticate": 'Digest realm="r", nonce="n"'})
        server.on("/", lambda got: Reply() if "authorization" in got.headers else challenge)
        return {"auth": httpx.DigestAuth("me", "secret")}
    else:
        server.on("/", Reply(503), Reply())
    return {}


@pytest.mark.parametrize("way", ["redirect", "digest", "retry"])
@pytest.mark.parametrize("kind", ONCE)
async def test_what_can_be_read_once_is_sent_once(
    fetcher: Fetcher, server: LoopbackServer, way: str, kind: str
) -> None:
    """And the failure says so, with the response that asked for it again."""
    options = _script(server, way)
    result = await fetcher.fetch(Request(server.url(), "PUT", **ONCE[kind](), **options))

    assert not result.ok
    bodies = [arrived.body for arrived in server.requests]
    assert _whole(bodies[0])
    assert not any(map(_whole, bodies[1:]))
    if kind != "iterable that is spent":
        assert len(bodies) == 1
        assert result.status_code == {"redirect": 307, "digest": 401, "retry": 503}[way]
        assert (result.kind == "status") is (way == "retry")
    if way != "retry":
        assert isinstance(result.error, asyncbatch.BodyConsumed)
        assert result.kind == "invalid_request"
        assert "cannot be sent again" in str(result.error)


@pytest.mark.parametrize("way", ["redirect", "digest", "retry"])
@pytest.mark.parametrize("kind", AGAIN)
async def test_what_can_be_read_again_is_sent_whole_each_time(
    fetcher: Fetcher, server: LoopbackServer, way: str, kind: str
) -> None:
    """After a redirect, a challenge and a retry."""
    options = _script(server, way)
    result = await fetcher.fetch(Request(server.url(), "PUT", **AGAIN[kind](), **options))

    assert result.ok, result
    assert [_whole(arrived.body) for arrived in server.requests] == [True, True]


async def test_a_file_that_gets_stuck_is_not_sent_again(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """Even though it could be rewound before."""
    server.on("/", Reply(503), Reply())
    result = await fetcher.fetch(Request(server.url(), "PUT", content=Jammed(CONTENT)))

    assert result.status_code == 503
    assert [_whole(arrived.body) for arrived in server.requests] == [True]


async def test_a_file_that_does_not_come_back_from_its_end_is_not_sent(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """It would go out as an empty body with which nothing is wrong."""
    result = await fetcher.fetch(Request(server.url(), "PUT", content=Spring(CONTENT)))

    assert isinstance(result.error, asyncbatch.BodyConsumed)
    assert not server.requests


async def test_a_file_is_sent_from_where_it_stands(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """As often as it takes, with its length; and it stands there again afterwards."""
    server.on("/", Reply(503), Reply())
    file = io.BytesIO(CONTENT)
    file.seek(150_000)
    result = await fetcher.fetch(Request(server.url(), "PUT", content=file))

    assert result.ok
    assert file.tell() == 150_000
    assert [arrived.body for arrived in server.requests] == [CONTENT[150_000:]] * 2
    assert server.requests[0].headers["content-length"] == "50000"
    assert "transfer-encoding" not in server.requests[0].headers


@pytest.mark.parametrize("make", [lambda f: {"content": f}, _multipart])
async def test_one_open_file_can_be_sent_by_many_at_once(
    fetcher: Fetcher, server: LoopbackServer, tmp_path: Any, make: Callable[[Any], dict[str, Any]]
) -> None:
    """Each sends all of it; and so does who comes afterwards."""
    path = tmp_path / "body"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        requests = [Request(server.url(f"/{n}"), "PUT", **make(file)) for n in range(8)]
        results = await fetcher.fetch_many(requests)
        late = await fetcher.fetch(Request(server.url("/late"), "PUT", **make(file)))

    assert [result.ok for result in (*results, late)] == [True] * 9
    assert [_whole(arrived.body) for arrived in server.requests] == [True] * 9


@pytest.mark.parametrize("make", [lambda: iter(PARTS), Once, Pipe, _generated])
async def test_what_can_be_read_once_serves_one_of_many(
    fetcher: Fetcher, server: LoopbackServer, make: Callable[[], Any]
) -> None:
    """The others fail, and say why."""
    body = make()
    requests = [Request(server.url(f"/{n}"), "PUT", content=body) for n in range(4)]
    results = await fetcher.fetch_many(requests)
    late = await fetcher.fetch(Request(server.url("/late"), "PUT", content=body))

    assert len(results.successes) == 1
    assert {type(result.error) for result in (*results.failures, late)} == {asyncbatch.BodyConsumed}
    assert [_whole(arrived.body) for arrived in server.requests].count(True) == 1


@pytest.mark.parametrize("way", ["redirect", "digest", "retry"])
@pytest.mark.parametrize("multipart", [False, True])
async def test_the_callers_own_request_object_is_treated_likewise(
    fetcher: Fetcher, server: LoopbackServer, way: str, multipart: bool
) -> None:
    """Whatever its stream reads from."""
    options = _script(server, way)
    if "auth" in options:
        fetcher.client.auth = options["auth"]
    url = server.url()
    make = _multipart if multipart else lambda file: {"content": file}
    once = httpx.Request("PUT", url, **make(Pipe()) if multipart else {"content": Once()})
    result = await fetcher.fetch(once)
    bodies = [arrived.body for arrived in server.requests]
    _script(server, way)
    file = io.BytesIO(CONTENT)
    again = await fetcher.fetch_many([httpx.Request("PUT", url, **make(file))] * 2)

    assert not result.ok
    assert [_whole(body) for body in bodies] == [True]
    assert all(each.ok for each in again)
    assert all(_whole(arrived.body) for arrived in server.requests[1:])


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_what_a_generator_raises_when_it_is_closed_is_the_callers(is_async: bool) -> None:
    """It is not taken for an error of the connection, whose end has closed it."""
    mistake = ValueError("untidy")

    def pieces() -> Iterator[bytes]:
        try:
            yield CONTENT
        finally:
            raise mistake

    async def async_pieces() -> AsyncIterator[bytes]:
        try:
            yield CONTENT
        finally:
            raise mistake

    read: Any = async_pieces if is_async else pieces
    sent = aiter(upload_stream(httpx)(read, [], lambda: None))
    assert await anext(sent) == CONTENT

    with pytest.raises(CallersError) as caught:
        await sent.aclose()

    assert caught.value.error is mistake


async def test_a_body_that_cannot_be_read_again_says_so_while_it_is_sent() -> None:
    """That is no error of the caller's code."""

    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise UnreadableBody("it is an iterator")

    sent = aiter(upload_stream(httpx)(pieces, [], lambda: None))
    assert await anext(sent) == CONTENT

    with pytest.raises(UnreadableBody):
        await anext(sent)


@pytest.mark.parametrize("lane", ["direct", "client"])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_a_generator_whose_upload_breaks_off_is_closed(lane: str, is_async: bool) -> None:
    """Soon, whoever else holds it, and not when the garbage collector comes to it."""
    closed = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
        await peer.until_closed()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield CONTENT
        finally:
            closed.set()

    async def async_pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield CONTENT
        finally:
            closed.set()

    body: Any = async_pieces() if is_async else pieces()
    client = httpx.AsyncClient(transport=asyncbatch.HTTPTransport()) if lane == "client" else None
    async with serve(script) as server, Fetcher(client, retry=None) as fetcher:
        result = await fetcher.fetch(Request(server.url, "PUT", content=body))
        with anyio.fail_after(100):
            await closed.wait()
        if client is not None:
            await client.aclose()

    assert result.status_code == 413
