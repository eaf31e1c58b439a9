"""Encoders for zstd with the options that the tests want, on the module that there is."""

from __future__ import annotations

from typing import Any, Protocol

from conformance._zstd import ZSTD

IS_ZSTANDARD = ZSTD.__name__ == "zstandard"


class Encoder(Protocol):
    """Encodes piece by piece; the head has no size."""

    def compress(self, piece: bytes, /) -> bytes:
        """Take a piece, and give what is ready."""
        ...

    def flush(self) -> bytes:
        """End the frame."""
        ...


def whole(body: bytes) -> bytes:
    """Encode a body whole, with its size in the head and a checksum at the end."""
    if IS_ZSTANDARD:
        encoded: bytes = ZSTD.ZstdCompressor(write_checksum=True).compress(body)
    else:
        encoded = ZSTD.compress(body, options={ZSTD.CompressionParameter.checksum_flag: 1})
    return encoded


def encoder(level: int = 3, window_log: int = 0) -> Encoder:
    """Return an encoder; a `window_log` of 0 is the level's own."""
    made: Encoder
    if IS_ZSTANDARD:
        options: dict[str, Any] = {"write_checksum": False, "write_content_size": False}
        parameters = ZSTD.ZstdCompressionParameters.from_level(
            level, window_log=window_log, **options
        )
        made = ZSTD.ZstdCompressor(compression_params=parameters).compressobj()
    else:
        names = ZSTD.CompressionParameter
        chosen = {names.compression_level: level, names.window_log: window_log}
        made = ZSTD.ZstdCompressor(options=chosen)
    return made


def flush_block(encoder: Any) -> bytes:
    """End a block."""
    if IS_ZSTANDARD:
        ended: bytes = encoder.flush(ZSTD.COMPRESSOBJ_FLUSH_BLOCK)
    else:
        ended = encoder.flush(encoder.FLUSH_BLOCK)
    return ended
