"""What all codings share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._decoding._stage import (
    MAX_SLICE,
    BodyCut,
    BodyLimitExceeded,
    CorruptBody,
    DecodingFailure,
    sliced,
)


@given(st.binary(max_size=50), st.integers(1, 60))
def test_slices_are_the_chunk_in_pieces_of_bounded_size(chunk: bytes, size: int) -> None:
    """None is empty, unless all is; only the last one is shorter."""
    pieces = [*sliced(chunk, size)]

    assert b"".join(pieces) == chunk
    assert all(len(piece) == size for piece in pieces[:-1])
    assert 0 < len(pieces[-1]) <= size or not chunk


def test_a_small_chunk_is_not_copied() -> None:
    """Most are small."""
    chunk = bytes(MAX_SLICE)

    assert next(iter(sliced(chunk))) is chunk
    assert [len(piece) for piece in sliced(chunk + b"x")] == [MAX_SLICE, 1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BodyLimitExceeded(7), ["7 bytes"]),
        (BodyCut("gzip"), ["gzip", "early"]),
        (CorruptBody("zstd", "no frame"), ["zstd", "no frame"]),
    ],
)
def test_each_failure_says_what_was_wrong(error: DecodingFailure, words: list[str]) -> None:
    """With its coding or its limit."""
    assert all(word in str(error) for word in words)
