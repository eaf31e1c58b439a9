"""
How long one attempt may take: values only.

The scheduler's waits are not in here: no limit runs while a request queues with us.
"""

from __future__ import annotations

from typing import Any

import attrs

from asyncbatch._values._checks import check_seconds
from asyncbatch._values._request import UNSET, TimeoutTypes, Unset

DEFAULT_TIMEOUT = 30.0
DEFAULT_CONNECT_TIMEOUT = 10.0

CLOSE_SECONDS = 1.0
"""How long closing waits for what may not end by itself: tasks, TLS, code of the caller's."""


@attrs.frozen
class TimeLimits:
    """What bounds one attempt: seconds and the size of its body. `None` is no limit."""

    total: float | None
    """All of one attempt: redirects and body included."""
    connect: float | None
    """Opening a connection; again for its TLS handshake."""
    read: float | None = None
    """Each wait for bytes."""
    write: float | None = None
    """Each wait to send bytes."""
    pool: float | None = None
    """Waiting for a place in the client's pool."""
    max_body: int | Unset | None = UNSET
    """Bytes of the decoded body, where they are others than those of all requests."""

    def by_phase(self) -> dict[str, float | None]:
        """Return the limits of the phases as httpx names them, in its extension `timeout` too."""
        return {
            "connect": self.connect,
            "read": self.read,
            "write": self.write,
            "pool": self.pool,
        }


def limits_of(timeout: TimeoutTypes | None, connect_timeout: float | None) -> TimeLimits:
    """
    Return the limits that the options `timeout` and `connect_timeout` stand for.

    An `httpx.Timeout` sets the phases, and its longest one limits the attempt.

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
    """Return the limits for a client of the caller's, from its own `timeout`: its phases stand."""
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
