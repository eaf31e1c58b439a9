"""
`BatchPermits`: the permits that one batch takes for its workers, and its place in the line.

All batches of a fetcher take theirs from the same `Slots`. If these are not enough, all batches
that could use more come to have equally many.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from asyncbatch._runtime._slots import Permits


class BatchPermits:
    """
    Takes permits for the workers of one batch.

    Args:
        permits: The permits of the fetcher.
        members: The workers of the batch, each of which holds a permit.
        on_permit: Called when one has come that was waited for. It must not call this object.
    """

    def __init__(self, permits: Permits, members: Sized, on_permit: Callable[[], object]) -> None:
        self._permits = permits
        self._members = members
        self._on_permit = on_permit
        # Permits that have come up in the line and have not been taken.
        self._at_hand = 0
        self.is_in_line = False
        """Whether a permit is waited for."""

    def take_permit(self) -> bool:
        """Take a permit, or get into the line for one; return whether it was taken."""
        if self._at_hand:
            self._at_hand -= 1
            return True
        if self._permits.try_acquire():
            return True
        if not self.is_in_line:
            self._join()
        return False

    def must_give_way(self) -> bool:
        """
        Whether a worker must release its permit for what waits for one; call it if anything waits.

        If this batch or one with as many permits is the next in the line, it must not. Ending a
        worker and starting another one costs as much as two requests.
        """
        return not self._permits.pass_over(self._share())

    def give_up_waiting(self) -> None:
        """Leave the line, and release what has come and was not taken."""
        if self.is_in_line:
            self.is_in_line = False
            self._permits.leave_line(self._come_up)
        while self._at_hand:
            self._at_hand -= 1
            self._permits.release()

    def _join(self) -> None:
        self.is_in_line = True
        self._permits.join_line(self._come_up, self._share)

    def _come_up(self) -> None:
        self.is_in_line = False
        self._at_hand += 1
        # One, then two, then four: it is not known how many it can use.
        if self._at_hand < len(self._members):
            self._join()
        self._on_permit()

    def _share(self) -> int:
        return len(self._members) + self._at_hand
