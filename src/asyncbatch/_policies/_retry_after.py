"""
Parser of `Retry-After`, by which a server asks for a wait.

Pure: the caller passes the time of day in. In doubt, the longer wait counts: a request that comes
too early is refused again.
"""

from __future__ import annotations

import math
import re
from calendar import timegm
from datetime import UTC, datetime

# RFC 9111 §1.2.2: a number that is too large counts as this one.
_LONGEST_DELTA = 2.0**31

# Some rate limiters send fractions, plus signs, and exponents of small fractions.
_SECONDS = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[ \t]*,[ \t]*")

_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_HTTP_DATES = (
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) "
        rf"{_TIME} GMT"
    ),
    re.compile(
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-"
        rf"(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} "
        r"(?P<year>[0-9]{4})"
    ),
)


def parse_retry_after(
    value: str, *, wall_now: float, date: str | None = None, age: str | None = None
) -> float | None:
    """
    Return the seconds that a `Retry-After` field asks to wait (RFC 9110 §10.2.3).

    Args:
        value: The value of the field: seconds, rounded up to whole ones, or a date in one of the
            three forms of RFC 9110 §5.6.7. Of several values, the longest wait counts.
        wall_now: The time of day, in seconds since 1970.
        date: The `Date` of the response. A date in `value` is relative to it, since both are on the
            server's clock, which may differ from ours.
        age: The `Age` of the response: the seconds that it spent in a cache since `date`.

    Returns:
        The seconds; 0 for a date in the past, `None` for an invalid value. Never negative.
    """
    server_now = _server_time(date, age, wall_now=wall_now)
    waits: list[float] = []
    position = 0
    value = value.strip(" \t")
    while True:
        wait, position = _parse_item(value, position, server_now, wall_now=wall_now)
        if wait is None:
            return None
        waits.append(wait)
        if position == len(value):
            return max(waits)
        comma = _COMMA.match(value, position)
        if comma is None:
            return None
        position = comma.end()


def _server_time(date: str | None, age: str | None, *, wall_now: float) -> float | None:
    """Return the current time on the server's clock, by `date`; `None` if that is not a date."""
    if date is None:
        return None
    date = date.strip(" \t")
    found = _match_http_date(date, 0)
    if found is None or found.end() != len(date):
        return None
    moment = _to_timestamp(found, wall_now=wall_now)
    if moment is not None and age is not None and age.isascii() and age.isdigit():
        moment += min(float(age), _LONGEST_DELTA)
    return moment


def _parse_item(
    value: str, position: int, server_now: float | None, *, wall_now: float
) -> tuple[float | None, int]:
    """Return the wait at `position`, and the position after it."""
    if found := _match_http_date(value, position):
        return _wait_until(found, server_now, wall_now=wall_now), found.end()
    if found := _SECONDS.match(value, position):
        seconds = min(float(found[0]), _LONGEST_DELTA)
        return float(math.ceil(seconds)), found.end()
    return None, position


def _wait_until(found: re.Match[str], server_now: float | None, *, wall_now: float) -> float | None:
    moment = _to_timestamp(found, wall_now=wall_now)
    if moment is None:
        return None
    return max(0.0, moment - (wall_now if server_now is None else server_now))


def _match_http_date(value: str, position: int) -> re.Match[str] | None:
    matches = (pattern.match(value, position) for pattern in _HTTP_DATES)
    return next((found for found in matches if found), None)


def _to_timestamp(match: re.Match[str], *, wall_now: float) -> float | None:
    year = int(match["year"])
    try:
        if len(match["year"]) == 2:
            year = _full_year(year, datetime.fromtimestamp(wall_now, tz=UTC).year)
        # The grammar allows a leap second, `datetime` does not.
        moment = datetime(
            year,
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            59 if match["second"] == "60" else int(match["second"]),
            tzinfo=UTC,
        )
    except (ValueError, OverflowError, OSError):  # also of a clock beyond the years of a `datetime`
        return None
    return float(timegm(moment.utctimetuple()))


def _full_year(two_digits: int, this_year: int) -> int:
    """Complete a year of two digits, to at most 50 years ahead (RFC 9110 §5.6.7)."""
    year = this_year - this_year % 100 + two_digits
    if year > this_year + 50:
        return year - 100
    return year + 100 if year <= this_year - 50 else year
