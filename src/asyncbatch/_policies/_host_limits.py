"""
`HostLimits`, the limits of single hosts, and `HostPatterns`, which finds those of a host.

Pure: names are compared as text, and not resolved.
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
from asyncbatch._values._host_key import HostKey
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
    The limits of one host, or of the hosts of a pattern; see the option `hosts` of `Fetcher`.

    Each field replaces the option of the same name. `None`: the option applies.
    """

    per_host: int | None = attrs.field(default=None, validator=_check_per_host)
    """Most requests in flight at the host."""
    rate: Rate | None = attrs.field(default=None, validator=_check_rate)
    """Rate of the starts at the host."""
    timeout: TimeoutTypes | None = attrs.field(default=None, validator=_check_timeout)
    """Seconds for one attempt, or an `httpx.Timeout`."""
    connect_timeout: float | None = attrs.field(default=None, validator=_check_seconds)
    """Seconds for opening a connection, and again for its TLS handshake."""
    max_body: int | None = attrs.field(default=None, validator=_check_size)
    """Most bytes of a decoded body."""


class _Name(NamedTuple):
    """A parsed pattern."""

    host: str
    port: int | None
    is_wildcard: bool


class HostPatterns(Generic[T]):
    """
    Values by patterns of host names.

    An exact name takes precedence over a wildcard, and a longer wildcard over a shorter one. For
    the same name, the pattern with the port takes precedence.

    Args:
        given: Values by pattern: `example.org`, or `*.example.org` for all names below it, either
            of them with or without a port. An IPv6 address is in brackets.

    Raises:
        TypeError: If `given` is not a mapping, or a pattern is not a `str`.
        ValueError: If a pattern is invalid, or two patterns are the same.
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
        """Return the same patterns with other values, given by the `id` of the values here."""
        mapped: HostPatterns[V] = HostPatterns({})
        mapped._values = {name: given[id(value)] for name, value in self._values.items()}
        return mapped

    def get(self, origin: HostKey) -> T | None:
        """Return the value for a host; `None` if no pattern matches."""
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
        _refuse(pattern, "write an IPv6 address in brackets, and a port after a colon")
    wildcard, host, port = form.groups()
    number = None if port is None else int(port)
    if number is not None and not 1 <= number <= 65535:
        _refuse(pattern, "a port is a number from 1 to 65535")
    if "*" in host:
        _refuse(pattern, "a wildcard is '*.' before a name; for all hosts, use the option itself")
    name = _ascii(host, pattern)
    if wildcard and _is_address(name):
        _refuse(pattern, "an address has no names below it; give each address")
    return _Name(name, number, bool(wildcard))


def _ascii(host: str, pattern: str) -> str:
    """Return a name as it is in a URL, by the rules of httpx."""
    try:
        found = _plain(httpx.URL(f"http://{host}/").raw_host.decode("ascii"))
    except (httpx.InvalidURL, UnicodeError, ValueError):
        found = ""
    if not found or found.startswith(".") or ".." in found:
        _refuse(pattern, "give a name such as 'example.org', or an address")
    return found


def _plain(host: str) -> str:
    """Return a host for comparison: lower case, no trailing dot, IPv6 addresses compressed."""
    host = host.removesuffix(".").lower()
    if ":" not in host:
        return host
    try:
        return ipaddress.IPv6Address(host).compressed
    except ValueError:  # the zone of the address has lost its last dot
        return host


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _refuse(pattern: str, cure: str) -> NoReturn:
    raise ValueError(f"a key of hosts must be a host, not {redacted_url(pattern)!r}; {cure}")
