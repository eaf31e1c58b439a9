"""
A request body that is produced while it is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

PIECE = 16 * 1024


async def streamed(body: bytes | None) -> AsyncIterator[bytes]:
    """Yield a body in pieces."""
    body = body or b""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
