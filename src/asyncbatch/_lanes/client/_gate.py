"""
How many requests a client's pool can hold, and a gate before it.

A request that waits inside httpcore's pool runs into pool time-outs, and one that is cancelled
there takes its slot with it (encode/httpcore#1093). So nobody is let in that would have to wait,
however many batches share the client.
"""

from __future__ import annotations

import weakref
from typing import Any

from asyncbatch._runtime._slots import Slots

# httpx's own default, for transports that do not say.
ASSUMED_CAPACITY = 100

_gates: weakref.WeakKeyDictionary[Any, Slots] = weakref.WeakKeyDictionary()


def capacity_of(client: Any) -> int | None:
    """
    Return how many connections the smallest pool of `client` may hold.

    `None`: every transport is of another make than httpcore's (a mock, an ASGI application), and
    has no pool that is known of.
    """
    mounts = getattr(client, "_mounts", None) or {}
    transports = [getattr(client, "_transport", None), *mounts.values()]
    pools = [getattr(transport, "_pool", None) for transport in transports if transport is not None]
    sizes = [getattr(pool, "_max_connections", ASSUMED_CAPACITY) for pool in pools if pool]
    return min(sizes) if sizes else None


def gate_of(client: Any, capacity: int) -> Slots:
    """Return the one gate that all batches on `client` pass through."""
    gate = _gates.get(client)
    if gate is None:
        gate = _gates[client] = Slots(capacity)
    return gate
