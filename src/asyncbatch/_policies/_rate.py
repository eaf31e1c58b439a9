"""
Rates: how many requests may start in a period.

Pure: no clock and no waiting. The caller passes the time in, and waits.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

from asyncbatch._values._checks import check_count


def _check_positive(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field.name} must be a number above 0, not {value!r}")
    if not (0 < value < math.inf):
        raise ValueError(f"{field.name} must be a number above 0, not {value!r}")


def _check_burst(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_count(field.name, value, cure="1 spaces all starts evenly")


@attrs.frozen
class Rate:
    """
    A rate of at most `count` requests in `per` seconds, evenly spaced except for a `burst`.

    `Rate(20)` allows one start every 50 ms. `Rate(100, per=60, burst=10)` allows ten starts at once
    and then one every 0.6 seconds; time without starts allows another burst.
    """

    count: float = attrs.field(validator=_check_positive)
    """How many requests may start in `per` seconds, on average."""
    per: float = attrs.field(default=1.0, validator=_check_positive)
    """The period of `count`, in seconds."""
    burst: int = attrs.field(default=1, validator=_check_burst)
    """How many requests may start at once after a pause."""

    @property
    def interval(self) -> float:
        """Seconds between two starts at the full rate."""
        return self.per / self.count


def check_rate(option: str, value: object) -> None:
    """
    Raise unless `value` is a `Rate` or `None`.

    Raises:
        TypeError: If it is neither.
    """
    if value is not None and not isinstance(value, Rate):
        raise TypeError(
            f"{option} must be an asyncbatch.Rate or None, not {value!r}; "
            f"for 20 requests a second, give {option}=asyncbatch.Rate(20)"
        )


class Gcra:
    """
    Spaces starts by the generic cell rate algorithm (ITU-T I.371), with two numbers for any rate.

    It also sums up the time in which it allowed no start. These periods never overlap: each begins
    with a start, and a start happens only after the period before has ended.
    """

    __slots__ = ("_closed", "_interval", "_tolerance", "full_at", "open_at")

    def __init__(self, rate: Rate) -> None:
        self._interval = rate.interval
        self._tolerance = (rate.burst - 1) * rate.interval
        # Seconds up to `open_at` in which no start was allowed.
        self._closed = 0.0
        # When the whole burst is available again, so that the past no longer matters.
        self.full_at = -math.inf
        # The earliest next start.
        self.open_at = -math.inf

    def book(self, now: float) -> None:
        """Take the slot for a start at `now`, which must not be before `open_at`."""
        self.full_at = max(self.full_at, now) + self._interval
        self.open_at = self.full_at - self._tolerance
        if self.open_at > now:
            self._closed += self.open_at - now

    def closed_until(self, moment: float) -> float:
        """
        Return the seconds up to `moment` in which no start was allowed.

        It is exact for any moment after the last start but one.
        """
        return self._closed - max(0.0, self.open_at - moment)
