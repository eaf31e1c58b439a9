"""Whether received bytes end inside a record of TLS."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._engine.io._tls_records import RECORD_HEADER, TLSRecords


def record(size: int) -> bytes:
    """Return a record with so many bytes after its header."""
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + b"\xff" * size


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"", 0),
        (record(0), 0),
        (record(700), 0),
        (record(700)[:-1], 1),
        (record(700)[:RECORD_HEADER], 700),
        (record(700)[:1], RECORD_HEADER - 1),
        (record(1) + record(2), 0),
        (record(1) + record(2)[:-1], 1),
        (record(1) + record(2)[:4], 1),
    ],
)
def test_what_the_last_record_lacks_is_counted(content: bytes, missing: int) -> None:
    """Of a header that has not come whole, at least its rest."""
    records = TLSRecords()
    records.follow(content)

    assert records.missing == missing


@given(
    st.lists(st.integers(0, 600), max_size=5),
    st.lists(st.integers(0, 3100), max_size=8),
)
def test_it_does_not_matter_how_the_bytes_are_cut(sizes: list[int], cuts: list[int]) -> None:
    """None is missing just where a record ends, whether memory or `bytes` are given."""
    content = b"".join(map(record, sizes))
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    ends = {0, *(len(b"".join(map(record, sizes[: n + 1]))) for n in range(len(sizes)))}
    records = TLSRecords()
    for number, (start, end) in enumerate(pairwise(places)):
        piece = content[start:end]
        records.follow(memoryview(piece) if number % 2 else piece)

        assert (records.missing == 0) == (end in ends)
