"""
A door before httpcore's pool, through which requests go one at a time until each has a connection.

httpcore hands a connection out before it is taken: between the two lie some turns of the event
loop, in which other requests are given the same one. All but the first are sent back, look at
every connection of the pool again, and may find themselves behind newcomers for ever. At 100
connections this takes longer than all the rest of a request, httpx's part included. httpcore2
marks a connection as taken when it hands it out, and needs no door.
"""

from __future__ import annotations

import weakref
from typing import Any

import anyio

from asyncbatch._engine import is_stock_pool
from asyncbatch._lanes.client._conditions import is_all_httpx

PATIENCE = 1.0
"""
Seconds after which somebody goes in although another has not left: he waits for a connection then,
where the caller's own requests have all of them, and all who wait have to come to httpcore's queue.
"""


class Door:
    """Lets requests in, first come, first served."""

    def __init__(self) -> None:
        self._free = anyio.Semaphore(1, fast_acquire=True)

    async def enter(self) -> Pass | None:
        """
        Wait until the one before has left, but not too long, and go in.

        Returns:
            What to call `leave` of; `None` if he has not left.
        """
        with anyio.move_on_after(PATIENCE):
            await self._free.acquire()
            return Pass(self._free)
        return None


class Pass:
    """What whoever has gone in holds."""

    __slots__ = ("_free",)

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free: anyio.Semaphore | None = free

    def leave(self) -> None:
        """Let the next one in; no harm if that has been done."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


_doors: weakref.WeakKeyDictionary[Any, Door] = weakref.WeakKeyDictionary()


def door_of(client: Any) -> Door | None:
    """
    Return the one door that all requests to the pools of `client` go through.

    `None`: there are others than plain HTTP/1.1 pools of httpcore's own. Where it tunnels, or hopes
    for HTTP/2, a request may wait for a connection that another one opens, and tells nothing
    meanwhile; and of what a mock does nothing is told at all. Nor is there one where code that is
    not httpx's stands between the door and the pool: what that waits for, others need not.
    """
    mounts = getattr(client, "_mounts", None) or {}
    mounted = [transport for transport in mounts.values() if transport is not None]
    transports = (getattr(client, "_transport", None), *mounted)
    if not all(is_stock_pool(getattr(transport, "_pool", None)) for transport in transports):
        return None
    if not is_all_httpx(client, transports):
        return None
    door = _doors.get(client)
    if door is None:
        door = _doors[client] = Door()
    return door
