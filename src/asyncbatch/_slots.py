"""
Slots: how many requests may be under way at once.

A semaphore that also tells whether somebody is waiting, so that a worker which goes on from one
request to the next knows when to let another batch have its turn.
"""

from __future__ import annotations

from types import TracebackType

import anyio


class Slots:
    """A number of slots, handed out first come, first served."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.waiting = 0
        """How many are waiting for a slot."""
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

    def release(self) -> None:
        """Give a slot back."""
        self._semaphore.release()


class Permits:
    """
    What a worker must hold: a slot of each of several `Slots`, always taken in their order.

    Usually one, the fetcher's `concurrency`; with a client of the caller's also one of that
    client, which other fetchers may share.
    """

    def __init__(self, *slots: Slots) -> None:
        self._slots = slots

    @property
    def contended(self) -> bool:
        """Whether somebody waits for what this worker holds."""
        for slots in self._slots:  # noqa: SIM110  # any() takes twice as long, for each request
            if slots.waiting:
                return True
        return False

    async def acquire(self) -> None:
        """Take one slot of each; all or none if cancelled."""
        held: list[Slots] = []
        try:
            for slots in self._slots:
                await slots.acquire()
                held.append(slots)
        except BaseException:
            for slots in held:
                slots.release()
            raise

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give back one slot of each."""
        for slots in self._slots:
            slots.release()
