"""
How much a body may decode to, from its first and last bytes, before anything is decoded.
"""

from __future__ import annotations

# Up to here brotli gives its first bytes within a millisecond.
_QUICK_WINDOW_BITS = 18


def may_be_large(content_encoding: str, raw: bytes, limit: int) -> bool:
    """
    Say whether decoding the first `limit` bytes of a body may take long, or cannot be enough.

    A gzip or deflate decoder gives what it has, a piece at a time. brotli first fills a window of
    up to 16 MiB, in one call, which a body of some bytes may ask for; and of a body with several
    codings nobody knows.
    """
    # RFC 1952 §2.3.1: the last member's size. It may be a lie: then the limit is met later.
    if content_encoding == "gzip":  # nearly always
        return int.from_bytes(raw[-4:], "little") > limit
    match content_encoding.strip().lower():
        case "gzip" | "x-gzip":
            return int.from_bytes(raw[-4:], "little") > limit
        case "br":
            return _is_large_brotli(int.from_bytes(raw[:8], "little"), limit)
        case "deflate" | "zstd":
            return False
        case coding:
            return "," in coding


def _is_large_brotli(bits: int, limit: int) -> bool:
    """Read the header of a stream and of its first meta-block (RFC 7932 §9.1, §9.2)."""
    window, used = _window_bits(bits)
    if window <= _QUICK_WINDOW_BITS:
        return False
    bits >>= used
    is_last, is_empty = bits & 1, bits & 2
    if not is_last:
        return True  # what follows the first block may be of any size
    if is_empty:
        return False
    nibbles = 4 + (bits >> 2 & 3)
    if nibbles == 7:
        return True  # metadata, which the last block may not be
    length: int = (bits >> 4 & (1 << 4 * nibbles) - 1) + 1
    return length > limit


def _window_bits(bits: int) -> tuple[int, int]:
    """Return the size of the window, as a power of two, and how many bits say it."""
    if not bits & 1:
        return 16, 1
    size = bits >> 1 & 7
    if size:
        return 17 + size, 4
    size = bits >> 4 & 7
    if size == 1:
        return 30, 7  # a large window, which is not for HTTP
    return (8 + size if size else 17), 7
