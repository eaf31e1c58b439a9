"""
Slots: limit how many requests may be in flight.

A semaphore that also tells whether a slot is waited for, so that a worker knows between two
requests when to let another batch have its turn. Calls wait in its line, not tasks: a batch that
waits for a slot goes on meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import anyio
import anyio.lowlevel

from asyncbatch._runtime._event_loop import Clock

Call: TypeAlias = Callable[[], object]
Share: TypeAlias = Callable[[], int]
"""Returns how many slots a caller has."""


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
        self.taken = 0
        """Number of slots in use. All of them while a call is in the line."""
        self.waiting = 0
        """Number of calls in the line. An attribute, since each request reads it."""
        # An `OrderedDict`: a dict whose first member is removed repeatedly finds its first one
        # slowly.
        self._line: OrderedDict[Call, Share | None] = OrderedDict()

    async def acquire(self) -> None:
        """Take a slot, waiting for one if none is free. If cancelled, none is taken."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self.try_acquire():
            await _come_up(self)

    def try_acquire(self) -> bool:
        """Take a slot if one is free; return whether."""
        taken = self.taken + 1
        if taken > self.total:
            return False
        self.taken = taken
        if taken == self.total:
            self.full_since = self._clock()
        return True

    def join_line(self, call: Call, share: Share | None = None) -> None:
        """
        Call `call` with a slot when those before it have one. It must neither wait nor raise.

        Use it after `try_acquire` has failed.

        Args:
            call: It can be in the line once.
            share: Lets `pass_over` move it; `None`: it is never moved.
        """
        self._line[call] = share
        self.waiting += 1

    def leave_line(self, call: Call) -> bool:
        """Remove a call from the line; return whether it was there, so that it has no slot."""
        if call not in self._line:
            return False
        del self._line[call]
        self.waiting -= 1
        return True

    def pass_over(self, slots: int) -> bool:
        """
        Move the first call to the end of the line if its caller needs no slot of another caller.

        Args:
            slots: How many slots the other caller has.

        Returns:
            Whether it was moved: its caller has as many slots.
        """
        call, share = next(iter(self._line.items()))
        if share is None or share() < slots:
            return False
        self._line.move_to_end(call)
        return True

    def release(self) -> None:
        """Release a slot, to the first call in the line if there is one."""
        if self._line:
            call, _ = self._line.popitem(last=False)
            self.waiting -= 1
            call()
            return
        self.taken -= 1
        if self.full_since is not None:
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
        # The calls that wait, with the slots whose line they are in and their calls there.
        self._steps: dict[Call, tuple[Slots, Call]] = {}

    @property
    def waiting(self) -> int:
        """Number of calls that wait for either slot."""
        return self._first.waiting + self._second.waiting

    async def acquire(self) -> None:
        """Take one slot of each. If cancelled, none is taken."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self.try_acquire():
            await _come_up(self)

    def try_acquire(self) -> bool:
        """Take one slot of each if both are free; return whether they were taken."""
        if not self._first.try_acquire():
            return False
        if self._second.try_acquire():
            return True
        self._first.release()
        return False

    def join_line(self, call: Call, share: Share | None = None) -> None:
        """Call `call` with a slot of each; see `Slots.join_line`. It waits for one at a time."""
        if self._first.try_acquire():
            self._join_second(call)
        else:
            self._join(self._first, partial(self._join_second, call), call)

    def _join_second(self, call: Call) -> None:
        if self._second.try_acquire():
            self._come_up(call)
        else:
            self._join(self._second, partial(self._come_up, call), call)

    def _join(self, slots: Slots, step: Call, call: Call) -> None:
        self._steps[call] = slots, step
        slots.join_line(step)

    def _come_up(self, call: Call) -> None:
        self._steps.pop(call, None)
        call()

    def leave_line(self, call: Call) -> bool:
        """Remove a call from the line; return whether it was there, so that it has no slot."""
        if call not in self._steps:
            return False
        slots, step = self._steps.pop(call)
        slots.leave_line(step)
        if slots is self._second:
            self._first.release()
        return True

    def pass_over(self, slots: int) -> bool:
        """Return `False`: first come, first served, since their callers may be of two fetchers."""
        return False

    def release(self) -> None:
        """Release one slot of each."""
        self._first.release()
        self._second.release()


Permits: TypeAlias = Slots | BothSlots
"""The permit that a worker holds while it works."""


async def _come_up(permits: Permits) -> None:
    """Wait in the line for a permit. If cancelled, none is taken."""
    come_up = anyio.Event()
    call = come_up.set
    permits.join_line(call)
    try:
        await come_up.wait()
    except BaseException:
        if not permits.leave_line(call):
            permits.release()
        raise
