"""
The codings that zlib decodes: gzip (RFC 1952) and deflate (RFC 1950, or RFC 1951 without wrapper).
"""

from __future__ import annotations

import zlib
from typing import Protocol

from ._stage import MAX_MEMBERS, MAX_PIECE, BodyCut, CorruptBody, Sink, sliced

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class _Inflater(Protocol):
    """The type that `zlib.decompressobj` returns, which has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, part: bytes, max_length: int, /) -> bytes: ...


class GzipStage:
    """
    Decodes gzip: every member (RFC 1952 §2.2), each checked against its CRC and length.

    NUL bytes after a member are padding, as for gzip(1) and CPython's gzip. Any other bytes that
    are not a member make the body corrupt, as in Go's compress/gzip: they may be part of the body.
    """

    __slots__ = ("_member", "_members", "_sink")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        # The current or the last member; None before the first byte.
        self._member: _Inflater | None = None
        self._members = 0

    def feed(self, chunk: bytes, /) -> None:
        for part in sliced(chunk):
            self._feed_slice(part)

    def finish(self) -> None:
        if self._member is not None and not self._member.eof:
            raise BodyCut("gzip")

    def _feed_slice(self, part: bytes) -> None:
        while part:
            member = self._member
            if member is None or member.eof:
                if self._members:
                    part = part.lstrip(b"\0")
                    if not part:
                        return
                member = self._open_member(part)
            _inflate(member, part, self._sink, "gzip")
            part = member.unused_data

    def _open_member(self, part: bytes) -> _Inflater:
        # zlib checks the magic number only with its second byte, which a single
        # stray byte at the end of a body lacks.
        if self._members and part[0] != 0x1F:
            raise CorruptBody("gzip", "there are bytes after the last member")
        if self._members == MAX_MEMBERS:
            raise CorruptBody("gzip", f"it has more than {MAX_MEMBERS} members")
        self._members += 1
        self._member = zlib.decompressobj(_GZIP)
        return self._member


class DeflateStage:
    """
    Decodes deflate, with the zlib wrapper that RFC 9110 §8.4.1.2 requires, or without it.

    Some servers omit the wrapper. The first two bytes tell: a raw stream looks like a zlib header
    only if its encoder sets padding bits of a stored block, which all known encoders leave zero.
    """

    __slots__ = ("_head", "_inflater", "_sink")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        # The first byte, until the second has come.
        self._head = b""
        # None until two bytes tell the format.
        self._inflater: _Inflater | None = None

    def feed(self, chunk: bytes, /) -> None:
        if self._inflater is None:
            chunk = self._head + chunk
            if len(chunk) < 2:
                self._head = chunk
                return
            self._inflater = zlib.decompressobj(_ZLIB if _is_zlib_header(chunk) else _RAW)
        for part in sliced(chunk):
            self._feed_slice(self._inflater, part)

    def finish(self) -> None:
        if self._inflater is None:
            if self._head:
                raise BodyCut("deflate")
            return
        if not self._inflater.eof:
            raise BodyCut("deflate")

    def _feed_slice(self, inflater: _Inflater, part: bytes) -> None:
        if not inflater.eof:
            _inflate(inflater, part, self._sink, "deflate")
            part = inflater.unused_data
            if not inflater.eof:
                return
        if part:
            raise CorruptBody("deflate", "there are bytes after its end")


def gunzip_at_once(raw: bytes, limit: int) -> bytes | None:
    """
    Return the content of a small body of one whole member; `None` for any other body.

    Args:
        raw: The body.
        limit: Most bytes of the content.
    """
    # RFC 1952 §2.3.1: the size that the body claims, 0 if it is too short. CPython makes the output
    # as long as that at once, and needs no copy of it: 24 KB in 23.0 µs instead of 24.0. A body
    # that decodes to more stops there, before its end, and so is left to the caller.
    claimed = int.from_bytes(raw[-4:], "little")
    if claimed > limit:
        return None
    # Not `zlib.decompress`, which would take 1 µs less: it has no limit, and drops what follows.
    member = zlib.decompressobj(_GZIP)
    try:
        content = member.decompress(raw, claimed or 1)  # 0 would be no limit
    except zlib.error:
        return None
    return content if member.eof and not member.unused_data else None


def _is_zlib_header(chunk: bytes) -> bool:
    """Whether the first two bytes are CMF and FLG of RFC 1950 §2.2."""
    method, flags = chunk[0], chunk[1]
    return method & 0x0F == 8 and method >> 4 <= 7 and (method << 8 | flags) % 31 == 0


def _inflate(inflater: _Inflater, part: bytes, sink: Sink, coding: str) -> None:
    """Decode `part` to `sink`, in bounded pieces."""
    try:
        piece = inflater.decompress(part, MAX_PIECE)
        # After a full piece, output may be pending inside zlib, even without
        # input. At the end of the stream, nothing more may be fed: CPython keeps
        # the bytes after it as unconsumed too, and would add them to the unused
        # data twice.
        while len(piece) == MAX_PIECE and not inflater.eof:
            sink(piece)
            piece = inflater.decompress(inflater.unconsumed_tail, MAX_PIECE)
    except zlib.error as exc:
        raise CorruptBody(coding, str(exc)) from exc
    if piece:
        sink(piece)
