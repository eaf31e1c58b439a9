"""
The time limits of one exchange where it runs: which has passed, and how they are put off.
"""

from __future__ import annotations

from asyncbatch._engine._errors import SentTooSlowly, TimedOut
from asyncbatch._engine._exchange import Exchange, ExchangeConnection


def passed_limit(
    exchange: Exchange, now: float, *, too_slow_at: float, waits_to_send: bool
) -> TimedOut:
    """
    Return the error of the time limit that has passed: total, rate, or a wait.

    Args:
        exchange: The exchange.
        now: The current time.
        too_slow_at: When the response falls below the least rate.
        waits_to_send: Whether the server has not taken all that was written.
    """
    if now >= exchange.deadline:
        return TimedOut("total")
    if now >= too_slow_at:
        return SentTooSlowly(exchange.limits.minimum_rate or 0.0)
    return TimedOut("write" if waits_to_send else "read")


def take_out(connection: ExchangeConnection, seconds: float, before: float) -> bool:
    """
    Take the time of a blocked loop out of the exchange on a connection.

    Returns:
        Whether there was such an exchange before the time `before`.
    """
    exchange = connection.exchange
    if exchange is None or exchange.begun_at > before:
        return False
    exchange.take_out(seconds, before)
    connection.deadline += seconds
    return True


def give_more_time(connection: ExchangeConnection, seconds: float) -> None:
    """Extend every limit of the exchange on a connection."""
    exchange = connection.exchange
    if exchange is not None:
        exchange.deadline += seconds
        connection.deadline += seconds
