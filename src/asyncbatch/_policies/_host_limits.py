"""
Limits of single hosts: the value that a caller writes down, and which one holds for a host.

Pure: names are compared as text, and nothing is resolved.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import attrs
import httpx

from asyncbatch._policies._rate import Rate, check_rate
from asyncbatch._values._checks import check_count, check_seconds, check_size
from asyncbatch._values._host_key import Origin
from asyncbatch._values._redaction import redacted_url
from asyncbatch._values._request import TimeoutTypes
from asyncbatch._values._timeouts import limits_of

T = TypeVar("T")
V = TypeVar("V")


def _check_per_host(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        check_count(field.name, value)


def _check_rate(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_rate(field.name, value)


def _check_timeout(_: object, __: object, value: Any) -> None:
    limits_of(value, None)


def _check_seconds(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_seconds(field.name, value)


def _check_size(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_size(field.name, value)


@attrs.frozen(kw_only=True)
class HostLimits:
    """
    Limits of one host, or of all that a pattern names: see the option `hosts` of `Fetcher`.

    Each is what the option of that name is for all hosts. `None`: as the fetcher has it.
    """

    per_host: int | None = attrs.field(default=None, validator=_check_per_host)
    """How many requests may be under way at it at once."""
    rate: Rate | None = attrs.field(default=None, validator=_check_rate)
    """How many may start at it in a span of time."""
    timeout: TimeoutTypes | None = attrs.field(default=None, validator=_check_timeout)
    """Seconds for one attempt, or an `httpx.Timeout`."""
    connect_timeout: float | None = attrs.field(default=None, validator=_check_seconds)
    """Seconds for opening a connection."""
    max_body: int | None = attrs.field(default=None, validator=_check_size)
    """Bytes of a decoded body."""


class _Name(NamedTuple):
    """What one pattern stands for."""

    host: str
    port: int | None
    is_wildcard: bool


class HostPatterns(Generic[T]):
    """
    Values by patterns of host names, and which of them holds for a host.

    An exact name comes before any wildcard, and a longer wildcard before a shorter one; of one
    name, the one with the port comes before the one without.

    Args:
        given: Values by pattern: `example.org`, `*.example.org` for everything below it, either
            with a port; an IPv6 address in brackets.

    Raises:
        TypeError: If `given` is no mapping, or a pattern no text.
        ValueError: If a pattern is none, or two of them are the same.
    """

    def __init__(self, given: Mapping[str, T]) -> None:
        if not isinstance(given, Mapping):
            raise TypeError(
                "hosts must be a mapping of host names to HostLimits, such as "
                f"{{'example.org': asyncbatch.HostLimits(per_host=2)}}, not {given!r}"
            )
        self._values: dict[_Name, T] = {}
        patterns: dict[_Name, str] = {}
        for pattern, value in given.items():
            name = _name_of(pattern)
            if name in patterns:
                raise ValueError(
                    f"hosts has two keys for one host: {patterns[name]!r} and {pattern!r}"
                )
            patterns[name] = pattern
            self._values[name] = value

    def values(self) -> list[T]:
        """Return all values."""
        return list(self._values.values())

    def map(self, given: Mapping[int, V]) -> HostPatterns[V]:
        """Return the same patterns, with other values by the `id` of those here."""
        mapped: HostPatterns[V] = HostPatterns({})
        mapped._values = {name: given[id(value)] for name, value in self._values.items()}
        return mapped

    def get(self, origin: Origin) -> T | None:
        """Return what holds for a host, if anything does."""
        _, host, port = origin
        host = _plain(host)
        values = self._values
        found = _either(values, host, port, is_wildcard=False)
        if found is not None or _is_address(host):
            return found
        _, dot, rest = host.partition(".")
        while dot:
            found = _either(values, rest, port, is_wildcard=True)
            if found is not None:
                return found
            _, dot, rest = rest.partition(".")
        return None


def _either(values: Mapping[_Name, T], host: str, port: int, *, is_wildcard: bool) -> T | None:
    found = values.get(_Name(host, port, is_wildcard))
    return values.get(_Name(host, None, is_wildcard)) if found is None else found


_FORM = re.compile(r"(\*\.)?(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_SEPARATORS = re.compile(r"[\s/\\?#@]")


def _name_of(pattern: object) -> _Name:
    if not isinstance(pattern, str):
        raise TypeError(f"a key of hosts must be a str such as 'example.org', not {pattern!r}")
    if _SEPARATORS.search(pattern):
        _refuse(pattern, "give the host alone, without scheme, path or user")
    form = _FORM.fullmatch(pattern)
    if form is None:
        _refuse(pattern, "an IPv6 address stands in brackets, and a port behind a colon")
    wildcard, host, port = form.groups()
    number = None if port is None else int(port)
    if number is not None and not 1 <= number <= 65535:
        _refuse(pattern, "a port is a number from 1 to 65535")
    if "*" in host:
        _refuse(pattern, "a wildcard is '*.' before a name; what holds for all is the option's own")
    name = _ascii(host, pattern)
    if wildcard and _is_address(name):
        _refuse(pattern, "an address has nothing below it; give each one")
    return _Name(name, number, bool(wildcard))


def _ascii(host: str, pattern: str) -> str:
    """Return a name as a URL would have it, by the client's own rules."""
    try:
        found = _plain(httpx.URL(f"http://{host}/").raw_host.decode("ascii"))
    except (httpx.InvalidURL, UnicodeError, ValueError):
        found = ""
    if not found or found.startswith(".") or ".." in found:
        _refuse(pattern, "give a name such as 'example.org', or an address")
    return found


def _plain(host: str) -> str:
    """Return a host as it is compared: in lower case, without a trailing dot, addresses short."""
    host = host.removesuffix(".").lower()
    if ":" not in host:
        return host
    try:
        return ipaddress.IPv6Address(host).compressed
    except ValueError:
        return host


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _refuse(pattern: str, cure: str) -> NoReturn:
    raise ValueError(f"a key of hosts is no host: {redacted_url(pattern)!r}; {cure}")
