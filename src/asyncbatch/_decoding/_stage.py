"""
What every content coding shares: the errors, the step sizes, and what a stage is.

A stage undoes one coding. It is fed encoded chunks and hands decoded pieces of bounded size to its
sink, which is the next stage or the body. No coding lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

MAX_PIECE = 256 * 1024
"""Bytes that a stage hands to its sink at once, at most."""

MAX_SLICE = 64 * 1024
"""Bytes that a stage gives its decompressor at once, at most.

A decompressor that stops at its output bound copies the input it has left. Without slices a body of
n bytes would be copied n / MAX_PIECE times.
"""

MAX_MEMBERS = 1024
"""Members of one gzip body, or frames of one zstd body, at most. Each costs a new decompressor."""

Sink = Callable[[bytes], object]


class DecodingFailure(Exception):
    """The content coding of a body could not be undone."""


class BodyLimitExceeded(DecodingFailure):
    """The decoded body is larger than its limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the decoded body is larger than {self.limit} bytes"


class BodyCut(DecodingFailure):
    """The encoded body ends before its coding says that it is complete."""

    def __init__(self, coding: str) -> None:
        super().__init__(coding)
        self.coding = coding

    def __str__(self) -> str:
        return f"the {self.coding} body ends too early"


class CorruptBody(DecodingFailure):
    """The body is not what its Content-Encoding says, or asks for more than a client should do."""

    def __init__(self, coding: str, reason: str) -> None:
        super().__init__(coding, reason)
        self.coding = coding
        self.reason = reason

    def __str__(self) -> str:
        return f"the {self.coding} body is corrupt: {self.reason}"


class Stage(Protocol):
    """Undo one content coding."""

    def feed(self, chunk: bytes, /) -> None:
        """Decode `chunk`, which is never empty, and hand on what it gives."""

    def finish(self) -> None:
        """Raise `BodyCut` unless what was fed is complete; nothing at all is complete too."""


def sliced(chunk: bytes, size: int = MAX_SLICE) -> Iterable[bytes]:
    """Return `chunk` in slices of at most `size` bytes; a small one comes back uncopied."""
    if len(chunk) <= size:
        return (chunk,)
    return (chunk[start : start + size] for start in range(0, len(chunk), size))
