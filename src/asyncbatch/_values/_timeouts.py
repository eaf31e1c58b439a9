"""
The time limits of one attempt: values only.

Waits of the schedule have no limit here: none of these runs while a request is in our queue.
"""

from __future__ import annotations

import functools
from typing import Any

import attrs

from asyncbatch._values._checks import check_seconds
from asyncbatch._values._request import UNSET, TimeoutTypes, Unset

DEFAULT_TIMEOUT = 30.0
DEFAULT_CONNECT_TIMEOUT = 10.0

CLOSE_SECONDS = 1.0
"""How long closing waits for tasks, TLS and code of the caller that may not end by itself."""


@attrs.frozen
class TimeLimits:
    """The limits of one attempt: seconds, and the size of its body. `None`: no limit."""

    total: float | None
    """Seconds for the whole attempt, redirects and body included."""
    connect: float | None
    """Seconds for opening a connection, and again for its TLS handshake."""
    read: float | None = None
    """Seconds for each wait for bytes."""
    write: float | None = None
    """Seconds for each wait to send bytes."""
    pool: float | None = None
    """Seconds of waiting for a place in the client's pool."""
    head: float | None = None
    """
    Seconds from the start of the attempt to the head of the final response, if less than `total`.
    """
    is_default: bool = False
    """Whether the caller has not given `total`."""
    max_body: int | Unset | None = UNSET
    """Most bytes of the decoded body; `UNSET`: the limit of the lane."""

    def by_phase(self) -> dict[str, float | None]:
        """Return the limits of the phases by httpx's names, as in its `timeout` extension."""
        return {
            "connect": self.connect,
            "read": self.read,
            "write": self.write,
            "pool": self.pool,
        }


def shorter(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two limits; `None`: no limit."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


@functools.lru_cache(maxsize=64)
def for_files(limits: TimeLimits) -> TimeLimits:
    """
    Return the limits of attempts whose body goes to a file.

    Unless the caller has given it, the limit on the whole attempt becomes one on the wait for the
    head and for each silence.
    """
    total = limits.total
    if not limits.is_default:
        return limits
    return attrs.evolve(
        limits,
        total=None,
        head=total,
        read=shorter(limits.read, total),
        write=shorter(limits.write, total),
    )


def limits_of(timeout: TimeoutTypes | None, connect_timeout: float | None) -> TimeLimits:
    """
    Return the limits given by the options `timeout` and `connect_timeout`.

    An `httpx.Timeout` sets the phases; the longest of them limits the attempt.

    Raises:
        TypeError: If `timeout` is neither a number nor a `Timeout`.
        ValueError: If a number is not above zero.
    """
    if is_phased(timeout):
        phased: Any = timeout
        return TimeLimits(
            total=_longest(phased),
            connect=phased.connect,
            read=phased.read,
            write=phased.write,
            pool=phased.pool,
        )
    return TimeLimits(
        total=check_seconds("timeout", timeout),
        connect=check_seconds("connect_timeout", connect_timeout),
    )


def limits_of_client(timeout: Any) -> TimeLimits:
    """Return the limits for a client of the caller, whose `timeout` sets the phases."""
    longest = _longest(timeout)
    return TimeLimits(
        total=None if longest is None else max(longest, DEFAULT_TIMEOUT),
        connect=timeout.connect,
        read=timeout.read,
        write=timeout.write,
        pool=timeout.pool,
    )


def is_phased(timeout: object) -> bool:
    """Whether `timeout` is a `Timeout` of httpx or httpx2."""
    return all(hasattr(timeout, phase) for phase in ("connect", "read", "write", "pool"))


def _longest(timeout: Any) -> float | None:
    phases = (timeout.connect, timeout.read, timeout.write)
    if None in phases:
        return None
    return float(max(phases))
