"""The chunked coding: chunks in, content and trailers out, however the bytes are cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch._engine.http11 import NO_LIMIT, ProtocolError, ResponseTooLarge
from asyncbatch._engine.http11._body import GrowingBody
from asyncbatch._engine.http11._chunked import (
    FREE_OVERHEAD,
    MAX_SIZE_LINE,
    MAX_TRAILER_BYTES,
    OVERHEAD_PER_BYTE,
    ChunkedProtocol,
)
from asyncbatch._engine.http11._head import MAX_FIELDS


def protocol(max_body: int = NO_LIMIT, trailer_budget: int = MAX_TRAILER_BYTES) -> ChunkedProtocol:
    return ChunkedProtocol(max_body, max_body, trailer_budget)


def decode(wire: bytes, *cuts: int, into: ChunkedProtocol | None = None) -> tuple[bytes, int]:
    """Decode a wire cut at these places; return the content, and what lies behind the message."""
    chunked, body, rest = into or protocol(), GrowingBody(), -1
    ends = [*cuts, len(wire)]
    for start, end in zip([0, *cuts], ends, strict=True):
        if rest >= 0:
            rest += end - start
        else:
            rest = chunked.receive(wire[start:end], body)
    return body.take(), rest


def cuts_of(wire: bytes) -> Iterator[tuple[int, ...]]:
    """Yield no cut, all of them, and each by itself."""
    yield ()
    yield tuple(range(1, len(wire)))
    for cut in range(1, len(wire)):
        yield (cut,)


@pytest.mark.parametrize(
    ("wire", "content", "trailers"),
    [
        (b"0\r\n\r\n", b"", ()),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", ()),
        (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello", ()),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, ()),
        (b"0005\r\nhello\r\n000\r\n\r\n", b"hello", ()),
        (b"5 \t\r\nhello\r\n0  \r\n\r\n", b"hello", ()),
        (b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', b"hello", ()),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", ()),
        (b"1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", b"x", ((b"A", b"b"), (b"C", b""))),
    ],
)
def test_a_chunked_body_reads_the_same_however_it_is_cut(
    wire: bytes, content: bytes, trailers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Extensions and zeros mean nothing, trailers are kept apart, and what follows is counted."""
    for cuts in cuts_of(wire):
        chunked = protocol()

        assert decode(wire + b"behind", *cuts, into=chunked) == (content, 6)
        assert chunked.trailer_fields == trailers
        assert chunked.body_bytes == len(content)


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x5\r\n",
        b" 5\r\n",
        b"5 5\r\n",
        b"5\n",
        b"5\r5\r\n",
        b"5;a\nb\r\n",
        b"5;\x00\r\n",
        b"11111111111111111\r\n",
        b"2\r\nabc",
        b"2\r\nab\nc",
        b"2\r\nab\rc",
        b"0\r\nno field\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: b\r\n folded\r\n\r\n",
        b"0\r\nA: b\rC: d\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
    ],
)
def test_what_is_malformed_is_refused_however_it_is_cut(wire: bytes) -> None:
    """At the latest when the line, or the message, would have ended."""
    for cuts in cuts_of(wire):
        with pytest.raises(ProtocolError):
            decode(wire, *cuts)


def test_what_is_malformed_is_refused_as_soon_as_it_is_seen() -> None:
    """Without a line end: a server could let us wait for that."""
    for wire in (b"zz", b"5;\x01", b"2\r\nabc", b"0\r\nA: b\x01"):
        with pytest.raises(ProtocolError):
            decode(wire)


def test_a_body_may_be_as_long_as_is_accepted() -> None:
    """A byte more is refused by its size, before it comes."""
    assert decode(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", into=protocol(5)) == (b"abcde", 0)
    with pytest.raises(ResponseTooLarge) as caught:
        decode(b"3\r\nabc\r\n3\r\n", into=protocol(5))

    assert caught.value.limit == 5


@pytest.mark.parametrize("ends", [b"\r\n", b""], ids=["whole", "unfinished"])
def test_the_line_of_a_size_is_bounded(ends: bytes) -> None:
    """Extensions could go on without end."""
    assert decode(b"0;".ljust(MAX_SIZE_LINE, b"x") + b"\r\n\r\n") == (b"", 0)
    with pytest.raises(ResponseTooLarge, match="extensions"):
        decode(b"0;".ljust(MAX_SIZE_LINE + 1, b"x") + ends)


def test_framing_may_not_outgrow_the_body() -> None:
    """A byte in each chunk is allowed; with long extensions to each it is an attack."""
    one = b"1;" + b"x" * 100 + b"\r\na\r\n"
    allowed = FREE_OVERHEAD // (len(one) - 1 - OVERHEAD_PER_BYTE)
    decode(b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    decode(one * (allowed - 10) + b"0\r\n\r\n")
    with pytest.raises(ResponseTooLarge, match="framing"):
        decode(one * (allowed + 10))


@pytest.mark.parametrize("budget", [100, 10 * MAX_TRAILER_BYTES])
def test_trailers_are_bounded(budget: int) -> None:
    """By what the head has left of its room, and by a bound of their own."""
    most = min(budget, MAX_TRAILER_BYTES)
    trailers = b"A: ".ljust(most - 2, b"b") + b"\r\n"
    assert decode(b"0\r\n" + trailers + b"\r\n", into=protocol(9, budget)) == (b"", 0)
    for wire in (b"0\r\nb" + trailers + b"\r\n", b"0\r\nA: " + b"b" * most):
        with pytest.raises(ResponseTooLarge):
            decode(wire, into=protocol(9, budget))


def test_there_are_as_many_trailer_fields_as_header_fields_at_most() -> None:
    """A thousand empty ones take little room, and much time."""
    assert decode(b"0\r\n" + b"a:\r\n" * MAX_FIELDS + b"\r\n") == (b"", 0)
    with pytest.raises(ResponseTooLarge, match="trailer fields"):
        decode(b"0\r\n" + b"a:\r\n" * (MAX_FIELDS + 1) + b"\r\n")


@settings(max_examples=40, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=20), max_size=5),
    extension=st.sampled_from([b"", b" ", b";a", b';a="b"']),
    data=st.data(),
)
def test_whatever_is_encoded_comes_out(
    chunks: list[bytes], extension: bytes, data: st.DataObject
) -> None:
    """In any chunks, cut at any places."""
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    wire += b"0\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=4)))

    assert decode(wire, *cuts) == (b"".join(chunks), 0)
