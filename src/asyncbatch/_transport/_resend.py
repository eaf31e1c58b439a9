"""
The one silent repetition of a request (as Go's `shouldRetryRequest`).
"""

from __future__ import annotations

from asyncbatch._http11 import IDEMPOTENT_METHODS, TruncatedResponse
from asyncbatch._transport._exchange import Exchange, Upload


def may_send_again(exchange: Exchange, error: Exception) -> bool:
    """
    Say whether an exchange that failed is sent again, on a connection opened for it alone.

    A server may close an idle connection at the moment we write to it; then nothing was done,
    but we cannot know. Hence only on a connection that has served before, before any byte of an
    answer, and only what means the same twice (RFC 9110 §9.2.2). Never on a fresh connection, so
    never twice: against a server that just hangs up that would have no end.
    """
    return (
        exchange.is_reused
        and isinstance(error, TruncatedResponse)
        and not exchange.first_byte_at
        and exchange.method in IDEMPOTENT_METHODS
        and not isinstance(exchange.body, Upload)
    )
