"""Bounded content decoders: every coding whole, in pieces, cut, corrupt, stacked, and as a bomb."""

from __future__ import annotations

import contextlib
import gc
import gzip
import importlib
import os
import pickle
import sys
import threading
import tracemalloc
import types
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import brotli
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._decoding import (
    BodyCut,
    BodyLimitExceeded,
    CorruptBody,
    DecodingFailure,
    _brotli,
    _decoder,
    _stage,
    _zstd,
    decode,
    decoder_for,
    decoder_into,
    may_be_large,
)
from tests import zstd_encoder
from tests.zstd_encoder import whole as zstd

try:
    import zstandard
except ImportError:
    zstandard = None

MIB = 1024 * 1024
TEXT = b"".join(b'{"index": %d, "name": "n%d"}\n' % (i, i * 7919) for i in range(40))


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def zstd_streamed(body: bytes) -> bytes:
    """Neither size nor checksum in the head, and a block for each piece, as a server streams."""
    encoder = zstd_encoder.encoder()
    blocks = [
        encoder.compress(body[i : i + 97]) + zstd_encoder.flush_block(encoder)
        for i in range(0, len(body), 97)
    ]
    return b"".join(blocks) + encoder.flush()


Encode = Callable[[bytes], bytes]

ENCODERS: dict[str, tuple[str, Encode]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate-zlib": ("deflate", zlib.compress),
    "deflate-raw": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd),
    "zstd-streamed": ("zstd", zstd_streamed),
}
every_coding = pytest.mark.parametrize(("name", "encode"), ENCODERS.values(), ids=ENCODERS)
BY_NAME = dict(reversed(ENCODERS.values()))


def decode_pieces(name: str | None, pieces: Iterable[bytes], max_size: int | None = None) -> bytes:
    decoder = decoder_for(name, max_size=max_size)
    for piece in pieces:
        decoder.feed(piece)
    return decoder.finish()


def cut(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[i : i + size] for i in range(0, len(raw), size))


class BoundedZstd:
    """The interface of compression.zstd, on zstandard, bounded as the real one is."""

    class ZstdError(Exception):
        """What the module raises."""

    class DecompressionParameter:
        window_log_max = 100

    @staticmethod
    def get_frame_info(head: bytes) -> types.SimpleNamespace:
        size: int | None = zstandard.get_frame_parameters(head).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            size = None
        elif head[1:4] == b"\x2a\x4d\x18":  # skippable
            size = 0
        return types.SimpleNamespace(decompressed_size=size)

    class ZstdDecompressor:
        def __init__(self, options: dict[int, int]) -> None:
            size = 1 << options[BoundedZstd.DecompressionParameter.window_log_max]
            self._frame = zstandard.ZstdDecompressor(max_window_size=size).decompressobj()
            self._ready = b""

        @property
        def eof(self) -> bool:
            return self._frame.eof and not self._ready

        @property
        def unused_data(self) -> bytes:
            return self._frame.unused_data if self.eof else b""

        @property
        def needs_input(self) -> bool:
            return not self._ready and not self._frame.eof

        def decompress(self, part: bytes, max_length: int) -> bytes:
            try:
                self._ready += self._frame.decompress(part) if part else b""
            except zstandard.ZstdError as exc:
                raise BoundedZstd.ZstdError(*exc.args) from exc
            piece, self._ready = self._ready[:max_length], self._ready[max_length:]
            return piece


def bounded_zstd() -> Any:
    """Return the installed module with this interface, else the stand-in."""
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return BoundedZstd


class UnboundedBrotli:
    """The interface of the brotli packages before 1.2."""

    error = brotli.error

    class Decompressor:
        def __init__(self) -> None:
            self._inner = brotli.Decompressor()

        def process(self, part: bytes) -> bytes:
            return self._inner.process(part)

        def is_finished(self) -> bool:
            return self._inner.is_finished()


@pytest.fixture(params=["installed", "other"])
def packages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test that asks for this runs on both kinds of brotli and of zstd package."""
    if request.param == "other":
        monkeypatch.setattr(_brotli, "load_brotli", lambda: UnboundedBrotli)
        monkeypatch.setattr(_zstd, "load_zstd", bounded_zstd)
    else:
        # Where there is no zstandard (Python 3.15), it is the one of the standard library.
        monkeypatch.setattr(_zstd, "load_zstd", lambda: zstandard or bounded_zstd())
    return str(request.param)


# Whole, in pieces, empty


@every_coding
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 10 * MIB])
@pytest.mark.usefixtures("packages")
def test_the_body_is_the_same_however_it_is_cut(name: str, encode: Encode, size: int) -> None:
    """Where the network cuts an encoded body makes no difference."""
    assert decode_pieces(name, cut(encode(TEXT), size)) == TEXT


@every_coding
@pytest.mark.usefixtures("packages")
def test_a_body_cut_in_two_at_any_place_is_whole(name: str, encode: Encode) -> None:
    """Every place for a cut was tried."""
    raw = encode(TEXT[:200])

    for i in range(len(raw) + 1):
        assert decode_pieces(name, (raw[:i], raw[i:])) == TEXT[:200]


@every_coding
@pytest.mark.usefixtures("packages")
def test_an_encoded_empty_body_is_empty(name: str, encode: Encode) -> None:
    """An encoding of nothing decodes to nothing."""
    assert decode(name, encode(b""), max_size=0) == b""


@pytest.mark.parametrize(
    "name", [None, "", "identity", "gzip", "deflate", "br", "zstd", "gzip, br"]
)
def test_no_bytes_are_an_empty_body_in_every_coding(name: str | None) -> None:
    """Sloppy servers announce a coding for 204 and for empty bodies."""
    assert decode(name, b"", max_size=0) == b""
    assert decode_pieces(name, [b"", b""]) == b""


@every_coding
@pytest.mark.usefixtures("packages")
def test_a_large_body_of_either_density_is_whole(name: str, encode: Encode) -> None:
    """Bodies of many steps, dense and incompressible, come out as they went in."""
    body = bytes(3 * MIB) + os.urandom(300_000) + TEXT * 50

    raw = BY_NAME[name](body) if encode is zstd_streamed else encode(body)

    assert decode(name, raw, max_size=len(body)) == body


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=3000), st.integers(1, 400))
def test_round_trip(key: str, body: bytes, size: int) -> None:
    """What an encoder made, the decoder undoes, in pieces of any size."""
    name, encode = ENCODERS[key]

    assert decode_pieces(name, cut(encode(body), size), len(body)) == body


# Names


@pytest.mark.parametrize("name", [None, "", "identity", "foo", " , ", "x-unknown, identity"])
def test_what_is_not_known_is_left_as_it_is(name: str | None) -> None:
    """As in httpx, an unknown coding is no error."""
    assert decode_pieces(name, [b"ab", b"cd"], 4) == b"abcd"


@pytest.mark.parametrize("name", ["GZIP", " gzip ", "gzip,", ",gzip", "identity, gzip", "foo,gzip"])
def test_names_are_read_as_httpx_reads_them(name: str) -> None:
    """Case, blanks, empty elements and unknown neighbours do not matter."""
    raw = gzip.compress(TEXT)

    response = httpx.Response(200, headers={"content-encoding": name}, content=raw)

    assert decode(name, raw, max_size=None) == TEXT == response.content


def test_a_single_identity_chunk_is_not_copied() -> None:
    """A body that came in one piece is that piece."""
    assert decode_pieces(None, [TEXT]) is TEXT


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_without_its_package_a_coding_is_unknown(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both br and zstd need a package, as in httpx."""
    monkeypatch.setattr(_decoder, "load_brotli", lambda: None)
    monkeypatch.setattr(_decoder, "load_zstd", lambda: None)

    assert decode(name, b"encoded", max_size=None) == b"encoded"


@pytest.mark.parametrize("load", [_brotli.load_brotli, _zstd.load_zstd])
def test_a_missing_package_is_no_error(
    load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that is optional is imported in vain."""
    for module in ("brotli", "brotlicffi", "compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)

    assert load.__wrapped__() is None  # type: ignore[attr-defined]  # functools.cache


# Stacks


@pytest.mark.parametrize(
    "name",
    ["gzip, br", "br, gzip", "deflate, gzip, zstd", "gzip, gzip", "zstd, br, gzip, br, gzip"],
)
@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.usefixtures("packages")
def test_stacked_codings_are_undone_from_the_last(name: str, size: int) -> None:
    """The header names codings in the order in which they were applied (RFC 9110 §8.4)."""
    raw = TEXT
    for coding in name.split(", "):
        raw = BY_NAME[coding](raw)

    assert decode_pieces(name, cut(raw, size), len(TEXT)) == TEXT


@pytest.mark.parametrize("name", [", ".join(["gzip"] * 6), ",".join(["foo"] * 6), "br," * 600])
def test_more_than_five_codings_are_refused(name: str) -> None:
    """An endless chain of codings is an attack."""
    with pytest.raises(CorruptBody, match="more than 5 content codings"):
        decoder_for(name, max_size=None)


@pytest.mark.parametrize("inner", ["gzip", "br", "zstd", "deflate"])
def test_a_cut_inside_a_stack_is_seen(inner: str) -> None:
    """The outer coding is whole, the inner one is not."""
    raw = gzip.compress(BY_NAME[inner](TEXT)[:-1])

    with pytest.raises(BodyCut, match=inner):
        decode(f"{inner}, gzip", raw, max_size=None)


# Members and frames


@pytest.mark.parametrize("size", [1, 2, 17, MIB])
def test_every_gzip_member_is_decoded(size: int) -> None:
    """A gzip body is a series of members (RFC 1952 §2.2), some of them empty."""
    raw = b"".join(map(gzip.compress, (b"one", b"", b"two", TEXT)))

    assert decode_pieces("gzip", cut(raw, size)) == b"onetwo" + TEXT


@pytest.mark.parametrize("size", [1, 2, 17, MIB])
@pytest.mark.usefixtures("packages")
def test_every_zstd_frame_is_decoded_and_skippable_ones_skipped(size: int) -> None:
    """A zstd body is a series of frames (RFC 8878 §3.1)."""
    skippable = bytes.fromhex("5f2a4d18") + (300).to_bytes(4, "little") + bytes(300)
    empty_skippable = bytes.fromhex("502a4d18") + bytes(4)
    frames = (
        zstd(b"one"),
        skippable,
        zstd_streamed(TEXT),
        empty_skippable,
        zstd(b""),
        zstd(b"two"),
    )

    assert decode_pieces("zstd", cut(b"".join(frames), size)) == b"one" + TEXT + b"two"


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd)])
@pytest.mark.usefixtures("packages")
def test_there_may_be_1024_members_and_no_more(name: str, encode: Encode) -> None:
    """Each member costs a new decompressor, so that their number is bounded."""
    assert decode(name, encode(b"x") * 1024, max_size=None) == b"x" * 1024

    with pytest.raises(CorruptBody, match="more than 1024"):
        decode(name, encode(b"x") * 1025, max_size=None)


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd)])
@pytest.mark.usefixtures("packages")
def test_a_member_may_end_where_a_step_ends(name: str, encode: Encode) -> None:
    """Members of exactly one or two steps hide neither their end nor what follows."""
    step = _stage.MAX_PIECE
    bodies = [b"ab" * step, b"c" * step, b"", b"d" * (3 * step), b"e" * (step - 1), b"end"]

    raw = b"".join(map(encode, bodies))

    assert decode(name, raw, max_size=None) == b"".join(bodies)


@pytest.mark.parametrize("size", [1, 3, MIB])
def test_nul_padding_behind_a_gzip_member_is_ignored(size: int) -> None:
    """Tapes and blocks pad with NUL; gzip(1) does not mind, nor do we."""
    raw = gzip.compress(b"one") + bytes(700) + gzip.compress(b"two") + bytes(5)

    assert decode_pieces("gzip", cut(raw, size)) == b"onetwo"


@every_coding
@pytest.mark.parametrize("rest", [b"\n", b"rubbish", b"\x00\x01", TEXT])
@pytest.mark.parametrize("size", [1, MIB])
@pytest.mark.usefixtures("packages")
def test_bytes_behind_the_end_are_an_error(
    name: str, encode: Encode, rest: bytes, size: int
) -> None:
    """What follows may be the rest of the body, so it is not dropped."""
    with pytest.raises((CorruptBody, BodyCut) if name == "zstd" else CorruptBody):
        decode_pieces(name, cut(encode(b"body") + rest, size))


# Cut and corrupt


@every_coding
@pytest.mark.usefixtures("packages")
def test_a_body_that_ends_early_is_cut_at_every_place(name: str, encode: Encode) -> None:
    """Every proper prefix but the empty one is an error, and the right one."""
    raw = encode(TEXT[:300])

    for end in range(1, len(raw)):
        with pytest.raises(BodyCut):
            decode(name, raw[:end], max_size=None)


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd)])
@pytest.mark.usefixtures("packages")
def test_a_cut_second_member_is_cut(name: str, encode: Encode) -> None:
    """The first member alone is never taken for the body."""
    first, second = encode(b"one"), encode(b"two")

    for end in range(1, len(second)):
        with pytest.raises(BodyCut):
            decode(name, first + second[:end], max_size=None)


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_damaged_body_is_never_taken_for_another(name: str, encode: Encode) -> None:
    """Codings with a check sum notice a flipped bit anywhere in what it covers."""
    raw = encode(TEXT)

    for place in range(10 if name == "gzip" else 0, len(raw)):
        damaged = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        with pytest.raises((CorruptBody, BodyCut)):
            decode(name, damaged, max_size=None)


@every_coding
@pytest.mark.usefixtures("packages")
def test_damage_raises_nothing_but_the_errors_named(name: str, encode: Encode) -> None:
    """Whatever the bytes are, no error of a package comes through."""
    raw = encode(TEXT)

    for place in range(len(raw)):
        damaged = raw[:place] + bytes([raw[place] ^ 0x84]) + raw[place + 1 :]
        with contextlib.suppress(DecodingFailure):
            decode(name, damaged, max_size=MIB)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
@given(body=st.binary(min_size=1, max_size=200), size=st.integers(1, 200))
def test_rubbish_raises_nothing_but_the_errors_named(name: str, body: bytes, size: int) -> None:
    """Any bytes give a body or one of the named errors."""
    with contextlib.suppress(DecodingFailure):
        decode_pieces(name, cut(body, size), MIB)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.usefixtures("packages")
def test_a_plain_body_under_a_coding_is_corrupt(name: str) -> None:
    """A server that names a coding and does not apply it."""
    with pytest.raises(CorruptBody, match=name):
        decode(name, b"<!doctype html><html></html>", max_size=None)


@pytest.mark.parametrize(
    "block",
    [
        (3 << 1 | 1).to_bytes(3, "little"),
        ((128 * 1024 + 1) << 3 | 1).to_bytes(3, "little"),
        ((128 * 1024 + 1) << 3 | 1 << 1).to_bytes(3, "little") + b"x",
    ],
    ids=["reserved", "raw", "rle"],
)
@pytest.mark.usefixtures("packages")
def test_a_zstd_block_that_may_not_be_is_refused_at_its_header(block: bytes) -> None:
    """Reserved types and blocks above 128 KiB are errors (RFC 8878 §3.1.1.2)."""
    head = bytes.fromhex("28b52ffd") + b"\x00" + bytes([13 << 3])

    with pytest.raises(CorruptBody):
        decode("zstd", head + block, max_size=None)


def test_an_empty_compressed_zstd_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By us, where we read the blocks: libzstd takes it for no block at all, if it comes alone."""
    if zstandard is None:
        pytest.skip("zstandard is not installed: it has no wheels for Python 3.15")
    monkeypatch.setattr(_zstd, "load_zstd", lambda: zstandard)
    head = bytes.fromhex("28b52ffd") + b"\x00" + bytes([13 << 3])

    with pytest.raises(CorruptBody, match="invalid header"):
        decode("zstd", head + (2 << 1 | 1).to_bytes(3, "little"), max_size=None)


@pytest.mark.parametrize("size", [1, 4, MIB])
@pytest.mark.parametrize("promised", [2, 4])
@pytest.mark.usefixtures("packages")
def test_a_zstd_frame_that_breaks_its_promise_of_a_size_is_refused(
    promised: int, size: int
) -> None:
    """In pieces too, where libzstd forgets to look if the last block is empty."""
    head = bytes.fromhex("28b52ffd") + bytes([0x20, promised])
    raw = head + (3 << 3).to_bytes(3, "little") + b"abc" + (1).to_bytes(3, "little")

    with pytest.raises(CorruptBody):
        decode_pieces("zstd", cut(raw, size))


@pytest.mark.parametrize(("log", "passes"), [(23, True), (24, False)])
@pytest.mark.usefixtures("packages")
def test_a_zstd_window_above_8_mib_is_refused(log: int, passes: bool) -> None:
    """RFC 9659: HTTP needs no larger window, and it would cost that much memory."""
    compressor = zstd_encoder.encoder(window_log=log)
    raw = compressor.compress(TEXT) + compressor.flush()

    if passes:
        assert decode("zstd", raw, max_size=None) == TEXT
    else:
        with pytest.raises(CorruptBody):
            decode("zstd", raw, max_size=None)


# The cap


@pytest.mark.parametrize("name", [None, "gzip", "deflate", "br", "zstd", "gzip, br"])
@pytest.mark.parametrize("size", [1, 1000, MIB - 1, MIB, 3 * MIB + 5])
@pytest.mark.usefixtures("packages")
def test_the_cap_is_exact(name: str | None, size: int) -> None:
    """A body of the cap passes, one byte more does not."""
    raw = body = bytes(size)
    for coding in name.split(", ") if name else ():
        raw = BY_NAME[coding](raw)

    assert decode(name, raw, max_size=size) == body
    with pytest.raises(BodyLimitExceeded) as caught:
        decode(name, raw, max_size=size - 1)
    assert caught.value.limit == size - 1


def test_a_decoder_that_passes_pieces_on_passes_on_no_more_than_the_cap() -> None:
    """The piece that passes it is not handed on."""
    passed: list[bytes] = []
    raw = gzip.compress(b"first") + gzip.compress(b"second")
    for cap in (10, 11):
        decoder = decoder_into("gzip", passed.append, max_size=cap)
        assert decoder is not None
        with pytest.raises(BodyLimitExceeded) if cap == 10 else contextlib.nullcontext():
            decoder.feed(raw)
            assert decoder.finish() == b""

    assert passed == [b"first", b"first", b"second"]


def test_the_decoded_size_is_known_on_the_way() -> None:
    """A lane may watch what it has got so far."""
    for name, raw in ((None, TEXT), ("gzip", gzip.compress(TEXT))):
        decoder = decoder_for(name, max_size=None)
        sizes = [decoder.decoded_size]
        decoder.feed(raw)
        sizes.append(decoder.decoded_size)

        assert sizes == [0, len(TEXT)]


def bomb(*codings: str) -> bytes:
    raw = bytes(64 * MIB)
    for coding in codings:
        compress = {
            "gzip": lambda body: gzip.compress(body, 1),
            "deflate": lambda body: zlib.compress(body, 1),
            "br": lambda body: brotli.compress(body, quality=1),
            "zstd": zstd,
        }[coding]
        raw = compress(raw)
    return raw


@pytest.mark.parametrize(
    "codings",
    [
        ("gzip",),
        ("deflate",),
        ("br",),
        ("zstd",),
        ("gzip", "gzip"),
        ("gzip", "br"),
        ("zstd", "gzip"),
    ],
    ids=", ".join,
)
def test_a_bomb_costs_the_cap_and_a_constant(codings: tuple[str, ...]) -> None:
    """64 MiB behind a cap of 4 MiB: no stage ever makes more than it may hand on."""
    cap, constant = 4 * MIB, 2 * MIB
    raw, name = bomb(*codings), ", ".join(codings)
    decoder = decoder_for(name, max_size=cap)

    tracemalloc.start()
    try:
        with pytest.raises(BodyLimitExceeded):
            decoder.feed(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < cap + constant


@every_coding
def test_no_stage_hands_on_more_than_a_step(name: str, encode: Encode) -> None:
    """Between two codings there are never more than 256 KiB."""
    sizes: list[int] = []
    maker = _decoder._stage_maker(name)
    assert maker is not None
    stage = maker(lambda piece: sizes.append(len(piece)))

    stage.feed(encode(bytes(2 * MIB)) if encode is not zstd_streamed else zstd(bytes(2 * MIB)))

    assert sum(sizes) == 2 * MIB
    assert max(sizes) <= _stage.MAX_PIECE


@every_coding
def test_no_byte_of_a_body_is_moved_while_it_grows(name: str, encode: Encode) -> None:
    """What is kept of 16 MiB are pieces; a buffer that grows is copied with the lock held."""
    size = 16 * MIB
    raw = encode(bytes(size)) if encode is not zstd_streamed else zstd(bytes(size))
    decoder = decoder_for(name, max_size=None)

    tracemalloc.start()
    try:
        decoder.feed(raw)
        blocks = [trace.size for trace in tracemalloc.take_snapshot().traces]
    finally:
        tracemalloc.stop()

    assert sum(blocks) >= size
    # The list of the pieces itself is small; brotli's window is not Python's.
    assert max(blocks) <= _stage.MAX_PIECE + 100


def test_short_pieces_are_put_together_before_they_are_kept() -> None:
    """As objects they would take more memory than their bytes do."""
    body = os.urandom(3) * 200_000
    raw = zstd_streamed(body)
    decoder = decoder_for("zstd", max_size=None)

    tracemalloc.start()
    try:
        for start in range(0, len(raw), 50):
            decoder.feed(raw[start : start + 50])
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert kept < len(body) + MIB
    assert decoder.finish() == body


@pytest.mark.skipif(not hasattr(sys, "setswitchinterval"), reason="no interpreter's lock")
def test_other_threads_run_while_a_large_body_is_put_together() -> None:
    """The lock is let go, not taken away: nothing takes it away within a minute here."""
    interval = sys.getswitchinterval()
    woken = threading.Event()
    asleep = threading.Lock()

    def wake() -> None:
        asleep.acquire()
        woken.set()

    for _ in range(100):  # the other thread may get no processor for a while
        decoder = decoder_for("gzip", max_size=None)
        decoder.feed(gzip.compress(bytes(16 * MIB), 1))
        asleep.acquire()
        thread = threading.Thread(target=wake)
        thread.start()
        sys.setswitchinterval(60)
        try:
            asleep.release()
            decoder.finish()
            has_run = woken.is_set()
        finally:
            sys.setswitchinterval(interval)
        thread.join()
        asleep.release()
        if has_run:
            break
        woken.clear()

    assert has_run


def test_what_a_body_passes_between_codings_is_bounded_too() -> None:
    """Padding that a gzip member hides from the body would cost time without end."""
    padded = gzip.compress(b"body") + bytes(8 * MIB)

    assert decode("gzip", padded, max_size=4) == b"body"
    with pytest.raises(BodyLimitExceeded):
        decode("gzip, gzip", gzip.compress(padded), max_size=4)


def test_a_dense_body_passes() -> None:
    """There is no bound on the ratio: 1,000 to 1 is a legitimate body."""
    body = b"0," * (2 * MIB)

    assert decode("br", brotli.compress(body, quality=5), max_size=len(body)) == body


# The rest of the contract


def test_decoders_do_not_wait_for_the_garbage_collector() -> None:
    """No reference cycle keeps a body alive, whether it was finished or given up."""
    raws = {name: BY_NAME[name](TEXT) for name in ("gzip", "deflate", "br", "zstd")}
    raws["gzip, br"] = brotli.compress(raws["gzip"])
    gc.collect()
    gc.disable()
    try:
        for name, raw in raws.items():
            decode(name, raw, max_size=None)
            decoder_for(name, max_size=None).feed(raw[:9])
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [BodyLimitExceeded(3), BodyCut("br"), CorruptBody("gzip", "why")])
def test_errors_survive_pickling(error: DecodingFailure) -> None:
    """Results travel between processes, and their errors with them."""
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


# What is large is also told by its length alone: see the tests of the lanes.
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP ", "deflate", "br", "zstd"])
def test_a_small_body_is_known_to_be_small(coding: str) -> None:
    """So that it need not go to a thread."""
    raw = BY_NAME[{"x-gzip": "gzip", "GZIP ": "gzip"}.get(coding, coding)](b"hello " * 500)

    assert not may_be_large(coding, raw, 10_000)


@pytest.mark.parametrize("lgwin", [10, 16, 17, 18, 20, 22, 24])
def test_what_brotli_makes_large_at_once_is_known_before(lgwin: int) -> None:
    """Where it fills a window of its own in one call; up to 256 KiB do not matter."""
    large = brotli.Compressor(lgwin=lgwin)
    raw = large.process(bytes(3 * MIB)) + large.finish()
    small = brotli.compress(b"hello " * 500, lgwin=lgwin)
    pieces = brotli.Compressor(lgwin=lgwin)
    unknown = pieces.process(b"hello") + pieces.flush() + pieces.process(b"you") + pieces.finish()

    assert may_be_large("br", raw, MIB) is (lgwin > 18)
    assert may_be_large("br", unknown, MIB) is (lgwin > 18)
    assert not may_be_large("br", small, MIB)
    assert not may_be_large("br", brotli.compress(b"", lgwin=lgwin), MIB)


def test_gzip_says_how_large_it_is() -> None:
    """At its end; what it says may be a lie."""
    assert may_be_large("gzip", gzip.compress(bytes(MIB)), MIB - 1)
    assert not may_be_large("gzip", gzip.compress(bytes(MIB)), MIB)


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x01", b"\x11", b"\x0f" * 9, b"\xff" * 9])
def test_any_bytes_may_be_looked_at(raw: bytes) -> None:
    """What is no brotli at all is found out by the decoder."""
    assert may_be_large("br", raw, MIB) in (True, False)


def test_several_codings_may_be_large() -> None:
    """Nobody knows what comes out of the first."""
    assert may_be_large("gzip, br", b"", MIB)
    assert not may_be_large("unknown", b"", MIB)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_a_decoding_can_be_given_up_at_each_piece(coding: str) -> None:
    """Also between two codings."""
    raw = bytes(4 * MIB)
    for name in coding.split(", "):
        raw = BY_NAME[name](raw)
    left = 3

    def stop_soon() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyError

    with pytest.raises(KeyError):
        decode(coding, raw, max_size=None, on_piece=stop_soon)
