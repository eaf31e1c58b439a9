"""
The parts that all content codings share: the errors, the step sizes, and the interface `Stage`.

A stage decodes one coding. It takes encoded chunks and passes decoded pieces of bounded size to its
sink, which is the next stage or the body. The codings are in other modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

MAX_PIECE = 256 * 1024
"""Most bytes that a stage passes to its sink at once."""

MAX_SLICE = 64 * 1024
"""Most bytes that a stage passes to its decompressor at once.

A decompressor that stops at its output bound copies its remaining input. Without slices, a body of
n bytes would be copied n / MAX_PIECE times.
"""

MAX_MEMBERS = 1024
"""Most members of one gzip body, or frames of one zstd body. Each needs a new decompressor."""

Sink = Callable[[bytes], object]


class DecodingFailure(Exception):
    """A body cannot be decoded."""


class BodyLimitExceeded(DecodingFailure):
    """The decoded body is larger than its limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the decoded body is larger than {self.limit} bytes"


class BodyCut(DecodingFailure):
    """The encoded body ends before it is complete."""

    def __init__(self, coding: str) -> None:
        super().__init__(coding)
        self.coding = coding

    def __str__(self) -> str:
        return f"the {self.coding} body ends too early"


class CorruptBody(DecodingFailure):
    """The body does not match its Content-Encoding, or exceeds the limits on its structure."""

    def __init__(self, coding: str, reason: str) -> None:
        super().__init__(coding, reason)
        self.coding = coding
        self.reason = reason

    def __str__(self) -> str:
        return f"the {self.coding} body is corrupt: {self.reason}"


class Stage(Protocol):
    """Decodes one content coding."""

    def feed(self, chunk: bytes, /) -> None:
        """Decode `chunk`, which is never empty, and pass the output on."""

    def finish(self) -> None:
        """Raise `BodyCut` unless the input is complete, or empty."""


def sliced(chunk: bytes, size: int = MAX_SLICE) -> Iterable[bytes]:
    """Return `chunk` in slices of at most `size` bytes; a small one is not copied."""
    if len(chunk) <= size:
        return (chunk,)
    return (chunk[start : start + size] for start in range(0, len(chunk), size))
