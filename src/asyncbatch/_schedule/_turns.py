"""
The line of those that wait for one host, and their turns.

Pure, like the rest. Whether the host admits anybody at all, the host says.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

TURN = 0.05
"""Seconds for which a free slot is kept for the batch whose turn it is. A batch that can use it
takes it in the same turn of the event loop; one that cannot (no free permit, nobody reads its
results) must not keep the slot from the others."""


class HostQueue(Protocol):
    """The queue of one batch for one host, as the host sees it."""

    def make_ready(self) -> None:
        """Join the hosts that may start, and tell the batch."""

    def look_again(self) -> None:
        """Tell the batch that it may have to wake up earlier than it thought."""

    def host_paused(self, now: float) -> None:
        """Give up what waits and cannot wait for the end of the pause of the host."""


class Turns:
    """The queues that wait for one host, in the order in which they get their turns."""

    __slots__ = ("_turn", "_waiting", "turn_until")

    def __init__(self) -> None:
        # Written by `join`, `leave`, `make_all_ready` and `give_turn`. Most hosts never have one.
        self._waiting: deque[HostQueue] | None = None
        # Whose turn it is, and until when; None when anybody may start. Set by `give_turn`.
        self._turn: HostQueue | None = None
        self.turn_until = -math.inf

    @property
    def is_empty(self) -> bool:
        """Does nobody wait?"""
        return not self._waiting

    @property
    def is_idle(self) -> bool:
        """Does nobody wait, and is it nobody's turn?"""
        return not self._waiting and self._turn is None

    def waiting(self) -> Iterable[HostQueue]:
        """Return those that wait."""
        return self._waiting or ()

    def allows(self, queue: HostQueue, now: float) -> bool:
        """May this queue start, or is it another's turn? A turn that nobody has used ends here."""
        if self._turn is None or self._turn is queue:
            return True
        if now < self.turn_until:
            return False
        self._turn = None
        return True

    def join(self, queue: HostQueue) -> None:
        """Let a queue wait behind all others."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(queue)

    def leave(self, queue: HostQueue) -> None:
        """Forget a queue, wherever it stands."""
        if self._waiting and queue in self._waiting:
            self._waiting.remove(queue)
        self.end_turn(queue)

    def give_turn(self, now: float) -> None:
        """Let the first one start, unless it is somebody's turn; there must be one that waits."""
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
        """Let all of them go on at once, whosever turn it is."""
        self._turn = None
        while self._waiting:
            self._waiting.popleft().make_ready()
