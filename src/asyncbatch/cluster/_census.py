"""
The census: how many requests each host has, and to which host a request belongs.

Its memory grows with the number of hosts up to `MOST_HOSTS`. The hosts beyond, which come late and
so have few requests, are counted in classes, by a hash of their names that is the same everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeAlias

import httpx

from asyncbatch import HostLimits, Request
from asyncbatch._policies._host_limits import HostPatterns
from asyncbatch._values._host_key import HostKey, host_key_of, name_of
from asyncbatch._values._urls import text_of, with_ascii_host

from ._load import HostLoad, load_of
from ._options import PlanLimits

MOST_HOSTS = 100_000
"""Hosts that are counted one by one."""

CLASSES = 4096
"""Number of classes for all further hosts."""

Unit: TypeAlias = HostKey | int
"""The unit that belongs to one shard: a host, or a class of hosts."""

NOWHERE: HostKey = ("", "", 0)
"""The host of items that are not URLs, which are never sent."""


class Census:
    """
    Counts requests by host.

    Args:
        base_url: The URL that relative URLs are joined to.
        most_hosts: Hosts that are counted one by one.
    """

    def __init__(self, base_url: str = "", *, most_hosts: int = MOST_HOSTS) -> None:
        self._locate = _locator(base_url)
        self._most_hosts = most_hosts
        self.counts: dict[Unit, int] = {}
        """Number of requests of each unit."""
        self._hosts = 0

    def add(self, item: object) -> None:
        """Count one request."""
        origin = self._origin(item)
        counts = self.counts
        if origin in counts:
            counts[origin] += 1
        elif self._hosts < self._most_hosts:
            self._hosts += 1
            counts[origin] = 1
        else:
            unit = _class_of(origin)
            counts[unit] = counts.get(unit, 0) + 1

    def unit_of(self, item: object) -> Unit:
        """Return the unit of a request that has been counted; ask once all have been."""
        origin = self._origin(item)
        return origin if origin in self.counts else _class_of(origin)

    def loads(self, limits: PlanLimits, latency: float) -> list[HostLoad]:
        """Return the load of each unit, in the order of `counts`."""
        patterns = limits.patterns()
        return [
            _load(unit, requests, limits, patterns, latency)
            for unit, requests in self.counts.items()
        ]

    def _origin(self, item: object) -> HostKey:
        try:
            return host_key_of(item, self._locate)
        except Exception:  # a URL that cannot be read; its result will say why
            return NOWHERE


def _load(
    unit: Unit,
    requests: int,
    limits: PlanLimits,
    patterns: HostPatterns[HostLimits],
    latency: float,
) -> HostLoad:
    if isinstance(unit, int):
        # As if each request had a host of its own, which is the least that it can take.
        name = f"other hosts, class {unit}"
        return load_of(name, requests, latency=latency, concurrency=limits.concurrency)
    own = patterns.get(unit) or HostLimits()
    return load_of(
        name_of(unit),
        requests,
        latency=latency,
        concurrency=limits.concurrency,
        per_host=limits.per_host if own.per_host is None else own.per_host,
        rate=limits.rate if own.rate is None else own.rate,
    )


def _class_of(origin: HostKey) -> int:
    # Not `hash`, which differs from process to process.
    return zlib.crc32("\n".join(map(str, origin)).encode()) % CLASSES


def _locator(base_url: str) -> Callable[[object], httpx.URL]:
    base = httpx.URL(base_url)

    def locate(item: object) -> httpx.URL:
        text = text_of(Request.of(item).url)
        url = httpx.URL(with_ascii_host(text) or text)
        return url if url.raw_host else base

    return locate
