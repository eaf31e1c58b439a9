"""
The window of a batch: how far it reads ahead of what it has finished.

Pure: counts in, decisions out. What is read, and when, is for the `Reader` to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from asyncbatch._values._request import Request, native_of

PER_HOST = 10
"""How many times its size a window may have, for each host that there are requests for."""

MOST = 100_000
"""Unfinished requests from which on nothing is read on, however many hosts they are for."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of URLs and bodies beyond the size of the window, from which on nothing is read on."""

_SAMPLE = 100
"""Members of a collection that are looked at; the others are taken to be like these."""

_DEPTH = 4

_OTHER = 64
"""Bytes that anything else is taken for."""


class Window:
    """
    Says how many requests may have been read and not finished.

    So many as its size, always. More, where a slot is free and nothing that has been read may
    start, since then the few hosts that fill the window hold up all that come behind them: as in a
    list that is sorted by host. It grows by hosts, and is bounded in requests and in bytes.

    An input that takes the caller's code to read is not read beyond the size while all of it is for
    one host: nothing tells that there is another one.
    """

    __slots__ = ("_worth_it", "size", "weight")

    def __init__(self, size: int) -> None:
        self.size = size
        # Room for so many is worth waking somebody for.
        self._worth_it = max(1, size // 16)
        self.weight = 0
        """Bytes of what was read beyond the size, and is not finished."""

    def widens(self, unfinished: int, hosts: int, *, is_at_hand: bool = True) -> bool:
        """
        Say whether to read on beyond the size, while a slot is free and nothing may start.

        Args:
            unfinished: How many requests have been read and not finished.
            hosts: For how many hosts these are.
            is_at_hand: Whether the input lies ready in a list or the like.
        """
        return unfinished < self._limit(hosts, is_at_hand) and self.weight < MOST_BYTES

    def is_worth_a_look(self, unfinished: int, hosts: int, *, is_at_hand: bool = True) -> bool:
        """Say whether there is so much room that one who found none should look again."""
        unfinished += self._worth_it
        if unfinished <= self.size:
            return True
        return unfinished <= self._limit(hosts, is_at_hand) and self.weight < MOST_BYTES

    def _limit(self, hosts: int, is_at_hand: bool) -> int:
        if hosts <= 1 and not is_at_hand:
            return self.size
        return max(self.size, min(MOST, PER_HOST * self.size * hosts))

    def hold(self, item: object) -> int:
        """Count what was read beyond the size; return the bytes to be let go of at its end."""
        weight = weight_of(item)
        self.weight += weight
        return weight

    def let_go(self, weight: int) -> None:
        """Take note that such a request has ended."""
        self.weight -= weight


def weight_of(item: object) -> int:
    """Return about how many bytes a request in any form takes for its URL and its body."""
    if type(item) is str:
        return len(item)
    if isinstance(item, Request):
        parts: list[Any] = [item.url, item.params, item.headers, item.content, item.data]
        parts += [item.json, item.files, getattr(native_of(item), "_content", None)]
        return sum(map(_weight, parts))
    # Of a library's request; one that is a stream has no content yet, or never.
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
