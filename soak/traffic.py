"""
What the soak test asks for, and what may come of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from asyncbatch import Request, Result
from soak.server import LARGE, SMALL, TEXT, addresses

SLOW_LIMIT = 0.05
"""Seconds for an attempt at what is slow."""

# For each kind: how many of 1,000 requests, and what each must end as: the body of a success, or
# the kinds of failure that it may have.
KINDS: dict[str, tuple[int, bytes | set[str]]] = {
    "good": (850, SMALL),
    "gzip": (40, TEXT),
    "chunked": (40, TEXT),
    "redirect": (20, SMALL),
    "cookie": (10, SMALL),
    "large": (10, LARGE),
    "surplus": (5, SMALL),
    "missing": (10, {"status"}),
    "busy": (2, {"status"}),
    "reset": (3, {"protocol"}),
    "reset-body": (2, {"truncated"}),
    "cut": (2, {"truncated"}),
    "cut-gzip": (1, {"truncated"}),
    "garbage": (1, {"protocol"}),
    "silent": (2, {"protocol"}),
    "slow": (1, {"timeout"}),
    "refused": (1, {"connect", "host_down"}),
}

# Nothing listens there: the discard port.
_REFUSING = "http://127.0.0.1:9/"

_EVERY = 8
"""One request of so many is a `Request`; the others are plain strings, which are cheaper."""


class Traffic:
    """Requests in an order that is always the same."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self._origins = [f"http://{address}:{port}/" for address in addresses()]
        self._random = random.Random(seed)  # it need not be secret
        self._kinds = [*KINDS]
        self._weights = [weight for weight, _ in KINDS.values()]
        self._number = 0

    def requests(self, count: int) -> Iterator[Request | str]:
        """Yield so many requests, each made when it is asked for."""
        for kind in self._random.choices(self._kinds, self._weights, k=count):
            self._number += 1
            yield self._request(kind)

    def _request(self, kind: str) -> Request | str:
        number = self._number
        refuses = kind == "refused"
        url = (_REFUSING if refuses else self._origins[number % len(self._origins)]) + kind
        if kind == "slow":
            return Request(url, timeout=SLOW_LIMIT, tag=number)
        return url if number % _EVERY else Request(url, tag=number)


def kind_of(result: Result) -> str:
    """Return what was asked for."""
    return str(result.request.url).rpartition("/")[2]


def is_expected(result: Result) -> bool:
    """Say whether a request has ended as one of its kind must."""
    _, expected = KINDS[kind_of(result)]
    if isinstance(expected, bytes):
        return result.ok and result.content == expected
    return not result.ok and str(result.kind) in expected
