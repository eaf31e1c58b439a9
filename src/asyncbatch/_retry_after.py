"""
Reading `Retry-After`: for how long a server asks to be left alone.

Pure: the caller says what time of day it is.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime

# RFC 9111 §1.2.2: a number too large to be held is taken for this one.
_LONGEST_DELTA = 2.0**31

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


def parse_retry_after(value: str, *, wall_now: float) -> float | None:
    """
    Return the seconds that a `Retry-After` field asks to wait (RFC 9110 §10.2.3).

    Args:
        value: The field's value: digits, or a date in one of the three forms of RFC 9110 §5.6.7.
        wall_now: The time of day, in seconds since 1970.

    Returns:
        `None` for a date in the past and for anything that is neither; never negative.
    """
    value = value.strip(" \t")
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_DELTA)
    moment = _parse_http_date(value, wall_now=wall_now)
    if moment is None or moment < wall_now:
        return None
    return moment - wall_now


def _parse_http_date(value: str, *, wall_now: float) -> float | None:
    for pattern in _HTTP_DATES:
        if match := pattern.fullmatch(value):
            return _to_timestamp(match, wall_now=wall_now)
    return None


def _to_timestamp(match: re.Match[str], *, wall_now: float) -> float | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _full_year(year, datetime.fromtimestamp(wall_now, tz=UTC).year)
    try:
        # A leap second, allowed by the grammar, has no datetime.
        moment = datetime(
            year,
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            59 if match["second"] == "60" else int(match["second"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return float(timegm(moment.utctimetuple()))


def _full_year(two_digits: int, this_year: int) -> int:
    """Complete a year of two digits: never more than 50 years ahead (RFC 9110 §5.6.7)."""
    year = this_year - this_year % 100 + two_digits
    if year > this_year + 50:
        return year - 100
    return year + 100 if year <= this_year - 50 else year
