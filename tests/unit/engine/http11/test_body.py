"""A body that grows: whatever the sizes of its pieces, it is their sum."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._engine.http11._body import UNJOINED, GrowingBody, UnjoinedBody

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
