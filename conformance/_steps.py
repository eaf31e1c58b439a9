"""
What a server does on one connection, step by step: values, no sockets.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs


@attrs.frozen
class ReadRequest:
    """Wait for a request, its body included."""


@attrs.frozen
class ReadHead:
    """Wait for the head of a request, and leave its body unread."""


@attrs.frozen
class Send:
    """Send bytes; `%PORT%` and `%OTHER%` in them are replaced."""

    content: bytes
    cut: bool = True
    """Whether the delivery may cut it into pieces."""


@attrs.frozen
class Flood:
    """Send the same bytes again and again, until the client closes or `limit` bytes are out."""

    content: bytes
    limit: int = 64 * 1024 * 1024


@attrs.frozen
class Drip:
    """Send the bytes one by one, each after a time, and from the beginning when they are out."""

    content: bytes
    seconds: float
    """Between two bytes."""
    limit: int = 1000
    """Bytes in all."""


@attrs.frozen
class Pause:
    """Do nothing for a time, or until the client closes."""

    seconds: float


@attrs.frozen
class UntilOutcome:
    """Wait until the client has told what came of the request: what follows finds it idle."""


@attrs.frozen
class HalfClose:
    """End our side of the connection and go on reading."""


@attrs.frozen
class Close:
    """Close the connection; over TLS with a closing alert, unless `abruptly`."""

    abruptly: bool = False


@attrs.frozen
class Reset:
    """Close the connection with a reset."""


Step: TypeAlias = (
    ReadRequest | ReadHead | Send | Flood | Drip | Pause | UntilOutcome | HalfClose | Close | Reset
)
Script: TypeAlias = tuple[Step, ...]


def answer(*parts: bytes | Step) -> Script:
    """Read a request, then send the bytes and take the steps, in order."""
    return (ReadRequest(), *(Send(part) if isinstance(part, bytes) else part for part in parts))
