"""
The window of a batch: how many unfinished requests it may have read.

Pure: counts in, decisions out. The `Reader` reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from asyncbatch._values._request import Request, native_of

PER_HOST = 10
"""A window may grow to this many times its size, for each host that has requests."""

MOST = 100_000
"""Most unfinished requests, for any number of hosts."""

MOST_BYTES = 32 * 1024 * 1024
"""Most bytes of URLs and bodies that are read beyond the size of the window."""

_SAMPLE = 100
"""Number of members of a collection that are weighed; the others are taken to be like them."""

_DEPTH = 4

_OTHER = 64
"""Assumed bytes of any other object."""


class Window:
    """
    Decides how many requests may be read and unfinished.

    Its size is always allowed. It is exceeded if a slot is free and no request that has been read
    may start: the few hosts that fill the window then hold up all later ones, as in a list sorted
    by host. The excess grows with the number of hosts, and is bounded in requests and in bytes.

    An input that runs code of the caller is not read beyond the size while all requests are for one
    host, since another host may never come.
    """

    __slots__ = ("_worth_it", "size", "weight")

    def __init__(self, size: int) -> None:
        self.size = size
        # Room for this many requests is worth waking the dispatcher for.
        self._worth_it = max(1, size // 16)
        self.weight = 0
        """Bytes of the unfinished requests that were read beyond the size."""

    def widens(self, unfinished: int, hosts: int, *, is_at_hand: bool = True) -> bool:
        """
        Whether to read beyond the size when a slot is free and no request may start.

        Args:
            unfinished: Number of requests read and unfinished.
            hosts: Number of their hosts.
            is_at_hand: Whether the input is a container such as a list.
        """
        return unfinished < self._limit(hosts, is_at_hand) and self.weight < MOST_BYTES

    def is_worth_a_look(self, unfinished: int, hosts: int, *, is_at_hand: bool = True) -> bool:
        """Whether there is enough room to read again after there was none."""
        unfinished += self._worth_it
        if unfinished <= self.size:
            return True
        return unfinished <= self._limit(hosts, is_at_hand) and self.weight < MOST_BYTES

    def _limit(self, hosts: int, is_at_hand: bool) -> int:
        if hosts <= 1 and not is_at_hand:
            return self.size
        return max(self.size, min(MOST, PER_HOST * self.size * hosts))

    def hold(self, item: object) -> int:
        """Count a request read beyond the size; return its bytes, for `let_go` at its end."""
        weight = weight_of(item)
        self.weight += weight
        return weight

    def let_go(self, weight: int) -> None:
        """Stop counting the bytes of a request that has ended."""
        self.weight -= weight


def weight_of(item: object) -> int:
    """Return roughly the bytes that the URL and the body of a request in any form take."""
    if type(item) is str:
        return len(item)
    if isinstance(item, Request):
        parts: list[Any] = [item.url, item.params, item.headers, item.content, item.data]
        parts += [item.json, item.files, getattr(native_of(item), "_content", None)]
        return sum(map(_weight, parts))
    # A request of httpx or httpx2. The content of a stream is not there, and counts nothing.
    return _weight(getattr(item, "_content", None)) + _weight(getattr(item, "url", item))


def _weight(value: Any, depth: int = _DEPTH) -> int:
    if value is None:
        return 0
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, memoryview):
        return value.nbytes
    if depth and isinstance(value, Mapping):
        return _weight_of_some(value.items(), len(value), depth - 1)
    if depth and isinstance(value, list | tuple | set | frozenset):
        return _weight_of_some(value, len(value), depth - 1)
    return _OTHER


def _weight_of_some(values: Iterable[Any], count: int, depth: int) -> int:
    weight = sum(_weight(value, depth) + 8 for value in itertools.islice(values, _SAMPLE))
    return weight * max(1, count // _SAMPLE)
