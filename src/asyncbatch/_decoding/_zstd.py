"""
The coding zstd (RFC 8878), on compression.zstd, backports.zstd or zstandard.

The first two have the same interface and can bound their output. zstandard cannot, so its input is
cut at the blocks of zstd, whose decoded size is bounded.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Generator, Iterator
from typing import Any

from ._stage import MAX_MEMBERS, MAX_PIECE, BodyCut, CorruptBody, Sink, Stage, sliced

# RFC 9659 §3: the largest window allowed in HTTP.
_WINDOW_LOG = 23

# RFC 8878 §3.1.1.1
_LONGEST_HEAD = 18

# RFC 8878 §3.1.1.2.4
_MAX_BLOCK = 128 * 1024

# RFC 8878 §3.1.1, §3.1.2
_FRAME = 0xFD2FB528
_SKIPPABLE = 0x184D2A50
_HAS_CHECKSUM = 0x04
_RLE, _COMPRESSED, _RESERVED = 1, 2, 3

_TOO_MANY = f"it has more than {MAX_MEMBERS} frames"

# libzstd checks this only if the last block has content, or all input comes at once.
_WRONG_SIZE = "a frame is not as long as it says"


@functools.cache
def load_zstd() -> Any | None:
    """Return a zstd module, preferably one that can bound its output; `None` without any."""
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def zstd_stage(sink: Sink) -> Stage:
    """Return a stage that uses the installed module."""
    module = load_zstd()
    assert module is not None
    if hasattr(module, "DecompressionParameter"):
        return ZstdStage(sink, module)
    return ZstandardStage(sink, module)


class ZstdStage:
    """Decodes zstd, frame by frame, with a module whose decompressor takes `max_length`."""

    __slots__ = ("_frame", "_frames", "_head", "_module", "_sink", "_size")

    def __init__(self, sink: Sink, module: Any) -> None:
        self._sink = sink
        self._module = module
        # The current or the last frame; None before the first byte.
        self._frame: Any | None = None
        self._frames = 0
        # The first bytes of that frame, and its decoded size so far.
        self._head = b""
        self._size = 0

    def feed(self, chunk: bytes, /) -> None:
        for part in sliced(chunk):
            while part:
                frame = self._frame
                if frame is None or frame.eof:
                    frame = self._frame = self._open_frame()
                if len(self._head) < _LONGEST_HEAD:
                    self._head = (self._head + part)[:_LONGEST_HEAD]
                self._feed_frame(frame, part)
                part = frame.unused_data

    def finish(self) -> None:
        if self._frame is not None and not self._frame.eof:
            raise BodyCut("zstd")

    def _open_frame(self) -> Any:
        if self._frames == MAX_MEMBERS:
            raise CorruptBody("zstd", _TOO_MANY)
        self._frames += 1
        self._head, self._size = b"", 0
        window = {self._module.DecompressionParameter.window_log_max: _WINDOW_LOG}
        return self._module.ZstdDecompressor(options=window)

    def _feed_frame(self, frame: Any, part: bytes) -> None:
        try:
            piece = frame.decompress(part, MAX_PIECE)
            while piece:
                self._size += len(piece)
                self._sink(piece)
                if frame.eof or frame.needs_input:
                    break
                piece = frame.decompress(b"", MAX_PIECE)
            if frame.eof:
                self._check_size()
        except self._module.ZstdError as exc:
            raise CorruptBody("zstd", str(exc)) from exc

    def _check_size(self) -> None:
        promised = self._module.get_frame_info(self._head).decompressed_size
        if promised not in (None, self._size):
            raise CorruptBody("zstd", _WRONG_SIZE)


class ZstandardStage:
    """
    Decodes zstd with zstandard, whose decompressor returns all its output in one piece.

    Four bytes can decode to 128 KiB. So the frames are parsed, and the decompressor gets only whole
    blocks that, by their headers, decode to at most `MAX_PIECE` together.
    """

    __slots__ = ("_error", "_is_complete", "_pending", "_walk")

    def __init__(self, sink: Sink, module: Any) -> None:
        self._error: type[Exception] = module.ZstdError
        # Bytes that are not yet a whole header, block or checksum.
        self._pending = bytearray()
        self._walk = _walk_frames(self._pending, module, sink)
        # Whether the body may end here.
        self._is_complete = True

    def feed(self, chunk: bytes, /) -> None:
        try:
            for part in sliced(chunk):
                self._pending += part
                self._is_complete = next(self._walk)
        except self._error as exc:
            raise CorruptBody("zstd", str(exc)) from exc

    def finish(self) -> None:
        if not self._is_complete:
            raise BodyCut("zstd")


def _walk_frames(pending: bytearray, module: Any, sink: Sink) -> Iterator[bool]:
    """Decode the pending bytes; if more are needed, yield whether a frame has just ended."""
    decompressor = module.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG)
    for _ in range(MAX_MEMBERS):
        while not pending:
            yield True
        magic = yield from _take(pending, 4)
        number = int.from_bytes(magic, "little")
        if number & ~0xF == _SKIPPABLE:
            size = yield from _take(pending, 4)
            yield from _drop(pending, int.from_bytes(size, "little"))
            continue
        if number != _FRAME:
            raise CorruptBody("zstd", "there are bytes that do not begin a frame")
        head = magic + (yield from _take(pending, 1))
        head += yield from _take(pending, module.frame_header_size(head) - len(head))
        decoded = yield from _walk_blocks(pending, head, decompressor.decompressobj(), sink)
        promised = module.get_frame_parameters(head).content_size
        if promised not in (decoded, module.CONTENTSIZE_UNKNOWN):
            raise CorruptBody("zstd", _WRONG_SIZE)
    while not pending:
        yield True
    raise CorruptBody("zstd", _TOO_MANY)


def _walk_blocks(
    pending: bytearray, head: bytes, frame: Any, sink: Sink
) -> Generator[bool, None, int]:
    """Decode one frame, whose `head` was read, and return its decoded size."""
    frame.decompress(head)
    is_last = False
    decoded = 0
    while not is_last:
        length, is_last = _measure_blocks(pending)
        if not length:
            yield False
            continue
        piece = frame.decompress(bytes(pending[:length]))
        del pending[:length]
        if piece:
            decoded += len(piece)
            sink(piece)
    if head[4] & _HAS_CHECKSUM:
        frame.decompress((yield from _take(pending, 4)))
    return decoded


def _measure_blocks(pending: bytearray) -> tuple[int, bool]:
    """Return the length of the blocks for one piece, and whether the last block is among them."""
    length, room = 0, MAX_PIECE
    while length + 3 <= len(pending):
        header = int.from_bytes(pending[length : length + 3], "little")
        kind, size = header >> 1 & 3, header >> 3
        # An empty compressed block lacks even its own headers.
        is_void = kind == _COMPRESSED and not size
        if kind == _RESERVED or is_void or size > _MAX_BLOCK:
            raise CorruptBody("zstd", "a block has an invalid header")
        room -= _MAX_BLOCK if kind == _COMPRESSED else size
        end = length + 3 + (1 if kind == _RLE else size)
        if room < 0 or end > len(pending):
            break
        length = end
        if header & 1:
            return length, True
    return length, False


def _take(pending: bytearray, count: int) -> Generator[bool, None, bytes]:
    """Wait until `count` bytes are pending, and return them."""
    while len(pending) < count:
        yield False
    taken = bytes(pending[:count])
    del pending[:count]
    return taken


def _drop(pending: bytearray, count: int) -> Iterator[bool]:
    """Skip `count` bytes, waiting for them."""
    while len(pending) < count:
        count -= len(pending)
        pending.clear()
        yield False
    del pending[:count]
