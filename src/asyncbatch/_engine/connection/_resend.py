"""
What an exchange without a whole response has failed of, and whether it begins anew.
"""

from __future__ import annotations

from asyncbatch._engine._errors import SentTooSlowly, TimedOut
from asyncbatch._engine._exchange import Exchange, Upload
from asyncbatch._engine.connection._partial_request import PartialRequest
from asyncbatch._engine.connection._partial_response import PartialResponse
from asyncbatch._engine.http11 import IDEMPOTENT_METHODS, TruncatedResponse


def passed_limit(
    exchange: Exchange, sending: PartialRequest | None, arrival: PartialResponse | None, now: float
) -> TimedOut:
    """Say which limit of time has passed: that of the whole, of its pace, or of a wait."""
    if now >= exchange.deadline:
        return TimedOut("total")
    if arrival is not None and now >= arrival.too_slow_at:
        return SentTooSlowly(exchange.limits.minimum_rate or 0.0)
    return TimedOut("write" if sending is not None and sending.is_paused else "read")


def may_send_again(exchange: Exchange, error: Exception) -> bool:
    """
    Say whether an exchange that failed is sent again, on a connection opened for it alone.

    The one silent repetition of a request (as Go's `shouldRetryRequest`).

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
