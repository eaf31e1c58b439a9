"""
A coverage-guided fuzz target for the content decoders; `README.md` says how to run it.

An input is a plan of nine bytes (`Plan`) and, behind it, the encoded body, or a plain one that the
plan's codings are applied to, so that more than heads is reached. Whatever it is and however it
is cut, what `check` asserts has to hold.
"""

from __future__ import annotations

import gzip
import importlib
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import atheris
import brotli
import zstandard

with atheris.instrument_imports(include=["asyncbatch._decoding"]):
    from asyncbatch._decoding import (
        BodyCut,
        BodyLimitExceeded,
        CorruptBody,
        DecodingFailure,
        _zstd,
        decode,
        decoder_for,
    )
    from asyncbatch._decoding._decoder import MAX_CODINGS
    from asyncbatch._decoding._stage import MAX_MEMBERS, MAX_PIECE

CONTROL = 9
CAPS = (0, 1, 100, 4096, 65_536, 1 << 20)
NAMES = ("gzip", "deflate", "br", "zstd", "x-gzip", "identity", " GZIP ", "", "new")
NOTHING = {"identity", "", "new"}
"""Codings that change nothing: by definition, or because they are not known."""


def _zstd_modules() -> list[Any]:
    """Return the modules that the decoder may be made of, as far as they are installed."""
    modules = [zstandard]
    for name in ("compression.zstd", "backports.zstd"):
        try:
            modules.append(importlib.import_module(name))
        except ImportError:
            continue
    return modules


ZSTD_MODULES = _zstd_modules()


@dataclass(frozen=True)
class Plan:
    """What the body is said to be, and how it is handed over."""

    is_encoded_here: bool
    """Whether the rest is a plain body, to which the codings are applied first."""
    is_cut: bool
    """Whether what was encoded here loses its end."""
    is_corrupted: bool
    """Whether one bit of it is turned."""
    is_deflate_raw: bool
    zstd: Any
    """The module that undoes zstd."""
    names: tuple[str, ...]
    sizes: tuple[int, int]
    """The sizes of the pieces, in turn."""
    cap: int
    place: int
    """Where it is cut or corrupted, in 256ths of its length."""

    @classmethod
    def decode(cls, control: bytes) -> Plan:
        """Make a plan of nine bytes, whichever they are."""
        flags, count, *picks, first, second, cap, place = control
        names = [NAMES[pick % len(NAMES)] for byte in picks for pick in (byte & 15, byte >> 4)]
        return cls(
            is_encoded_here=bool(flags & 1),
            is_cut=flags & 3 == 3,
            is_corrupted=flags & 5 == 5,
            is_deflate_raw=bool(flags & 8),
            zstd=ZSTD_MODULES[(flags >> 4) % len(ZSTD_MODULES)],
            names=tuple(names[: count % (len(names) + 1)]),
            sizes=(first + 1, 16 * second + 1),
            cap=CAPS[cap % len(CAPS)],
            place=place,
        )

    @property
    def codings(self) -> list[str]:
        """The names that mean something, as the decoder understands them."""
        return [name.strip().lower() for name in self.names if name not in NOTHING]

    @property
    def has_too_many(self) -> bool:
        """Whether there are more names than a body may have; an unknown one counts."""
        return len([name for name in self.names if name not in ("identity", "")]) > MAX_CODINGS

    def body(self, rest: bytes) -> bytes:
        """Return the body as it is sent."""
        if not self.is_encoded_here:
            return rest
        body = rest
        for name in self.codings:
            body = self._encoders[name](body)
        if self.is_corrupted and body:
            at = self.place * len(body) // 256
            body = body[:at] + bytes([body[at] ^ 1 << (self.place & 7)]) + body[at + 1 :]
        return body[: self.place * len(body) // 256] if self.is_cut else body

    def cut(self, body: bytes) -> list[bytes]:
        """Cut the body into pieces."""
        pieces: list[bytes] = []
        position = 0
        while position < len(body):
            size = self.sizes[len(pieces) % 2]
            pieces.append(body[position : position + size])
            position += size
        return pieces

    @property
    def _encoders(self) -> dict[str, Callable[[bytes], bytes]]:
        return {
            "gzip": _gzip,
            "x-gzip": _gzip,
            "deflate": _raw_deflate if self.is_deflate_raw else zlib.compress,
            "br": lambda body: brotli.compress(body, quality=4),
            "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
        }


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


Outcome = bytes | DecodingFailure


def decode_whole(plan: Plan, body: bytes) -> Outcome:
    """Decode at once; any exception other than a `DecodingFailure` is a finding."""
    try:
        return decode(",".join(plan.names), body, max_size=plan.cap)
    except DecodingFailure as error:
        return error


def decode_in_pieces(plan: Plan, pieces: list[bytes]) -> Outcome:
    """Decode piece by piece, and see that no more is made than the cap and a piece."""
    decoder = None
    try:
        decoder = decoder_for(",".join(plan.names), max_size=plan.cap)
        for piece in pieces:
            decoder.feed(piece)
            assert decoder.decoded_size <= plan.cap
        return decoder.finish()
    except DecodingFailure as error:
        assert decoder is None or decoder.decoded_size <= plan.cap + MAX_PIECE
        return error


def agree(plan: Plan, whole: Outcome, in_pieces: Outcome) -> bool:
    """
    Say whether two outcomes of one body are the same.

    Whether a cap or a flaw behind it shows first is a matter of the pieces. And libzstd takes an
    empty compressed block for no block where it does not see the whole frame at once.
    """
    if isinstance(whole, CorruptBody) and plan.zstd is not zstandard and "zstd" in plan.codings:
        return True
    if isinstance(whole, bytes) or isinstance(in_pieces, bytes):
        return whole == in_pieces
    return type(whole) is type(in_pieces) or BodyLimitExceeded in (type(whole), type(in_pieces))


def by_reference(plan: Plan, body: bytes) -> bytes | None:
    """Decode a body of one coding with what the codings' libraries offer; None if they refuse."""
    (coding,) = plan.codings
    try:
        match coding:
            case "gzip" | "x-gzip":
                return gzip.decompress(body)
            case "deflate":
                return _inflate(body)
            case "br":
                return bytes(brotli.decompress(body))
            case _:
                reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
                return bytes(reader.read())
    except (EOFError, OSError, zlib.error, brotli.error, zstandard.ZstdError):
        return None


def _inflate(body: bytes) -> bytes | None:
    for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        inflater = zlib.decompressobj(wbits)
        try:
            content = inflater.decompress(body)
        except zlib.error:
            continue
        if inflater.eof and not inflater.unused_data:
            return content
    return None


def check_against_reference(plan: Plan, body: bytes, whole: Outcome) -> None:
    """Assert that what is taken is taken alike, and that zlib's codings are not refused."""
    if len(plan.codings) != 1 or plan.has_too_many or not body:
        return
    if isinstance(whole, bytes):
        theirs = by_reference(plan, body)
        assert theirs == whole, f"ours: {whole!r}\ntheirs: {theirs!r}"
    elif plan.codings[0] in ("gzip", "x-gzip") and not isinstance(whole, BodyLimitExceeded):
        theirs = by_reference(plan, body)
        # CPython's gzip takes reserved flags, and checks no checksum of a header.
        is_stricter = isinstance(whole, CorruptBody) and (
            "header" in whole.reason or str(MAX_MEMBERS) in whole.reason
        )
        assert theirs is None or is_stricter, f"ours: {whole}\ntheirs: {theirs!r}"


def check_own(plan: Plan, rest: bytes, body: bytes, whole: Outcome) -> None:
    """Assert that what was encoded here comes back, and what was cut does not."""
    if plan.has_too_many or plan.is_corrupted:
        return
    if not plan.codings or not body:
        assert not body or whole == body or isinstance(whole, BodyLimitExceeded)
    elif plan.is_cut:
        assert isinstance(whole, BodyCut | BodyLimitExceeded), whole
    elif len(rest) <= plan.cap:
        assert whole == rest, whole
    else:
        assert isinstance(whole, BodyLimitExceeded), whole


def check(data: bytes) -> None:
    """Assert what has to hold for each input."""
    if len(data) < CONTROL:
        return
    plan, rest = Plan.decode(data[:CONTROL]), data[CONTROL:]
    _zstd.load_zstd = lambda: plan.zstd
    body = plan.body(rest)
    whole = decode_whole(plan, body)
    in_pieces = decode_in_pieces(plan, plan.cut(body))
    if plan.has_too_many:
        # The one thing that the empty body is spared.
        assert isinstance(in_pieces, CorruptBody)
        assert isinstance(whole, CorruptBody) or not body
        return
    assert agree(plan, whole, in_pieces), f"whole: {whole!r}\nin pieces: {in_pieces!r}"
    assert not isinstance(whole, bytes) or len(whole) <= plan.cap
    check_against_reference(plan, body, whole)
    if plan.is_encoded_here:
        check_own(plan, rest, body, whole)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
