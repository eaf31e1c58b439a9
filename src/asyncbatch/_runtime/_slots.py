"""
Slots: limit how many requests may be in flight.

A semaphore that also tells whether a task waits for it, so that a worker knows between two requests
when to let another batch have its turn.
"""

from __future__ import annotations

from typing import TypeAlias

import anyio

from asyncbatch._runtime._event_loop import Clock


class Slots:
    """
    A number of slots, handed out first come, first served.

    Args:
        total: Number of slots.
        clock: Measures for how long all of them are taken; unnecessary if that is not used.
    """

    def __init__(self, total: int, clock: Clock = float) -> None:
        self.total = total
        self._clock = clock
        # Seconds for which all slots were taken, up to the last time that ended; and since when all
        # are taken now, if they are. Attributes, since each request reads them.
        self.full_seconds = 0.0
        self.full_since: float | None = None
        self.waiting = 0
        """Number of tasks that wait for a slot. An attribute, since each request reads it."""
        self._semaphore = anyio.Semaphore(total, fast_acquire=True)

    @property
    def taken(self) -> int:
        """Number of slots in use."""
        return self.total - self._semaphore.value

    async def acquire(self) -> None:
        """Take a slot, waiting for one if none is free. If cancelled, none is taken."""
        self.waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.waiting -= 1
        if self.full_since is None and not self._semaphore.value:
            self.full_since = self._clock()

    def try_acquire(self) -> bool:
        """Take a slot if one is free; return whether. `acquire` costs 6 µs even without a wait."""
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            return False
        if self.full_since is None and not self._semaphore.value:
            self.full_since = self._clock()
        return True

    def release(self) -> None:
        """Release a slot."""
        self._semaphore.release()
        if self.full_since is not None and self._semaphore.value:
            self.full_seconds += self._clock() - self.full_since
            self.full_since = None

    def full_at(self, now: float) -> float:
        """Return the seconds in which all slots were taken so far."""
        since = self.full_since
        return self.full_seconds if since is None else self.full_seconds + now - since

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of those seconds."""
        if self.full_since is not None and self.full_since <= before:
            self.full_since += seconds


class BothSlots:
    """
    A slot of each of two `Slots`, always taken in their order.

    It is used with a client of the caller: one limits to the `concurrency` of the fetcher, the
    other to the pool of the client, which other fetchers may share.
    """

    def __init__(self, first: Slots, second: Slots) -> None:
        self._first = first
        self._second = second

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for either slot."""
        return self._first.waiting + self._second.waiting

    async def acquire(self) -> None:
        """Take one slot of each. If cancelled, none is taken."""
        await self._first.acquire()
        try:
            await self._second.acquire()
        except BaseException:
            self._first.release()
            raise

    def try_acquire(self) -> bool:
        """Take one slot of each if both are free; return whether they were taken."""
        if not self._first.try_acquire():
            return False
        if self._second.try_acquire():
            return True
        self._first.release()
        return False

    def release(self) -> None:
        """Release one slot of each."""
        self._first.release()
        self._second.release()


Permits: TypeAlias = Slots | BothSlots
"""The permit that a worker holds while it works."""
