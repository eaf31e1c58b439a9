"""gzip and deflate, stage by stage."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Any

import pytest

from asyncbatch._decoding._stage import MAX_MEMBERS, MAX_PIECE, BodyCut, CorruptBody
from asyncbatch._decoding._zlib import DeflateStage, GzipStage, gunzip_at_once

TEXT = b"hello " * 50
RANDOM = random.Random(1).randbytes(300)


def raw(content: bytes) -> bytes:
    """Deflate without a wrapper."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def decode(kind: Any, wire: bytes, size: int = 1 << 20) -> bytes:
    """Feed a stage in pieces, and finish it."""
    pieces: list[bytes] = []
    stage = kind(pieces.append)
    for start in range(0, len(wire), size):
        stage.feed(wire[start : start + size])
    stage.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("kind", "wire", "content"),
    [
        (GzipStage, gzip.compress(TEXT, mtime=0), TEXT),
        (GzipStage, gzip.compress(b"", mtime=0), b""),
        (GzipStage, gzip.compress(TEXT, mtime=0) + gzip.compress(RANDOM, mtime=0), TEXT + RANDOM),
        (
            GzipStage,
            gzip.compress(TEXT, mtime=0) + bytes(9) + gzip.compress(RANDOM, mtime=0),
            TEXT + RANDOM,
        ),
        (GzipStage, gzip.compress(TEXT, mtime=0) + bytes(9), TEXT),
        (GzipStage, b"", b""),
        (DeflateStage, zlib.compress(TEXT), TEXT),
        (DeflateStage, raw(TEXT), TEXT),
        (DeflateStage, zlib.compress(b""), b""),
        (DeflateStage, raw(RANDOM), RANDOM),
        (DeflateStage, b"", b""),
    ],
)
def test_content_comes_out_however_the_bytes_are_cut(
    kind: Any, wire: bytes, content: bytes, size: int
) -> None:
    """All members, with or without a wrapper, padding ignored."""
    assert decode(kind, wire, size) == content


@pytest.mark.parametrize(
    ("kind", "wire"),
    [(GzipStage, gzip.compress(TEXT, mtime=0)), (DeflateStage, zlib.compress(TEXT))],
)
def test_an_end_before_the_end_is_a_cut(kind: Any, wire: bytes) -> None:
    """At whatever byte."""
    for length in range(1, len(wire)):
        with pytest.raises(BodyCut):
            decode(kind, wire[:length])


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (GzipStage, b"no gzip at all"),
        (GzipStage, gzip.compress(TEXT, mtime=0) + b"x"),
        (GzipStage, gzip.compress(TEXT, mtime=0)[:-4] + b"\0\0\0\0"),
        (GzipStage, gzip.compress(b"", mtime=0) * (MAX_MEMBERS + 1)),
        (DeflateStage, b"\xff\xff no deflate"),
        (DeflateStage, zlib.compress(TEXT) + b"x"),
        (DeflateStage, raw(TEXT) + b"x"),
        (DeflateStage, zlib.compress(TEXT)[:-1] + b"x"),
    ],
)
def test_what_is_none_is_corrupt(kind: Any, wire: bytes) -> None:
    """Also what comes after the end: it may be part of the body."""
    with pytest.raises(CorruptBody):
        decode(kind, wire)


@pytest.mark.parametrize("kind", [GzipStage, DeflateStage])
def test_pieces_are_bounded(kind: Any) -> None:
    """However well it was packed."""
    packed = gzip.compress if kind is GzipStage else zlib.compress
    sizes: list[int] = []
    stage = kind(lambda piece: sizes.append(len(piece)))
    stage.feed(packed(bytes(5 * MAX_PIECE + 3)))
    stage.finish()

    assert sum(sizes) == 5 * MAX_PIECE + 3
    assert max(sizes) <= MAX_PIECE


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (gzip.compress(TEXT, mtime=0), TEXT),
        (gzip.compress(TEXT, mtime=0)[:-1], None),
        (gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0), None),
        (gzip.compress(TEXT, mtime=0) + b"\0", None),
        (b"no gzip", None),
        (b"", None),
        (gzip.compress(b"", mtime=0), b""),
        (gzip.compress(bytes(MAX_PIECE - 1), mtime=0), bytes(MAX_PIECE - 1)),
        (gzip.compress(bytes(MAX_PIECE + 1), mtime=0), None),
        # The claimed size is less or more than the true one, or that of another member.
        (gzip.compress(TEXT, mtime=0)[:-4] + b"\1\0\0\0", None),
        (gzip.compress(TEXT, mtime=0)[:-4] + b"\xff\xff\0\0", None),
        (gzip.compress(TEXT, mtime=0)[:-4] + b"\xff\xff\xff\xff", None),
        (gzip.compress(TEXT, mtime=0) + gzip.compress(b"x", mtime=0), None),
        (gzip.compress(b"x", mtime=0) + gzip.compress(TEXT, mtime=0), None),
    ],
)
def test_only_a_small_whole_member_is_unpacked_at_once(wire: bytes, content: bytes | None) -> None:
    """What else there is, the stage judges."""
    assert gunzip_at_once(wire, MAX_PIECE) == content


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_member_is_unpacked_at_once_up_to_the_very_limit(size: int) -> None:
    """One byte more is left to the stage, whatever size is claimed."""
    wire = gzip.compress(bytes(size), mtime=0)

    assert gunzip_at_once(wire, size) == bytes(size)
    assert not size or gunzip_at_once(wire, size - 1) is None
    assert not size or gunzip_at_once(wire[:-4] + bytes(4), size - 1) is None
