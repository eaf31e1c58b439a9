"""Reading a response of a client: within its bounds, and closed whatever goes wrong."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncbatch import HTTPTransport, TooSlow
from asyncbatch._decoding import BodyCut, BodyLimitExceeded, CorruptBody
from asyncbatch._engine import EXCHANGE_EXTENSION
from asyncbatch._engine._minimum_rate import WINDOW
from asyncbatch._lanes.client._binding import binding_of
from asyncbatch._lanes.response._body import (
    ABANDONED_CHUNKS,
    REDIRECT_BODY_LIMIT,
    ClientBodyReader,
    abandon,
    close,
    redirect_limit,
)
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import run_virtually
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.any_loop

TEXT = b"hello" * 1000
ZIPPED = gzip.compress(TEXT, mtime=0)


class Stream:
    """Gives pieces, and remembers how many were taken and whether it was closed."""

    def __init__(self, *pieces: bytes, seconds: float = 0.0) -> None:
        self.pieces = pieces
        self.seconds = seconds
        self.taken = 0
        self.closed = 0
        self.is_ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                await anyio.sleep(self.seconds)
                self.taken += 1
                yield piece
        finally:
            self.is_ended = True

    async def aclose(self) -> None:
        self.closed += 1


def respond(library: Any, stream: Stream, status: int = 200, **headers: str) -> Any:
    """Return a response whose body is read from `stream`."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        def __aiter__(self) -> AsyncIterator[bytes]:
            return stream.__aiter__()

        async def aclose(self) -> None:
            await stream.aclose()

    method = headers.pop("method", "GET")
    return library.Response(
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        stream=Body(),
        request=library.Request(method, "http://a.test/"),
    )


async def read(response: Any, library: Any, limit: int | None = None, **more: Any) -> bytes:
    reader = ClientBodyReader(binding_of(library.AsyncClient()), more.get("minimum_rate"))
    await reader.read(response, limit)
    content: bytes = response.content
    return content


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ([TEXT], {}),
        ([TEXT[:7], TEXT[7:]], {}),
        ([ZIPPED], {"content_encoding": "gzip"}),
        ([ZIPPED[:9], ZIPPED[9:]], {"content_encoding": "gzip"}),
        (
            [gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)],
            {"content_encoding": "gzip"},
        ),
        ([TEXT], {"content_encoding": "rot13"}),
    ],
    ids=["whole", "pieces", "gzip", "gzip pieces", "two members", "unknown"],
)
async def test_a_body_is_read_and_decoded(library: Any, pieces: list[bytes], headers: Any) -> None:
    """As after httpx's own `aread()`; the connection is free, and the response holds nothing."""
    stream = Stream(*pieces)
    response = respond(library, stream, **headers)

    assert await read(response, library) == TEXT
    assert response.is_closed
    assert stream.closed == 1
    assert type(response.stream) is library.ByteStream


@pytest.mark.parametrize(
    ("raw", "error"), [(ZIPPED[:-5], BodyCut), (b"no gzip", CorruptBody)], ids=["cut", "corrupt"]
)
async def test_what_does_not_decode_is_an_error(library: Any, raw: bytes, error: Any) -> None:
    """Httpx takes a cut stream for a whole one."""
    stream = Stream(raw)
    with pytest.raises(error):
        await read(respond(library, stream, content_encoding="gzip"), library)

    assert stream.closed


@pytest.mark.parametrize(
    ("pieces", "headers", "most"),
    [
        ([b"12345", b"6", b"7"], {}, 2),
        ([b"12345"], {"content_length": "6"}, 0),
        ([ZIPPED], {"content_encoding": "gzip"}, 1),
    ],
    ids=["as it comes", "by its length", "decoded"],
)
async def test_a_body_beyond_the_limit_is_given_up_as_soon_as_it_is_seen(
    library: Any, pieces: list[bytes], headers: Any, most: int
) -> None:
    """The connection is closed before the rest is dropped."""
    stream = Stream(*pieces)
    with pytest.raises(BodyLimitExceeded):
        await read(respond(library, stream, **headers), library, 5)

    assert stream.closed
    assert stream.taken <= most


async def test_a_body_of_just_the_limit_is_read(library: Any) -> None:
    """It is not longer than that."""
    assert (
        await read(respond(library, Stream(b"12345"), content_length="5"), library, 5) == b"12345"
    )


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
async def test_the_length_of_a_body_that_there_is_not_is_that_of_another(
    library: Any, status: int, method: str
) -> None:
    """RFC 9110 §6.4.1."""
    response = respond(library, Stream(), status, method=method, content_length="99999")

    assert await read(response, library, 5) == b""


@pytest.mark.parametrize("length", ["x", "-1", "9" * 5000])
async def test_a_length_that_is_none_is_no_reason_to_refuse(library: Any, length: str) -> None:
    """The transport judges it; and `int` takes no number of thousands of digits."""
    assert await read(respond(library, Stream(b"1"), content_length=length), library, 5) == b"1"


async def test_a_body_that_somebody_has_read_is_taken_as_it_is(library: Any) -> None:
    """An event hook, say. Its size counts all the same."""
    response = library.Response(200, content=TEXT, request=library.Request("GET", "http://a.test/"))

    assert await read(response, library) == TEXT
    with pytest.raises(BodyLimitExceeded):
        await read(response, library, 5)


async def test_a_reader_that_is_cancelled_closes_the_response(library: Any) -> None:
    """And ends the generators that httpx reads through, the innermost first."""
    stream = Stream(b"x", seconds=60.0)
    response = respond(library, stream)
    with anyio.move_on_after(0.01):
        await read(response, library)

    assert stream.closed
    assert stream.is_ended


async def test_closing_tells_nothing(library: Any) -> None:
    """What made us close is the error to report."""

    class Failing(Stream):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("reset")

    stream = Failing()
    await close(respond(library, stream))

    assert stream.closed == 1


async def test_closing_is_bounded(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that does not end its closing is left."""
    monkeypatch.setattr("asyncbatch._lanes.response._body.CLOSE_SECONDS", 0.01)

    class Hanging(Stream):
        async def aclose(self) -> None:
            await super().aclose()
            await anyio.sleep_forever()

    stream = Hanging()
    with anyio.fail_after(100):
        await close(respond(library, stream))

    assert stream.closed == 1


async def test_a_long_redirect_is_closed_and_left_empty(library: Any) -> None:
    """A new connection is worth less; a short one is read."""
    binding = binding_of(library.AsyncClient())
    long, short = Stream(bytes(REDIRECT_BODY_LIMIT), b"x"), Stream(b"moved")
    responses = [respond(library, stream, 302) for stream in (long, short)]
    for response in responses:
        await ClientBodyReader(binding, None).read_redirect(response, None)

    assert [response.content for response in responses] == [b"", b"moved"]
    assert long.closed


def test_the_limit_of_a_redirect_is_the_smaller_one() -> None:
    """That of all bodies holds for it too."""
    assert redirect_limit(None) == REDIRECT_BODY_LIMIT
    assert redirect_limit(5) == 5
    assert redirect_limit(10 * REDIRECT_BODY_LIMIT) == REDIRECT_BODY_LIMIT


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("seconds", "is_too_slow"), [(1.0, False), (2.5, True)])
def test_a_body_has_to_keep_the_least_rate(
    library: Any, backend: str, seconds: float, is_too_slow: bool
) -> None:
    """On average over some seconds."""
    stream = Stream(*[bytes(100)] * (3 * WINDOW), seconds=seconds)

    async def main() -> bytes:
        return await read(respond(library, stream), library, minimum_rate=90.0)

    if not is_too_slow:
        assert len(run_virtually(backend, main)) == 300 * WINDOW
        return
    with pytest.raises(TooSlow):
        run_virtually(backend, main)
    assert stream.closed


@pytest.fixture
def transport(library: Any) -> Any:
    """Make a transport of ours outside the event loop, since the first one imports httpcore."""
    return HTTPTransport.for_library(library)(verify=TRUSTING)


async def exchanged(
    library: Any, transport: Any, url: str, wrap: Any = None
) -> tuple[Any, list[str]]:
    """Return a response of our transport, read by way of its exchange, and who read the body."""
    readers: list[str] = []

    class Noting(library.AsyncByteStream):  # type: ignore[misc]  # chosen at run time
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            readers.append("wrapper")
            async for piece in self.stream:
                yield piece

        async def aclose(self) -> None:
            await self.stream.aclose()

    client = library.AsyncClient(transport=transport, timeout=60)
    async with client:
        response = await client.send(client.build_request("GET", url), stream=True)
        exchange = response.extensions.pop(EXCHANGE_EXTENSION)
        while not exchange.is_over:
            await anyio.lowlevel.checkpoint()
        if wrap == "response":
            response.stream = Noting(response.stream)
        elif wrap == "transport":
            response.stream._stream = Noting(response.stream._stream)
        await ClientBodyReader(binding_of(client), None).read(response, 10_000, exchange)
    return response, readers


@pytest.mark.parametrize("wrap", [None, "response", "transport"])
async def test_a_body_that_the_engine_has_is_taken_unless_somebody_is_between(
    library: Any, transport: Any, server: LoopbackServer, wrap: Any
) -> None:
    """The response is the same as one that httpx has read."""
    server.on("/", Reply(body=TEXT).gzipped())
    response, readers = await exchanged(library, transport, server.url(), wrap)
    async with library.AsyncClient(timeout=60, verify=TRUSTING) as client:
        usual = await client.get(server.url())

    assert readers == ([] if wrap is None else ["wrapper"])
    assert response.content == usual.content == TEXT
    assert response.num_bytes_downloaded == usual.num_bytes_downloaded
    assert (response.is_closed, response.is_stream_consumed) == (True, True)
    if wrap != "response":  # the wrapper has no `elapsed` of httpx2's own stream
        assert 0 < response.elapsed.total_seconds() < 60
    assert response.headers.get("content-encoding") == "gzip"


@pytest.mark.parametrize("coded", [False, True])
async def test_a_body_that_the_engine_has_keeps_its_bound(
    library: Any, transport: Any, server: LoopbackServer, coded: bool
) -> None:
    """As it is on the wire, and decoded."""
    reply = Reply(body=bytes(10_001))
    server.on("/", reply.gzipped() if coded else reply)

    with pytest.raises(BodyLimitExceeded):
        await exchanged(library, transport, server.url())


async def test_a_response_whose_reading_is_patched_is_read_through_httpx(
    library: Any, transport: Any, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrument may look at each piece."""
    seen: list[bytes] = []
    real = library.Response.aiter_raw

    async def aiter_raw(self: Any, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for piece in real(self, chunk_size):
            seen.append(piece)
            yield piece

    monkeypatch.setattr(library.Response, "aiter_raw", aiter_raw)
    server.on("/", Reply(body=TEXT))
    response, _ = await exchanged(library, transport, server.url())

    assert response.content == b"".join(seen) == TEXT


async def test_what_is_left_of_a_body_is_not_read_for_ever() -> None:
    """A body that never has to wait does not notice that it is to end."""
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    async with contextlib.aclosing(chunks()) as endless:
        await abandon(endless)

    assert taken == ABANDONED_CHUNKS
