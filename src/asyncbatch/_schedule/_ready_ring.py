"""
The hosts at which one batch may start something, and what holds all of them back.

Pure, like the rest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch._schedule._hosts import Hosts

Q = TypeVar("Q")
"""The queue of a host."""


def _ignore() -> None:
    """Stand in for a batch that has no dispatcher."""


class ReadyRing(Generic[Q]):
    """
    The queues of one batch that may start something, in the order of their turns.

    To the rate over all it stands for the batch.
    """

    __slots__ = ("_hosts", "held_until", "on_ready", "queues")

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        # Queues whose host may start one, or has not been looked at since it might not. They join
        # when they get something to start, and are taken by the schedule.
        self.queues: deque[Q] = deque()
        # Until when the rate over all holds back everything that is in here, as far as was known
        # when a queue was last looked at; written by `is_held`, and undone by what changes it.
        self.held_until: float | None = None
        # Wakes the dispatcher; written by the batch.
        self.on_ready: Callable[[], None] = _ignore

    def is_held(self, now: float) -> bool:
        """Does the rate over all let nothing start?"""
        self.held_until = self._hosts.held_until(self, now)
        return self.held_until is not None

    def book(self, now: float) -> None:
        """Take a slot of the rate over all."""
        self._hosts.book_total(self, now)

    def enter(self) -> None:
        """Say that what changes from now on is of this batch's doing."""
        self._hosts.caller = self

    def clear(self) -> None:
        """Forget all, and stand in no line any more."""
        self.queues.clear()
        self.held_until = None
        self._hosts.leave_line(self)

    # Called by hosts and timers

    def is_startable(self) -> bool:
        """Is there a request that perhaps only the rate over all holds back?"""
        return bool(self.queues)

    def look_again(self) -> None:
        """Tell the dispatcher that something has changed, unless it is the one who changes it."""
        if self._hosts.caller is not self:
            self.held_until = None
            self.on_ready()
