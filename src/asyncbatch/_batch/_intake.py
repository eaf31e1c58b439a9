"""
The intake of a batch: what is read from the input, and when.

An input that can be read without waiting is read by whoever looks for work, one item at a time; one
that has to be waited for is read ahead by a task of its own.
"""

from __future__ import annotations

from typing import Any

import anyio

from asyncbatch._batch._equipment import Equipment
from asyncbatch._batch._ledger import Ledger
from asyncbatch._batch._slice import Slice
from asyncbatch._clock import Clock
from asyncbatch._input import END, Input
from asyncbatch._output import Output
from asyncbatch._schedule import Schedule
from asyncbatch._stalls import LEAST, Stepped


class Intake:
    """Reads an input into the ledger, no further than is needed."""

    def __init__(
        self,
        source: Input,
        ledger: Ledger,
        schedule: Schedule,
        output: Output,
        equipment: Equipment,
        clock: Clock,
    ) -> None:
        self.source = source
        self.is_fed = source.is_async
        """Whether `feed` reads the input, because reading may wait."""
        self._ledger = ledger
        self._schedule = schedule
        self._output = output
        self._concurrency = equipment.concurrency
        self._window = equipment.window
        self._clock = clock
        self._stalls = equipment.stalls
        self._hungry = anyio.Event()  # set by whoever changes what the feeder waits for

    @property
    def is_finished(self) -> bool:
        """Whether every request of the input has its result."""
        return self.source.exhausted and not self._ledger.unfinished

    def read(self, now: float) -> bool:
        """Read one request if that needs no waiting and there is room; say whether one came."""
        if not self.source.is_at_hand or not self._has_room():
            return False
        item = self.take()
        if item is END:
            return False
        self._ledger.enter(item, self._clock() if self.source.is_callers_code else now)
        return True

    def take(self) -> Any:
        """Return the next item, or `END`; what its making takes is in no request's account."""
        source, clock = self.source, self._clock
        if not source.is_callers_code:
            return source.read()
        begun = clock()
        item = source.read()
        took = clock() - begun
        if took >= LEAST:
            self._stalls.take_out(took, begun)
        return item

    def notify(self) -> None:
        """Say that something has changed: there may be room now."""
        self._hungry.set()

    async def feed(self) -> None:
        """Read an input that has to be waited for, ahead of what can be started."""
        turn = Slice()
        turn.begin()
        while True:
            while not self._wants_more():
                await self._wait()
                turn.begin()
            item = await Stepped(self.source.read_async(), self._stalls, self._clock)
            if item is END:
                self._schedule.on_ready()
                return
            self._ledger.enter(item, self._clock())
            self._schedule.on_ready()
            if turn.is_over:
                await turn.end()

    async def _wait(self) -> None:
        self._hungry = anyio.Event()
        await self._hungry.wait()

    def _wants_more(self) -> bool:
        schedule = self._schedule
        if schedule.has_ready and schedule.pending >= self._concurrency:
            return False
        # A request that cannot be sent is a result at once, for which there must be room as well.
        return self._has_room() and self._output.may_start(schedule.in_flight)

    def _has_room(self) -> bool:
        unfinished = self._ledger.unfinished
        return unfinished < self._window and self._output.may_take(unfinished)
