"""Decoding a body that has come as a whole."""

from __future__ import annotations

import gzip
import random
import threading
from typing import Any

import pytest

from asyncbatch._decoding import BodyLimitExceeded, DecodingFailure
from asyncbatch._lanes import _whole_body
from asyncbatch._lanes._whole_body import WholeBodyDecoder

SMALL = b"hello" * 100
INCOMPRESSIBLE = random.Random(1).randbytes(1_000_000)


@pytest.mark.parametrize(
    ("limit", "raw"),
    [
        (None, gzip.compress(bytes(1_000_000))),
        (None, gzip.compress(INCOMPRESSIBLE[:40_000])),
        (len(SMALL) - 1, gzip.compress(SMALL)),
        (None, b"no gzip"),
        (None, gzip.compress(SMALL)[:-1]),
    ],
    ids=["long when decoded", "long", "beyond the limit", "corrupt", "cut"],
)
def test_what_takes_long_or_is_wrong_is_not_decoded_at_once(limit: int | None, raw: bytes) -> None:
    """Others wait meanwhile; and what is wrong is reported elsewhere."""
    assert WholeBodyDecoder(limit).decode_nowait(raw, "gzip") is None


@pytest.mark.parametrize("limit", [None, len(SMALL)])
async def test_what_is_small_is_decoded_at_once_or_later(limit: int | None) -> None:
    """To the same, up to the very limit."""
    raw = gzip.compress(SMALL)
    decoder = WholeBodyDecoder(limit)

    assert decoder.decode_nowait(raw, "gzip") == SMALL
    assert await decoder.decode(raw, "gzip") == SMALL


@pytest.mark.parametrize(
    ("content", "is_in_thread"),
    [(SMALL, False), (bytes(3_000_000), True), (INCOMPRESSIBLE, True)],
    ids=["small", "small on the wire", "large"],
)
async def test_a_large_body_is_decoded_in_a_thread(
    content: bytes, is_in_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large before, or after."""
    threads: list[int] = []
    real = _whole_body.decode

    def noting(*args: Any, **options: Any) -> bytes:
        threads.append(threading.get_ident())
        return real(*args, **options)

    monkeypatch.setattr(_whole_body, "decode", noting)

    assert await WholeBodyDecoder(None).decode(gzip.compress(content), "gzip") == content
    assert (threads[-1] != threading.get_ident()) is is_in_thread


@pytest.mark.parametrize("limit", [10, 2_000_000])
async def test_a_body_beyond_the_limit_is_refused(limit: int) -> None:
    """Whether the limit is below what is decoded on the spot, or above."""
    with pytest.raises(BodyLimitExceeded):
        await WholeBodyDecoder(limit).decode(gzip.compress(bytes(3_000_000)), "gzip")


async def test_a_corrupt_body_is_refused() -> None:
    """And no body at all is none that is corrupt."""
    decoder = WholeBodyDecoder(None)

    with pytest.raises(DecodingFailure):
        await decoder.decode(b"no gzip", "gzip")
    assert await decoder.decode(b"", "gzip") == b""
