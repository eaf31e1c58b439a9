"""
The coding br (RFC 7932), with the package brotli or brotlicffi.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from ._stage import MAX_SLICE, BodyCut, CorruptBody, Sink, sliced

# The packages stop after the first of their blocks that reaches the limit, so
# that 128 KiB give pieces of up to 224 KiB.
_OUTPUT_LIMIT = 128 * 1024

# Before 1.2, the packages cannot bound their output, and a few bytes may decode
# to a meta-block of 16 MiB (RFC 7932 §9.2). The cap may be exceeded by a few of
# these blocks; larger slices would exceed it further.
_SLICE_IF_UNBOUNDED = 32


@functools.cache
def load_brotli() -> Any | None:
    """Return the brotli package that httpx would use, or None."""
    for name in ("brotli", "brotlicffi"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


class BrotliStage:
    """Decodes br. Bytes after the end of the stream make the body corrupt."""

    __slots__ = ("_bound", "_decompressor", "_error", "_is_started", "_sink", "_slice")

    def __init__(self, sink: Sink) -> None:
        module = load_brotli()
        assert module is not None
        self._sink = sink
        self._error: type[Exception] = module.error
        self._decompressor = module.Decompressor()
        is_bounded = hasattr(self._decompressor, "can_accept_more_data")
        self._bound = {"output_buffer_limit": _OUTPUT_LIMIT} if is_bounded else {}
        self._slice = MAX_SLICE if is_bounded else _SLICE_IF_UNBOUNDED
        self._is_started = False

    def feed(self, chunk: bytes, /) -> None:
        self._is_started = True
        for part in sliced(chunk, self._slice):
            if self._decompressor.is_finished():
                raise CorruptBody("br", "there are bytes after its end")
            piece = self._decompress(part)
            while piece:
                self._sink(piece)
                piece = self._decompress(b"")

    def finish(self) -> None:
        if self._is_started and not self._decompressor.is_finished():
            raise BodyCut("br")

    def _decompress(self, part: bytes) -> bytes:
        try:
            piece: bytes = self._decompressor.process(part, **self._bound)
        except self._error as exc:
            raise CorruptBody("br", str(exc)) from exc
        return piece
