"""
`Sink`: the interface of a destination for a body that does not stay in memory, and its results.

The lane passes the head of a response and the pieces of its body; `_files` implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import attrs

from asyncbatch._values._errors import FailureKind


class Saved(NamedTuple):
    """The file with the body of a response."""

    path: Path | str
    """The file; as text where nothing has asked for a `Path`, which takes longer to make."""
    size: int
    """Its size in bytes."""
    resumed_from: int | None = None
    """How many bytes of it were there before the last try; `None`: there was no try."""

    def plain(self) -> tuple[Path | str, int, int | None]:
        """Return the same as a plain tuple, which pickles without this class."""
        return self.path, self.size, self.resumed_from


class SinkFailure(Exception):
    """
    A body cannot be written, or may not be: it is not the one that was asked for.

    Attributes:
        kind: The kind of the failure.
        error: The error of the result; `None`: an error of the protocol, with the text of this one.
        again: Whether another try, which will be different, is made at once.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str = "",
        *,
        error: Exception | None = None,
        again: bool = False,
    ) -> None:
        super().__init__(message or str(error))
        self.kind = kind
        self.error = error
        self.again = again


class Mismatch(SinkFailure):
    """The body has another checksum than the request says."""

    def __init__(self, expected: str, found: str, *, again: bool) -> None:
        super().__init__(FailureKind.checksum, f"{found}, not {expected}", again=again)
        self.expected = expected
        self.found = found


class TooLarge(SinkFailure):
    """The body is longer than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(FailureKind.too_large, f"longer than {limit} bytes")
        self.limit = limit


@attrs.frozen
class Head:
    """The head of a response, as far as a sink needs it."""

    status: int
    method: str
    """The method of the request, after redirects."""
    url: str
    """The URL of the request, after redirects."""
    fields: Sequence[tuple[bytes, bytes]]
    """The header fields, as received."""
    response: Callable[[], Any]
    """Returns the native response, without its body."""

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, by its name in lower case."""
        return [value for each, value in self.fields if each.lower() == name]


Decode = Callable[[Callable[[bytes], object]], Any]
"""Returns a decoder that passes the decoded pieces on; see `_decoding.decoder_into`."""


Refill = Callable[[memoryview], int]
"""Receives bytes of a body; see `Sink.write`."""


class Taking(Enum):
    """Where a body goes."""

    BODY = "body"
    """To the sink."""
    MEMORY = "memory"
    """Into memory: it is not the one that was asked for, but an error, for example."""
    NOTHING = "nothing"
    """It is not read: the sink has what it needs."""


class Sink(Protocol):
    """Takes the body of one response after the other, until one is complete."""

    async def accept(self, head: Head) -> Taking:
        """
        Look at the head of the final response, and decide where its body goes.

        Raises:
            SinkFailure: The body is not to be read.
        """
        ...

    def decode_by(self, decode: Decode) -> None:
        """Decode the pieces, which are encoded, before they are written."""
        ...

    async def write(self, piece: bytes | memoryview, refill: Refill | None = None) -> int:
        """
        Take the next piece of the body; wait while those before it are being written.

        Args:
            piece: If it is a memoryview, its memory is used again when this has returned.
            refill: Receives the bytes after it into memory, in any thread, without waiting.
                Returns how many; 0 if there are none as yet. It must not be called after this has
                returned.

        Returns:
            The number of bytes taken, those of `refill` included.

        Raises:
            SinkFailure: It cannot be written.
            DecodingFailure: It cannot be decoded.
        """
        ...

    async def finish(self) -> Saved:
        """
        Write what is left, and give the file its name.

        Raises:
            SinkFailure: It cannot be written, or differs from its checksum.
            DecodingFailure: It cannot be decoded.
        """
        ...
