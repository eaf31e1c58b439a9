"""Bodies that are handed over to a sink as they arrive."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch._lanes import binding_of
from asyncbatch._lanes.response._save import leave_body, save_body, write_all
from asyncbatch._values._errors import TooSlow

BINDING = binding_of(httpx.AsyncClient())


class Written:
    """A sink that keeps what it is given."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.pieces: list[bytes] = []
        self.decoder: Any = None
        self.seconds = seconds

    def decode_by(self, decode: Any) -> None:
        self.decoder = decode(self.pieces.append)

    async def write(self, piece: bytes, refill: Any = None) -> int:
        await anyio.sleep(self.seconds)
        if self.decoder is None:
            self.pieces.append(piece)
        else:
            self.decoder.feed(piece)
        return len(piece) + (0 if refill is None else refill(memoryview(bytearray(10))))


async def pieces_of(*pieces: bytes, every: float = 0.0) -> AsyncIterator[bytes]:
    for piece in pieces:
        await anyio.sleep(every)
        yield piece


def response(content: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(
        200, headers=named, content=content, request=httpx.Request("GET", "http://host.test/")
    )


async def save(answer: httpx.Response, sink: Any, rate: float | None = None) -> None:
    await save_body(answer, BINDING, sink, rate)


async def test_a_body_is_handed_over_piece_by_piece():
    """The response is empty and closed afterwards."""
    sink, answer = Written(), response(pieces_of(b"ab", b"c"))
    await save(answer, sink)

    assert sink.pieces == [b"ab", b"c"]
    assert (answer.content, answer.is_closed) == (b"", True)


async def test_an_encoded_body_is_decoded_on_the_way():
    """By the sink, in its threads."""
    sink = Written()
    await save(response(pieces_of(gzip.compress(b"words")), content_encoding="gzip"), sink)

    assert b"".join(sink.pieces) == b"words"


async def test_a_body_that_was_read_before_is_handed_over_as_it_is():
    """A hook, or a transport that answers from memory, has decoded it."""
    sink, body = Written(), bytes(600_000)
    answer = response(gzip.compress(body), content_encoding="gzip")
    await answer.aread()
    await save(answer, sink)

    assert b"".join(sink.pieces) == body
    assert max(map(len, sink.pieces)) <= 256 * 1024


async def test_a_body_that_is_not_wanted_is_left():
    """And its connection closed."""
    answer = response(pieces_of(b"ab"))
    await leave_body(answer, BINDING)

    assert (answer.content, answer.is_closed) == (b"", True)


async def test_a_failure_of_the_sink_closes_the_response():
    """The rest is not read."""

    class Full(Written):
        async def write(self, piece: bytes, refill: Any = None) -> int:
            raise OSError("no space")

    answer = response(pieces_of(b"ab", b"c"))
    with pytest.raises(OSError, match="no space"):
        await save(answer, Full())

    assert answer.is_closed


async def test_a_slow_server_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """As for bodies in memory."""
    monkeypatch.setattr("asyncbatch._engine._minimum_rate.WINDOW", 1)
    with pytest.raises(TooSlow):
        await save(response(pieces_of(b"a" * 5, b"a" * 5, every=20.0)), Written(), 1000.0)


@pytest.mark.once
@pytest.mark.any_loop
async def test_a_slow_disk_is_not_a_slow_server(monkeypatch: pytest.MonkeyPatch):
    """The time in which nothing is read does not count."""
    monkeypatch.setattr("asyncbatch._engine._minimum_rate.WINDOW", 1)
    sink = Written(seconds=1.3)
    received = await write_all(pieces_of(*[b"a" * 2000] * 3), sink, 1000.0)  # type: ignore[arg-type]

    assert received == 6000
    assert len(sink.pieces) == 3


@pytest.mark.parametrize("rate", [None, 1.0])
async def test_what_the_sink_receives_itself_counts(rate: float | None):
    """It is offered the means after each piece."""
    sink, offered = Written(), 0

    def refill() -> Any:
        nonlocal offered
        offered += 1
        return len  # receives as many bytes as there is memory for

    received = await write_all(pieces_of(b"ab", b"c"), sink, rate, refill)  # type: ignore[arg-type]

    assert (received, offered) == (2 + 10 + 1 + 10, 2)
