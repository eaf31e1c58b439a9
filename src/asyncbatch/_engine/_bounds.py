"""
How many connections a pool may have, and how long it keeps those that are idle.

What is in use is the caller's to say; what is kept is a matter of the descriptors that there are.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs

from asyncbatch._engine._exchange import NEVER

MAX_IN_USE = 100
"""Connections in use where nobody says how many; httpx's own default."""

MOST_IDLE = 2_048
"""Idle connections that are kept at most where nobody says how many."""

IDLE_EXPIRY = 60.0
"""Seconds an idle connection is kept where nobody says how long."""


@attrs.frozen
class Bounds:
    """How many connections a pool may have, and how long it keeps those that are idle."""

    total: int
    """Open ones, whatever they do."""
    in_use: int
    """Those being opened, and those that serve an exchange."""
    idle: int
    """Those that are kept."""
    idle_expiry: float = IDLE_EXPIRY
    """Seconds that one is kept."""


def bounds_for(in_use: int) -> Bounds:
    """Return the bounds of a pool that serves so many exchanges at a time, and keeps all it can."""
    idle = affordable_idle()
    return Bounds(total=in_use + idle, in_use=in_use, idle=idle)


def bounds_of(limits: Any) -> Bounds:
    """
    Return what an `httpx.Limits` asks for; what it leaves open is as descriptors allow.

    Its `max_connections` counts idle ones, too, as httpx does.
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
    """Return how many idle connections leave the program three quarters of its descriptors."""
    try:
        import resource  # not on Windows
    except ImportError:
        return MOST_IDLE
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_IDLE if soft == resource.RLIM_INFINITY else max(1, min(MOST_IDLE, soft // 4))
