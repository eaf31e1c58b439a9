"""
Slots: how many requests may be under way at once.

A semaphore that also tells whether somebody is waiting, so that a worker which goes on from one
request to the next knows when to let another batch have its turn.
"""

from __future__ import annotations

from typing import TypeAlias

import anyio

from asyncbatch._runtime._event_loop import Clock


class Slots:
    """
    A number of slots, handed out first come, first served.

    Args:
        total: How many.
        clock: To tell for how long all of them were taken; without one nobody asks.
    """

    def __init__(self, total: int, clock: Clock = float) -> None:
        self.total = total
        self._clock = clock
        # For how long all were taken, up to the last time that one was given back; and since when
        # they are. Attributes, as each request reads them.
        self.full_seconds = 0.0
        self.full_since: float | None = None
        self.waiting = 0
        """How many are waiting for a slot. An attribute, as each request asks."""
        self._semaphore = anyio.Semaphore(total, fast_acquire=True)

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return self.total - self._semaphore.value

    async def acquire(self) -> None:
        """Take a slot, waiting for one if none is free; taken or not at all if cancelled."""
        self.waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.waiting -= 1
        if self.full_since is None and not self._semaphore.value:
            self.full_since = self._clock()

    def try_acquire(self) -> bool:
        """Take a slot if one is free; say whether it was taken. A wait costs 6 us even if none."""
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            return False
        if self.full_since is None and not self._semaphore.value:
            self.full_since = self._clock()
        return True

    def release(self) -> None:
        """Give a slot back."""
        self._semaphore.release()
        if self.full_since is not None and self._semaphore.value:
            self.full_seconds += self._clock() - self.full_since
            self.full_since = None

    def full_at(self, now: float) -> float:
        """Return for how many seconds all slots have been taken so far."""
        since = self.full_since
        return self.full_seconds if since is None else self.full_seconds + now - since

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still out of that."""
        if self.full_since is not None and self.full_since <= before:
            self.full_since += seconds


class BothSlots:
    """
    A slot of each of two `Slots`, always taken in their order.

    With a client of the caller's: the fetcher's `concurrency`, and the places of that client, which
    other fetchers may share.
    """

    def __init__(self, first: Slots, second: Slots) -> None:
        self._first = first
        self._second = second

    @property
    def waiting(self) -> int:
        """How many are waiting for what a holder of both holds."""
        return self._first.waiting + self._second.waiting

    async def acquire(self) -> None:
        """Take one slot of each; both or none if cancelled."""
        await self._first.acquire()
        try:
            await self._second.acquire()
        except BaseException:
            self._first.release()
            raise

    def try_acquire(self) -> bool:
        """Take one slot of each if both are free; say whether they were taken."""
        if not self._first.try_acquire():
            return False
        if self._second.try_acquire():
            return True
        self._first.release()
        return False

    def release(self) -> None:
        """Give back one slot of each."""
        self._first.release()
        self._second.release()


Permits: TypeAlias = Slots | BothSlots
"""What a worker must hold while it works."""
