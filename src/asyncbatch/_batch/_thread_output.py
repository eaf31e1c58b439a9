"""
The output of a batch whose consumer runs in another thread.

It is `Delivered` across two threads. The loop's thread calls all but `next_result`, which the
consumer's thread calls. Each counter has one writer, so that no lock is needed.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable

from asyncbatch._batch._output import BoundedOutput
from asyncbatch._results._summary import ReportWriter, RunningSummary
from asyncbatch._values._result import Result


class ThreadOutput(BoundedOutput):
    """
    Hands results to a consumer in another thread.

    Args:
        ordered: Whether results come in the order of the input.
        backlog: Most results that wait.
        call_soon: Has the loop call a function in its next turn; used in the loop's thread.
        report: A report of the results taken, if there is to be one.
    """

    has_left = False

    def __init__(
        self,
        *,
        ordered: bool,
        backlog: int,
        call_soon: Callable[[Callable[[], None]], object],
        report: ReportWriter | None = None,
    ) -> None:
        super().__init__(ordered=ordered, backlog=backlog)
        self._call_soon = call_soon
        self.wake: Callable[[], object] | None = None
        """Called in the consumer's thread when there is room again after a refusal; `None` before
        the batch begins."""
        self.figures: RunningSummary = RunningSummary(report)
        """Figures of the results taken. The consumer adds them; both threads begin and end them."""
        self._chunks: queue.SimpleQueue[deque[Result] | None] = queue.SimpleQueue()
        # Set by the loop's thread when it is refused room, cleared by the consumer's thread.
        self._refused = False
        # Only the loop's thread writes these.
        self._gathering: deque[Result] = deque()
        self._given = 0  # number of results
        self._error: BaseException | None = None
        # Only the consumer's thread writes these.
        self._taking: deque[Result] | None = deque()
        self._taken = 0
        self.has_ended: bool = False
        """Whether all results were taken, and then the end or its error."""

    # In the loop's thread:

    def close(self, error: BaseException | None = None) -> None:
        """End the results; `error` is raised to the consumer after the last one."""
        self._hand_over()
        self.figures.stop_clock()
        self._error = error
        self._chunks.put(None)

    def _give(self, result: Result) -> None:
        # All results of a turn of the loop are handed over together, at 2.2 µs each. One by one, it
        # would be 5.3 µs: each wakes the consumer, which takes the GIL from the loop.
        if not self._gathering:
            self._call_soon(self._hand_over)
        self._gathering.append(result)
        self._given += 1

    def _hand_over(self) -> None:
        if self._gathering:
            self._chunks.put(self._gathering)
            self._gathering = deque()

    def _room_beside(self, others: int) -> int:
        # The flag is set before `_taken` is read; the consumer writes `_taken` before it reads the
        # flag. So at least one of the two sees the other, and no refusal is left without a wake-up.
        refused_before = self._refused
        self._refused = True
        room = self._backlog - others - self._given + self._taken
        if room > 0:
            self._refused = refused_before
        return room

    # In the consumer's thread:

    def next_result(self, timeout: float | None = None) -> Result | None:
        """
        Wait for the next result and return it, `None` after the last one.

        Raises:
            queue.Empty: If none came within `timeout` seconds.
            BaseException: The error given to `close`, once, after the last result.
        """
        if self._taking is not None and not self._taking:
            self._taking = self._chunks.get(timeout=timeout)
        if self._taking is None:
            self.has_ended = True
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None
        result = self._taking.popleft()
        self._taken += 1
        # Only at half of the backlog: a wake-up is a system call, too expensive for each result.
        if self._refused and self._given - self._taken <= self._backlog // 2:
            self._refused = False
            assert self.wake is not None
            self.wake()
        return result
