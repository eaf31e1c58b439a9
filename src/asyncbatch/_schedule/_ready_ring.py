"""
The hosts at which one batch may start requests, and the total rate that may hold them back.

Pure.
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
    """Do nothing: the batch has no dispatcher, or has ended."""


class ReadyRing(Generic[Q]):
    """
    The queues of one batch that may start a request, in the order of their turns.

    It represents the batch at the total rate.
    """

    __slots__ = ("_hosts", "held_until", "on_ready", "queues")

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        # Queues whose host admits a request, or was not looked at since it did not. They join when
        # they get a request to start; the schedule takes them out.
        self.queues: deque[Q] = deque()
        # Until when the total rate holds all queues back, as found when a queue was last looked at.
        # Written by `is_held`, and reset on every change.
        self.held_until: float | None = None
        # Wakes the dispatcher; written by the batch.
        self.on_ready: Callable[[], None] = _ignore

    def is_held(self, now: float) -> bool:
        """Whether the total rate lets no request start."""
        self.held_until = self._hosts.held_until(self, now)
        return self.held_until is not None

    def book(self, now: float) -> None:
        """Take a slot of the total rate."""
        self._hosts.book_total(self, now)

    def enter(self) -> None:
        """Mark this batch as the caller, which need not be notified of the changes it makes."""
        self._hosts.caller = self

    def clear(self) -> None:
        """Remove all queues, leave the line of the total rate, and notify the batch no more."""
        self.queues.clear()
        self.held_until = None
        # Else batch and schedule would form a cycle, which keeps all results alive until garbage
        # collection.
        self.on_ready = _ignore
        self._hosts.leave_line(self)

    # Called by hosts and timers

    def is_startable(self) -> bool:
        """Whether there is a request that only the total rate may hold back."""
        return bool(self.queues)

    def look_again(self) -> None:
        """Notify the dispatcher of a change, unless this batch makes it."""
        if self._hosts.caller is not self:
            self.held_until = None
            self.on_ready()
