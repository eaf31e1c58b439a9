"""
Read `Set-Cookie` as user agents do, and write it as `http.cookiejar` understands it.

Pure. RFC 6265 §5.2 ignores an attribute that it cannot read, and takes the last of several;
`http.cookiejar` drops the cookie, or all cookies of the response, and takes the first. RFC 6265
§5.1.1 reads dates in nearly every form.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

_MAX_AGE = re.compile(r"-?[0-9]+")
# A number with more digits would be a date that no clock reaches.
_MAX_AGE_DIGITS = 12

# RFC 6265 §5.1.1: the characters between the parts of a date.
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Attributes of older standards; `http.cookiejar` follows them, user agents ignore them.
_OBSOLETE = {"version", "port", "comment", "commenturl", "discard"}


def as_netscape(line: str, host: str) -> str:
    """
    Return a `Set-Cookie` field that `http.cookiejar` reads as user agents read `line`.

    Args:
        line: The value of the field.
        host: The host that sent it, in lower case.
    """
    pair, attributes = _split(line, host)
    kept = [pair]
    kept += [f"{key}={read}" if read else key for key, read in attributes.items()]
    return "; ".join(kept)


@attrs.define
class SetCookie:
    """A `Set-Cookie` field, read as user agents read it."""

    name: str
    value: str | None
    """None if there is no equals sign."""
    domain: str | None
    """In lower case, without a leading dot."""
    path: str | None
    max_age: int | None
    expires: int | None
    """In seconds since 1970; None if there is a `max_age`."""
    secure: bool
    rest: dict[str, Any]
    """Other attributes, by their names as written."""


def read_set_cookie(line: str, host: str) -> SetCookie | None:
    """
    Return what `http.cookiejar` would read in `as_netscape(line, host)`; `None` for no cookie.

    Args:
        line: The value of the field, in ASCII.
        host: The host that sent it, in lower case.
    """
    pair, attributes = _split(line, host)
    name, equals, value = pair.partition("=")
    name = name.strip()
    if not name:
        return None
    pop = attributes.pop
    max_age, expires = pop("max-age", None), pop("expires", None)
    return SetCookie(
        name,
        value.strip() if equals else None,
        pop("domain", None),
        pop("path", None),
        None if max_age is None else int(max_age),
        None if expires is None else _seconds(expires),
        pop("secure", None) is not None,
        {key: read or None for key, read in attributes.items()},
    )


def _split(line: str, host: str) -> tuple[str, dict[str, str]]:
    """Return the pair of name and value as written, and the valid attributes, "" for no value."""
    pair, *rest = line.split(";")
    given: dict[str, str | None] = {}
    for attribute in rest:
        name, equals, value = attribute.partition("=")
        if key := name.strip():
            given[_spelling(key)] = value.strip() if equals else None
    if "max-age" in given and _max_age(given["max-age"], host) is not None:
        given.pop("expires", None)
    attributes: dict[str, str] = {}
    for key, value_given in given.items():
        read = _READERS.get(key, _as_it_is)(value_given, host)
        if read is not None:
            attributes[key] = read
    return pair.strip(), attributes


def _seconds(expires: str) -> int:
    """Return the seconds since 1970 of a date that `_expires` has written."""
    _, day, month, year, time, _ = expires.split()
    hour, minute, second = map(int, time.split(":"))
    at = int(year), _MONTHS.index(month.lower()) + 1, int(day), hour, minute, second
    date = datetime.datetime(*at, tzinfo=datetime.UTC)
    return int((date - _EPOCH).total_seconds())


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
    # §5.3, step 5: a domain that cannot have several hosts means the host itself.
    if domain == host and ("." not in domain or host.replace(".", "").isdigit() or ":" in host):
        return None
    return domain


def _expires(value: str | None, host: str) -> str | None:
    date = None if value is None else cookie_date(value)
    if date is None:
        return None
    # `http.cookiejar` does not read an earlier date, and would keep the cookie for the session.
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
    """Return the date that RFC 6265 §5.1.1 reads in `text`; `None` if it reads none."""
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
