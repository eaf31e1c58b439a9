"""
The output of a batch: where its results go, and how many may wait there.

`Collected` keeps all of them, for `fetch_many`. `Delivered` hands them to a consumer and slows the
batch down if too many wait, for `stream`.
"""

from __future__ import annotations

import operator
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import anyio

from asyncbatch._results._limits import Limits
from asyncbatch._results._results import HAS_ENDED, HAS_LOST, ResultStream
from asyncbatch._results._summary import ReportWriter, RunningSummary, Summary
from asyncbatch._results._table_file import PathTypes, TableFile
from asyncbatch._values._result import Result


class Output(Protocol):
    """The interface of an output to its batch."""

    is_bounded: bool
    """Whether `may_take` and `may_start` ever return `False`."""

    @property
    def has_left(self) -> bool:
        """Whether the consumer has left: results are dropped, and do not count as done."""
        ...

    def may_go_on(self, unfinished: int, running: int) -> bool:
        """Whether another request may be read and start: `may_take` and `may_start` in one."""
        ...

    def may_take(self, unfinished: int) -> bool:
        """Whether another request may be read while `unfinished` have not ended."""
        ...

    def may_start(self, running: int) -> bool:
        """Whether another request may start while `running` are in flight."""
        ...

    def room(self, unfinished: int, running: int) -> int:
        """Return for how many results, whose requests are not sent, `may_go_on` holds."""
        ...

    def put(self, result: Result, /) -> None:
        """Take one result; never waits."""
        ...

    def put_all(self, results: Sequence[Result], /) -> None:
        """Take several results; never waits."""
        ...


class Collected:
    """Keeps every result, by the index of its request."""

    has_left = False

    def __init__(self) -> None:
        # Not of the class: CPython 3.11 does not specialise its reading through an object.
        self.is_bounded = False
        self._results: list[Result] = []
        self.put: Callable[[Result], None] = self._results.append
        """Keep one result."""
        self.put_all: Callable[[Sequence[Result]], None] = self._results.extend
        """Keep several results."""

    def room(self, unfinished: int, running: int) -> int:
        """Return for how many results there is room: any number."""
        return sys.maxsize

    def may_go_on(self, unfinished: int, running: int) -> bool:
        """Whether another request may be read and start: always."""
        return True

    def may_take(self, unfinished: int) -> bool:
        """Whether another request may be read: always."""
        return True

    def may_start(self, running: int) -> bool:
        """Whether another request may start: always."""
        return True

    def in_order(self) -> list[Result]:
        """Return the results in the order of the input, after the last one has come."""
        in_order = sorted(self._results, key=_index_of)
        # The rest of a batch waits for the garbage collector. Its results must not: they may be
        # gigabytes, and the collector would free all of them at once, within the event loop.
        self._results.clear()
        return in_order

    def only_result(self) -> Result:
        """Remove and return the only result."""
        return self._results.pop()


_index_of = operator.attrgetter("index")


_LEFT = "the stream has been left; read its results inside the async with"


class BoundedOutput(ABC):
    """
    Keeps at most `backlog` results waiting, in completion order or in that of the input.

    In completion order, a request may start while the requests in flight and the waiting results
    are fewer than `backlog`. In input order, a request may be *read* while the requests read and
    not consumed are fewer. If starts were limited instead, `backlog` results could wait for an
    earlier request that in turn waits for them.
    """

    def __init__(self, *, ordered: bool, backlog: int) -> None:
        self.is_bounded = True
        self._ordered = ordered
        self._backlog = backlog
        self._early: dict[int, Result] = {}  # in input order: results before their turn
        self._next_index = 0

    @abstractmethod
    def _room_beside(self, others: int) -> int:
        """
        Return for how many results there is room beside those that wait and `others`.

        A refusal, which is 0 or less, is remembered: the batch must be notified of room.
        """

    @abstractmethod
    def _give(self, result: Result) -> None:
        """Hand a result over, whose turn it is."""

    def room(self, unfinished: int, running: int) -> int:
        """Return for how many results, whose requests are not sent, `may_go_on` holds."""
        # In input order, a result takes the place of a request that was read.
        others = unfinished + len(self._early) if self._ordered else running
        return max(0, self._room_beside(others))

    def may_go_on(self, unfinished: int, running: int) -> bool:
        """Whether another request may be read and start: `may_take` and `may_start` in one."""
        others = unfinished + len(self._early) if self._ordered else running
        return self._room_beside(others) > 0

    def may_take(self, unfinished: int) -> bool:
        """Whether another request may be read while `unfinished` have not ended."""
        return not self._ordered or self._room_beside(unfinished + len(self._early)) > 0

    def may_start(self, running: int) -> bool:
        """Whether another request may start while `running` are in flight."""
        return self._ordered or self._room_beside(running) > 0

    def put(self, result: Result) -> None:
        """Take one result; never waits."""
        if not self._ordered:
            self._give(result)
            return
        self._early[result.index] = result
        while (turn := self._early.pop(self._next_index, None)) is not None:
            self._next_index += 1
            self._give(turn)

    def put_all(self, results: Sequence[Result]) -> None:
        """Take several results; never waits."""
        for result in results:
            self.put(result)


class Delivered(BoundedOutput, ResultStream):
    """Hands results to a consumer in the same event loop."""

    def __init__(self, *, ordered: bool, backlog: int, report: ReportWriter | None = None) -> None:
        super().__init__(ordered=ordered, backlog=backlog)
        self.on_room: Callable[[], None] | None = None
        """Called when there is room again after a refusal; `None` before the batch begins."""
        self._refused = False  # the batch was refused room, and must be notified when there is room
        self._ready: deque[Result] = deque()
        self._closed = False
        self.has_left = False
        self._error: BaseException | None = None
        # Why no table is made of the results to come; `None`: one can be made.
        self._no_table: str | None = None
        self._changed = anyio.Event()
        self.figures = RunningSummary(report)
        """Figures of the results that the consumer has taken."""

    def summary(self) -> Summary:
        """Return the figures of the results taken so far."""
        return self.figures.build()

    def limits(self) -> Limits:
        """Return what the limits of the fetcher have done to the batch."""
        return self.figures.limits

    def report(self, path: PathTypes) -> None:
        """Write a report of the results taken so far to a file."""
        self.figures.write_report(path)

    async def _write(self, file: TableFile) -> None:
        """Write the results that are still to come to a file."""
        if self._no_table is not None:  # the file would look like that of all results
            raise RuntimeError(self._no_table)
        try:
            await file.write_all_async(self)
        except BaseException:
            if file.taken and self._no_table is None:
                self._no_table = HAS_LOST
            raise

    def _room_beside(self, others: int) -> int:
        room = self._backlog - others - len(self._ready)
        if room <= 0:
            self._refused = True
        return room

    def _give(self, result: Result) -> None:
        self._ready.append(result)
        self._changed.set()

    def put(self, result: Result) -> None:
        """Take one result, and drop it if the consumer has left; never waits."""
        if not self.has_left:
            super().put(result)

    def put_all(self, results: Sequence[Result]) -> None:
        """Take several results; never waits."""
        if self._ordered or self.has_left:
            super().put_all(results)
            return
        self._ready.extend(results)
        self._changed.set()

    def close(self, error: BaseException | None = None) -> None:
        """End the results; `error` is raised to the consumer after the last one."""
        self.figures.stop_clock()
        if self.has_left:
            return
        self._closed = True
        self._error = error
        self._changed.set()

    def give_up_order(self) -> None:
        """Release the results that wait for an earlier one, in their order: it will not come."""
        self._ordered = False
        for index in sorted(self._early):
            self._ready.append(self._early.pop(index))
        if self._ready:
            self._changed.set()

    def consumer_left(self) -> None:
        """Mark the consumer as gone. A later read raises instead of ending quietly."""
        self._ready.clear()
        self.close()
        self.has_left = True
        self._no_table = self._no_table or _LEFT

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        """
        Wait for the next result.

        Raises:
            StopAsyncIteration: After the last result.
            RuntimeError: If the stream has been left.
            BaseException: As raised by the input of the batch, after the last result.
        """
        while (result := self.take_ready()) is None:
            if self._closed:
                self._no_table = HAS_ENDED
                raise StopAsyncIteration
            # Several tasks may share the iterator, and wait for the same event.
            if self._changed.is_set():
                self._changed = anyio.Event()
            await self._changed.wait()
        return result

    def take_ready(self) -> Result | None:
        """
        Return the next result if it is ready, without waiting.

        Raises:
            BaseException: As raised by the input of the batch, after the last result.
        """
        if not self._ready:
            if self.has_left:  # each time: what follows would look like the end of the results
                raise RuntimeError(_LEFT)
            error, self._error = self._error, None
            if error is not None:
                self._no_table = HAS_ENDED
                raise error
            return None
        result = self._ready.popleft()
        self.figures.add(result)
        if self._refused:
            self._refused = False
            assert self.on_room is not None
            self.on_room()
        return result
