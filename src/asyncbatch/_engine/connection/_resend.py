"""
Why an incomplete exchange failed, and whether it is sent again.
"""

from __future__ import annotations

from asyncbatch._engine._errors import SentTooSlowly, TimedOut
from asyncbatch._engine._exchange import Exchange, Upload
from asyncbatch._engine.connection._partial_request import PartialRequest
from asyncbatch._engine.connection._partial_response import PartialResponse
from asyncbatch._engine.http11 import IDEMPOTENT_METHODS, ResponseHead, TruncatedResponse


def passed_limit(
    exchange: Exchange, sending: PartialRequest | None, arrival: PartialResponse | None, now: float
) -> TimedOut:
    """Return the error of the time limit that has passed: total, rate, or a wait."""
    if now >= exchange.deadline:
        return TimedOut("total")
    if arrival is not None and now >= arrival.too_slow_at:
        return SentTooSlowly(exchange.limits.minimum_rate or 0.0)
    return TimedOut("write" if sending is not None and sending.is_paused else "read")


def may_send_again(exchange: Exchange, error: Exception) -> bool:
    """
    Whether a failed exchange is sent again, on a connection opened for it alone.

    This is the only silent repetition of a request (as in Go's `shouldRetryRequest`).

    A server may close an idle connection while we write to it. The request was then not carried
    out, but we cannot know that. So it is sent again only if the connection was used before, no
    byte of an answer has come, and the method is idempotent (RFC 9110 §9.2.2). It is never sent
    again after a new connection, and so never twice: with a server that always hangs up, this would
    not end.
    """
    return (
        exchange.is_reused
        and isinstance(error, TruncatedResponse)
        and not exchange.first_byte_at
        and exchange.method in IDEMPOTENT_METHODS
        and not isinstance(exchange.body, Upload)
    )


def may_send_over_http11(exchange: Exchange, head: ResponseHead | None) -> bool:
    """
    Whether an exchange that was reset with `HTTP_1_1_REQUIRED` is sent again over HTTP/1.1.

    Unlike `REFUSED_STREAM` and `GOAWAY`, the code does not promise that the server has done nothing
    (RFC 9113 §8.7). So the method must be idempotent.
    """
    return (
        head is None
        and exchange.method in IDEMPOTENT_METHODS
        and not isinstance(exchange.body, Upload)
    )
