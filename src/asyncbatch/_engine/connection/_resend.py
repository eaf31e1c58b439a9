"""
Whether an exchange that a connection has not served is sent again, and how that begins.
"""

from __future__ import annotations

from asyncbatch._engine._errors import RequestRefused
from asyncbatch._engine._exchange import Exchange, Upload
from asyncbatch._engine.connection._pooled import ConnectionPool
from asyncbatch._engine.http11 import IDEMPOTENT_METHODS, ResponseHead, TruncatedResponse

MAX_REFUSALS = 10
"""How often an exchange is sent again after a connection has refused it without serving any."""


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


def send_refused_again(
    exchange: Exchange, pool: ConnectionPool, now: float, *, is_counted: bool
) -> None:
    """
    Start a refused exchange on another connection, or fail it.

    Args:
        exchange: The exchange.
        pool: Starts it.
        now: The current time.
        is_counted: Whether the connection has served nothing, so that a server that refuses forever
            makes no loop.
    """
    exchange.refusals += is_counted
    if isinstance(exchange.body, Upload) or exchange.refusals > MAX_REFUSALS:
        exchange.fail(RequestRefused("the server refused the request"), now)
    else:
        begin_again(exchange, pool)


def begin_again(exchange: Exchange, pool: ConnectionPool) -> None:
    """Start an exchange on another connection, as if it had not been started before."""
    exchange.send_at = exchange.sent_at = exchange.first_byte_at = 0.0
    pool.submit(exchange)
