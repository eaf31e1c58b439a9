"""
The reader of a batch: decides when to read the input.

Workers and dispatcher read an input that needs no waiting when they look for work, one item at a
time. A task of its own reads ahead from an async input.
"""

from __future__ import annotations

from typing import Any

import anyio

from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._batch._ledger import Ledger
from asyncbatch._batch._output import Output
from asyncbatch._batch._shared import Shared
from asyncbatch._batch._time_slice import TimeSlice
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._runtime._stalls import LEAST, TimedSteps
from asyncbatch._schedule import Schedule

PASSED_ON_AT_ONCE = 1000
"""Most results that are passed on before other tasks may run."""


class Reader:
    """Reads an input into the ledger, as far as needed."""

    def __init__(
        self,
        source: Input,
        ledger: Ledger,
        schedule: Schedule,
        output: Output,
        shared: Shared,
        clock: Clock,
    ) -> None:
        self.source = source
        self.is_fed = source.is_async
        """Whether `feed` reads the input, because reading may wait."""
        self._is_at_hand = not (source.is_async or source.is_callers_code)
        self._ledger = ledger
        self._schedule = schedule
        self._output = output
        self._concurrency = shared.concurrency
        self._window = ledger.window
        self.was_full = False
        """Whether the last `read` found no room. Not used with `feed`."""
        self._clock = clock
        self._stalls = shared.stalls
        self._hungry = anyio.Event()  # set on every change that `feed` waits for

    @property
    def is_finished(self) -> bool:
        """Whether every request of the input has its result."""
        return self.source.exhausted and not self._ledger.unfinished

    def read(self, now: float) -> bool:
        """
        Read one request, if that needs no waiting and there is room; return whether one came.

        Call it when a slot is free and no request that has been read may start.
        """
        if not self.source.is_at_hand:
            return False
        unfinished, output = self._ledger.unfinished, self._output
        if output.is_bounded and not output.may_take(unfinished):
            return False
        is_beyond = unfinished >= self._window.size
        if is_beyond and not self._widens(unfinished):
            self.was_full = True
            return False
        take = self.source.take
        numbered: Any = END if take is None else take()
        if numbered is END:
            numbered = self.read_timed()  # which notes the end
        if numbered is END:
            return False
        index, item = numbered
        now = self._clock() if self.source.is_callers_code else now
        self._ledger.enter(item, index, now, is_beyond=is_beyond)
        self.was_full = False
        return True

    def has_room_again(self) -> bool:
        """Whether `read` found no room and has room now, even if other requests may start."""
        return self.was_full and self._window.is_worth_a_look(
            self._ledger.unfinished, self._schedule.hosts, is_at_hand=self._is_at_hand
        )

    def read_timed(self) -> Any:
        """
        Read the next item, as `Input.read` does.

        The time that the caller's code takes to make it counts for no request.
        """
        source, clock = self.source, self._clock
        if not source.is_callers_code:
            return source.read()
        begun = clock()
        numbered = source.read()
        took = clock() - begun
        if took >= LEAST:
            self._stalls.take_out(took, begun)
        return numbered

    def notify(self) -> None:
        """Report a change after which there may be room."""
        self._hungry.set()

    async def feed(self) -> None:
        """Read an async input to its end, ahead of the requests that can start."""
        turn = TimeSlice()
        turn.restart()
        while True:
            while not self._wants_more():
                await self._wait()
                turn.restart()
            if self.source.is_ahead:
                if self._passes_on():
                    if turn.is_over:
                        await turn.let_others_run()
                    continue
                numbered = self.source.read()
            else:
                numbered = await TimedSteps(self.source.read_async(), self._stalls, self._clock)
            if numbered is END:
                self._schedule.on_ready()
                return
            index, item = numbered
            if isinstance(item, Settled):
                self._ledger.pass_on(item.result)
                if turn.is_over:
                    await turn.let_others_run()
                continue
            is_beyond = self._ledger.unfinished >= self._window.size
            self._ledger.enter(item, index, self._clock(), is_beyond=is_beyond)
            self._schedule.on_ready()
            if turn.is_over:
                await turn.let_others_run()

    def _passes_on(self) -> bool:
        """Pass results on that came with their requests; return whether there were any."""
        room = self._output.room(self._ledger.unfinished, self._schedule.in_flight)
        results = self.source.take_settled(min(room, PASSED_ON_AT_ONCE))
        if results:
            self._ledger.pass_on_all(results)
        return bool(results)

    async def _wait(self) -> None:
        self._hungry = anyio.Event()
        await self._hungry.wait()

    def _wants_more(self) -> bool:
        schedule = self._schedule
        if schedule.has_ready and schedule.pending >= self._concurrency:
            return False
        # An invalid request becomes a result at once, so there must be room for one.
        unfinished = self._ledger.unfinished
        if not self._output.may_take(unfinished) or not self._output.may_start(schedule.in_flight):
            return False
        if unfinished < self._window.size:
            return True
        # As for `read`: a slot is free, and no request that has been read may start.
        is_free = schedule.in_flight < self._concurrency and not schedule.has_ready
        return is_free and self._widens(unfinished)

    def _widens(self, unfinished: int) -> bool:
        """Whether to read beyond the size of the window when no request may start."""
        schedule = self._schedule
        # Reading more does not help if the total rate holds the requests back.
        return not schedule.is_held and self._window.widens(
            unfinished, schedule.hosts, is_at_hand=self._is_at_hand
        )
