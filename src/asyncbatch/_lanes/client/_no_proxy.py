"""
Read `NO_PROXY`: the hosts that are requested without the proxies of the environment.

It is read as curl and Go read it, and where they differ as curl does: a leading dot counts for
nothing. httpx 0.28 fails at an IPv6 network and knows no IPv4 networks. Pure: takes the value, and
resolves no name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple, TypeAlias

import httpx

from asyncbatch._values._urls import DEFAULT_PORTS

_IPAddress: TypeAlias = IPv4Address | IPv6Address
_HostTest: TypeAlias = Callable[[str, "_IPAddress | None"], bool]

_SCHEME = re.compile(r"(?:(https?|all)://)?([^/]*(?:/[0-9]+)?)/?", re.IGNORECASE)
_PORT = re.compile(r"(\[[^]]*\](?:/[0-9]+)?|[^:]*):([0-9]{1,5})")
_BRACKETED = re.compile(r"\[([^][]*)\]")


class _Entry(NamedTuple):
    scheme: str | None
    port: int | None
    is_host: _HostTest


class NoProxy:
    """
    A pattern of URLs, to be used as a key of a client's mounts.

    Args:
        value: Host names, addresses and networks, separated by commas or blanks. A name includes
            its subdomains, also with a leading `.`; with a leading `*.` it means only these.
            `:port` after an entry restricts it to that port, and a scheme before it to that scheme.
            `*` means all hosts. Invalid entries are ignored.
    """

    pattern = "NO_PROXY"

    def __init__(self, value: str) -> None:
        entries = (_parse(text) for text in re.split(r"[,\s]+", value) if text)
        self._entries = [entry for entry in entries if entry is not None]

    def __bool__(self) -> bool:
        """Whether there is any valid entry."""
        return bool(self._entries)

    def matches(self, url: Any) -> bool:
        """Whether `url`, a URL of httpx, is requested without a proxy."""
        host = url.raw_host.decode("ascii").lower().strip("[]").rstrip(".")
        address = _address(host)
        port = url.port or DEFAULT_PORTS.get(url.scheme)
        return any(
            entry.scheme in (None, url.scheme)
            and entry.port in (None, port)
            and entry.is_host(host, address)
            for entry in self._entries
        )


def _parse(text: str) -> _Entry | None:
    found = _SCHEME.fullmatch(text)
    if found is None:
        return None
    scheme, rest = (found[1] or "all").lower(), found[2]
    port: int | None = None
    if with_port := _PORT.fullmatch(rest):
        rest, port = with_port[1], int(with_port[2])
    is_host = _host_test(rest)
    return None if is_host is None else _Entry(None if scheme == "all" else scheme, port, is_host)


def _host_test(text: str) -> _HostTest | None:
    """Return a function that tells whether `text` matches a host; `None` if `text` is invalid."""
    if text == "*":
        return lambda host, address: True
    bare = _BRACKETED.sub(r"\1", text)
    if "/" in bare:
        return _network_test(bare)
    meant = _address(bare)
    if meant is not None:
        return lambda host, address: address == meant
    return _name_test(text)


def _network_test(text: str) -> _HostTest | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return lambda host, address: address is not None and address in network


def _name_test(text: str) -> _HostTest | None:
    below_only = text.startswith("*.")
    name = _in_ascii((text[2:] if below_only else text.removeprefix(".")).rstrip("."))
    if name is None:
        return None
    ending = f".{name}"
    if below_only:
        return lambda host, address: host.endswith(ending)
    return lambda host, address: host == name or host.endswith(ending)


def _in_ascii(name: str) -> str | None:
    """Return a host name as it is sent, in ASCII; `None` if it is not valid."""
    try:
        raw: bytes = httpx.URL(scheme="http", host=name).raw_host
    except (httpx.InvalidURL, UnicodeError):
        return None
    return raw.decode("ascii").lower() if raw and b"*" not in raw else None


def _address(text: str) -> _IPAddress | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
