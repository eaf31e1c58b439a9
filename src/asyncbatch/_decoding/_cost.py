"""
Estimate of the decoded size of a body, from its first and last bytes, without decoding it.
"""

from __future__ import annotations

# Up to this window, brotli returns its first bytes within a millisecond.
_QUICK_WINDOW_BITS = 18


def may_be_large(content_encoding: str, raw: bytes, limit: int) -> bool:
    """
    Whether decoding the first `limit` bytes of a body may take long, or the body may be longer.

    A gzip or deflate decoder returns its output piece by piece. brotli first fills a window of up
    to 16 MiB in one call, even for a body of a few bytes. The cost of a body with several codings
    is unknown.
    """
    # RFC 1952 §2.3.1: the size of the last member. If it is false, the limit is checked later.
    if content_encoding == "gzip":  # the most common case
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
        return True  # the next blocks may be of any size
    if is_empty:
        return False
    # 7 stand for metadata, which the decoder refuses in the last block.
    nibbles = 4 + (bits >> 2 & 3)
    length: int = (bits >> 4 & (1 << 4 * nibbles) - 1) + 1
    return length > limit


def _window_bits(bits: int) -> tuple[int, int]:
    """Return the size of the window, as a power of two, and the number of bits that encode it."""
    if not bits & 1:
        return 16, 1
    size = bits >> 1 & 7
    if size:
        return 17 + size, 4
    size = bits >> 4 & 7
    if size == 1:
        return 30, 7  # a large window, which is not for HTTP
    return (8 + size if size else 17), 7
