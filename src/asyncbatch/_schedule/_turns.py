"""
The line of queues that wait for one host, and their turns.

Pure. The host decides whether it admits a request.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

TURN = 0.05
"""Seconds for which a free slot is kept for the batch that has the turn. A batch that can use the
slot takes it in the same turn of the event loop. A batch that cannot (no free permit, no room for
results) must not keep it from the others."""


class HostQueue(Protocol):
    """
    The interface of a batch's queue to its host.

    Attributes:
        fifo: the waiting jobs.
    """

    fifo: deque[Any]

    def make_ready(self) -> None:
        """Join the ready ring, and notify the batch."""

    def look_again(self) -> None:
        """Notify the batch that it may have to wake up earlier."""

    def held_back(self, reason: str, seconds: float) -> None:
        """Count the seconds in which the host let none of the waiting jobs start."""

    def host_paused(self, now: float) -> None:
        """Dismiss the waiting jobs that cannot wait for the end of the pause of the host."""

    def forget_pause(self) -> None:
        """Forget the last pause of the host, which may be followed by one that ends before."""


class Turns:
    """The queues that wait for one host, in the order in which they get their turns."""

    __slots__ = ("_turn", "_waiting", "turn_until")

    def __init__(self) -> None:
        # Written by `join`, `leave`, `make_all_ready` and `give_turn`. Most hosts never need one.
        self._waiting: deque[HostQueue] | None = None
        # The queue with the turn, until `turn_until`; None if any may start. Set by `give_turn`.
        self._turn: HostQueue | None = None
        self.turn_until = -math.inf

    @property
    def is_empty(self) -> bool:
        """Whether no queue waits."""
        return not self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether no queue waits or has the turn."""
        return not self._waiting and self._turn is None

    def waiting(self) -> Iterable[HostQueue]:
        """Return the queues that wait."""
        return self._waiting or ()

    def allows(self, queue: HostQueue, now: float) -> bool:
        """Whether this queue may start, as no other has the turn; ends a turn that is over."""
        if self._turn is None or self._turn is queue:
            return True
        if now < self.turn_until:
            return False
        self._turn = None
        return True

    def join(self, queue: HostQueue) -> None:
        """Make a queue wait after all others."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(queue)

    def leave(self, queue: HostQueue) -> None:
        """Remove a queue, and end its turn."""
        if self._waiting and queue in self._waiting:
            self._waiting.remove(queue)
        self.end_turn(queue)

    def give_turn(self, now: float) -> None:
        """Give the turn to the first waiting queue, unless another has it. One must wait."""
        assert self._waiting
        if self._turn is None or now >= self.turn_until:
            self._turn = queue = self._waiting.popleft()
            self.turn_until = now + TURN
            queue.make_ready()

    def end_turn(self, queue: HostQueue) -> bool:
        """End the turn of this queue; return whether it had one."""
        if self._turn is not queue:
            return False
        self._turn = None
        return True

    def make_all_ready(self) -> None:
        """Make all waiting queues ready at once, whichever has the turn."""
        self._turn = None
        while self._waiting:
            self._waiting.popleft().make_ready()
