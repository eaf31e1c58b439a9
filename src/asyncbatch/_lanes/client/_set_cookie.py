"""
`Set-Cookie`, read as user agents read it, and written as `http.cookiejar` understands it.

Pure: one field in, one field out. RFC 6265 §5.2 ignores an attribute that it cannot read, and takes
the last of several; `http.cookiejar` drops the cookie, or all cookies of the response, and takes
the first. RFC 6265 §5.1.1 reads dates in nearly every form.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Final

_MAX_AGE = re.compile(r"-?[0-9]+")
# More digits than this would be a date that no clock reaches.
_MAX_AGE_DIGITS = 12

# RFC 6265 §5.1.1: what stands between the parts of a date.
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Attributes of older standards, which `http.cookiejar` follows and user agents ignore.
_OBSOLETE = {"version", "port", "comment", "commenturl", "discard"}


def as_netscape(line: str, host: str) -> str:
    """
    Return a `Set-Cookie` field that `http.cookiejar` reads as user agents read `line`.

    Args:
        line: The value of the field.
        host: That it came from, in lower case.
    """
    pair, *rest = line.split(";")
    attributes: dict[str, str | None] = {}
    for attribute in rest:
        name, equals, value = attribute.partition("=")
        if key := name.strip():
            attributes[_spelling(key)] = value.strip() if equals else None
    if _max_age(attributes.get("max-age"), host) is not None:
        attributes.pop("expires", None)
    kept = [pair.strip()]
    for key, given in attributes.items():
        read = _READERS.get(key, _as_it_is)(given, host)
        if read is not None:
            kept.append(f"{key}={read}" if read else key)
    return "; ".join(kept)


def _spelling(name: str) -> str:
    lower = name.lower()
    return lower if lower in _READERS else name


# Each returns the value to write, "" for none, or None if the attribute is to be ignored.


def _as_it_is(value: str | None, host: str) -> str | None:
    return value or ""


def _ignored(value: str | None, host: str) -> str | None:
    return None


def _flag(value: str | None, host: str) -> str | None:
    return ""


def _max_age(value: str | None, host: str) -> str | None:
    if value is None or _MAX_AGE.fullmatch(value) is None:
        return None
    if value.startswith("-"):
        return "0"
    return value if len(value) <= _MAX_AGE_DIGITS else "9" * _MAX_AGE_DIGITS


def _path(value: str | None, host: str) -> str | None:
    return value if value is not None and value.startswith("/") else None


def _domain(value: str | None, host: str) -> str | None:
    domain = (value or "").removeprefix(".").lower()
    if not domain:
        return None
    # §5.3, step 5: what cannot be a domain of several hosts means the host itself.
    if domain == host and ("." not in domain or host.replace(".", "").isdigit() or ":" in host):
        return None
    return domain


def _expires(value: str | None, host: str) -> str | None:
    date = None if value is None else cookie_date(value)
    if date is None:
        return None
    # Earlier ones are no dates to `http.cookiejar`, and so for this session instead of over.
    date = max(date, _EPOCH)
    return (
        f"{_WEEKDAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1].title()} "
        f"{date.year:04} {date:%H:%M:%S} GMT"
    )


_READERS: Final[dict[str, Callable[[str | None, str], str | None]]] = {
    "domain": _domain,
    "expires": _expires,
    "httponly": _flag,
    "max-age": _max_age,
    "path": _path,
    "secure": _flag,
    **dict.fromkeys(_OBSOLETE, _ignored),
}


def cookie_date(text: str) -> datetime.datetime | None:
    """Return the date that RFC 6265 §5.1.1 reads in `text`, or `None` if it fails to."""
    time: re.Match[str] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (match := _TIME.match(token)):
            time = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = _full_year(int(match[1]))
    if time is None or day is None or month is None or year is None or year < 1601:
        return None
    try:
        hour, minute, second = map(int, time.groups())
        return datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return None


def _full_year(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year <= 69 else year
