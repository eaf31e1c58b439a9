"""
`Bounds`: how many connections a pool may have, and how long it keeps idle ones.

The caller decides the number in use. The available descriptors limit the number kept.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs

from asyncbatch._engine._exchange import NEVER

MAX_IN_USE = 100
"""Most connections in use by default; httpx's own default."""

MOST_IDLE = 2_048
"""Most idle connections by default."""

IDLE_EXPIRY = 60.0
"""Seconds to keep an idle connection by default."""


@attrs.frozen
class Bounds:
    """How many connections a pool may have, and how long it keeps idle ones."""

    total: int
    """Most open connections."""
    in_use: int
    """Most connections being opened or serving an exchange."""
    idle: int
    """Most idle connections."""
    idle_expiry: float = IDLE_EXPIRY
    """Seconds to keep an idle connection."""


def bounds_for(in_use: int) -> Bounds:
    """Return bounds for `in_use` exchanges at a time, and as many idle ones as affordable."""
    idle = affordable_idle()
    return Bounds(total=in_use + idle, in_use=in_use, idle=idle)


def bounds_of(limits: Any) -> Bounds:
    """
    Return the bounds of an `httpx.Limits`; descriptors decide what it leaves open.

    As in httpx, `max_connections` includes idle ones.
    """
    total = sys.maxsize if limits.max_connections is None else limits.max_connections
    idle = limits.max_keepalive_connections
    return Bounds(
        total=total,
        in_use=total,
        idle=min(affordable_idle() if idle is None else idle, total),
        idle_expiry=NEVER if limits.keepalive_expiry is None else limits.keepalive_expiry,
    )


def affordable_idle() -> int:
    """Return the most idle connections that leave the program three quarters of its descriptors."""
    try:
        import resource  # not on Windows
    except ImportError:
        return MOST_IDLE
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_IDLE if soft == resource.RLIM_INFINITY else max(1, min(MOST_IDLE, soft // 4))
