"""
Errors that end an exchange without a complete response, as far as the bytes tell.

    ExchangeError
    ├── ProtocolError      the peer broke the rules of HTTP/1.1
    ├── TruncatedResponse  the connection ended before the response did
    ├── ResponseTooLarge   the response passed one of our limits
    └── InvalidRequest     the request itself cannot be sent

The engine adds the errors of sockets (names, connects, timeouts).
"""

from __future__ import annotations

from typing import ClassVar


class ExchangeError(Exception):
    """The base of all errors that end an exchange without a response."""

    kind: ClassVar[str] = "protocol"
    """The failure kind this condition is reported as."""

    dns: float | None = None
    """Seconds that resolving the name took, if it was measured."""

    is_at_proxy: bool = False
    """Whether the exchange failed before the proxy had connected."""


class ProtocolError(ExchangeError):
    """The peer sent something that is not HTTP/1.1."""


class TruncatedResponse(ExchangeError):
    """
    The connection ended before the response was complete.

    Attributes:
        received: whether any byte of the response had arrived.
    """

    kind = "truncated"

    def __init__(self, message: str, *, received: bool) -> None:
        super().__init__(message)
        self.received = received


class ResponseTooLarge(ExchangeError):
    """
    The response passed one of our limits.

    Attributes:
        limit: the limit, in bytes or in pieces.
    """

    kind = "too_large"

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class InvalidRequest(ExchangeError):
    """The request contains bytes that must not be sent, or frames its body wrongly."""

    kind = "invalid_request"


def body_too_large(limit: int) -> ResponseTooLarge:
    """Build the error for a body that is longer than `limit` bytes."""
    return ResponseTooLarge(f"the body is larger than {limit} bytes", limit=limit)
