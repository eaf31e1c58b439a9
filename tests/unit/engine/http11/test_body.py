"""
What a body is received into.

One that grows is the sum of its pieces, whatever their sizes. One of known length is received where
it stays: it is what was sent, and is not copied.
"""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._engine.http11 import ResponseProtocol, ResponseState, _body_reader
from asyncbatch._engine.http11._body import (
    BLOCK,
    TAIL,
    UNJOINED,
    GrowingBody,
    LentBody,
    PlacedBody,
    UnjoinedBody,
)

LENGTH = 200_000
BODY = bytes(range(250)) * (LENGTH // 250)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LENGTH

pieces = st.builds(
    lambda letter, size: bytes([letter]) * size,
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024]),
)


@given(st.lists(st.tuples(pieces, st.booleans()), max_size=12))
def test_pieces_come_out_in_order(steps: list[tuple[bytes, bool]]) -> None:
    """Taken at any moments, what comes out is what went in, and the size is that of the rest."""
    body = GrowingBody()
    taken, given_, left = b"", b"", 0
    for piece, takes in steps:
        body.add(memoryview(piece))
        given_ += piece
        left += len(piece)
        assert body.size == left
        if takes:
            taken += body.take()
            left = 0

    assert taken + body.take() == given_
    assert body.size == 0


def test_what_was_added_may_be_overwritten() -> None:
    """The receive buffer, which all connections share, is not kept."""
    buffer = bytearray(b"a" * 32 * 1024)
    body = GrowingBody()
    body.add(memoryview(buffer))
    buffer[:] = b"b" * len(buffer)

    assert body.take() == b"a" * len(buffer)


def test_tiny_pieces_take_no_more_memory_than_large_ones() -> None:
    """A peer that sends byte by byte does not multiply what its body costs."""
    body = GrowingBody()
    tracemalloc.start()
    try:
        for _ in range(200_000):
            body.add(b"xy")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used < 2 * body.size


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_large_body_is_handed_over_in_pieces(size: int) -> None:
    """Of any sizes, all of them bytes: so they are joined without the interpreter's lock."""
    body = GrowingBody()
    piece = bytes(range(256)) * (size // 256)
    count = UNJOINED // len(piece) + 1
    for _ in range(count):
        body.add(memoryview(piece))
    whole = body.take_whole()

    assert isinstance(whole, UnjoinedBody)
    assert {type(each) for each in whole._pieces} == {bytes}
    assert max(map(len, whole._pieces)) <= 300_000
    assert len(whole) == len(piece) * count
    assert bytes(whole) == piece * count
    assert body.size == 0
    assert body.take_whole() == b""


@given(st.lists(st.tuples(st.integers(0, LENGTH), st.booleans()), max_size=12))
def test_a_piece_may_come_in_place_or_from_elsewhere(steps: list[tuple[int, bool]]) -> None:
    """Either way the body is what was sent."""
    body = PlacedBody(LENGTH)
    for size, in_place in [*steps, (LENGTH, False)]:
        piece = BODY[body.size : body.size + size]
        window = body.window
        if in_place and window is not None:
            piece = piece[: len(window)]
            window[: len(piece)] = piece
            body.add(window[: len(piece)])
        else:
            body.add(memoryview(piece))

    assert body.size == LENGTH
    del window
    assert body.take() == BODY


def test_the_end_is_received_elsewhere() -> None:
    """So that bytes behind the body are not taken for a part of it, nor left for the next."""
    body = PlacedBody(LENGTH)
    received = 0
    while (window := body.window) is not None:
        size = min(len(window), 30_000)
        received += size
        body.add(BODY[received - size : received])

    assert received == LENGTH - TAIL


def test_the_body_is_not_copied() -> None:
    """It takes its own length in memory, and no more, up to when it is handed over."""
    piece = b"x" * 65_536
    tracemalloc.start()
    try:
        body = PlacedBody(10_000_000)
        while (window := body.window) is not None:
            window[: len(piece)] = piece[: len(window)]
            body.add(window[: len(piece)])
        del window
        body.add(b"x" * TAIL)
        content = body.take()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(content) == 10_000_000
    assert peak < 10_500_000


def receive(protocol: ResponseProtocol, wire: bytes) -> bool:
    """Feed as a connection does: into the window where there is one."""
    while wire:
        window = protocol.place_body()
        size = 30_000 if window is None else min(30_000, len(window))
        piece, wire = wire[:size], wire[size:]
        if window is None:
            is_complete = protocol.receive(memoryview(piece))
        else:
            window[: len(piece)] = piece
            is_complete = protocol.receive(window[: len(piece)])
        if is_complete:
            return not wire
    return False


@pytest.mark.parametrize("surplus", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_placed_response_ends_where_its_length_says(surplus: bytes) -> None:
    """What follows is seen, as with any other body, and nothing stays for the next response."""
    protocol = ResponseProtocol()
    for _ in range(2):
        protocol.begin_response()
        receive(protocol, HEAD + BODY + surplus)

        assert protocol.state is ResponseState.DONE
        assert protocol.body == BODY
        assert protocol.is_reusable is (surplus == b"")
        assert protocol.place_body() is None
        if surplus:
            break


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
def test_a_body_has_no_place_unless_its_length_is_known_and_sensible(head: bytes) -> None:
    """Short ones are not worth it, and nobody may claim the memory of a machine by a number."""
    protocol = ResponseProtocol()
    protocol.receive(head)

    assert protocol.place_body() is None


def test_without_memory_for_the_whole_a_body_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is kept, and the rest joined to it."""

    def refuse(length: int) -> PlacedBody:
        raise MemoryError

    monkeypatch.setattr(_body_reader, "PlacedBody", refuse)
    protocol = ResponseProtocol()

    assert receive(protocol, HEAD + BODY)
    assert protocol.body == BODY


def lent(content: bytes, cuts: list[tuple[int, bool, bool]]) -> bytes:
    """
    Receive a body that is lent, and return what its reader gets.

    Args:
        content: The body.
        cuts: For each read its size, whether it is into the window, and whether it is taken.
    """
    body, position, taken = LentBody(), 0, b""
    held: memoryview | bytes = b""
    for size, is_placed, takes in cuts:
        piece = content[position : position + size]
        window = body.window
        if is_placed and window is not None:
            piece = piece[: len(window)]
            window[: len(piece)] = piece
            body.add(window[: len(piece)])
        else:
            body.add(memoryview(piece))
        position += len(piece)
        assert body.size == position - len(taken) - len(held)
        if takes:
            taken += held
            held = body.take()
    return taken + held + body.take_whole() + content[position:]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 1_000, BLOCK // 3, BLOCK - 20_000, BLOCK, 2 * BLOCK]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_a_lent_body_is_what_was_received(cuts: list[tuple[int, bool, bool]]) -> None:
    """However it comes, and whatever is received after a piece while that is held."""
    content = bytes(range(251)) * (24 * BLOCK // 251 + 1)

    assert lent(content, cuts) == content


def test_a_lent_body_takes_two_blocks_of_memory() -> None:
    """Whatever its length, and one if each piece is taken before the next one comes."""
    body = LentBody()
    tracemalloc.start()
    try:
        for _ in range(50):
            window = body.window
            assert window is not None
            body.add(window[:100_000])
            body.take()
            body.take()
        slow, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            window = body.window
            assert window is not None
            body.add(window)
            assert body.window is None
            body.take()
        used, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert slow < 10_000
    assert BLOCK < used <= peak < BLOCK + 10_000
