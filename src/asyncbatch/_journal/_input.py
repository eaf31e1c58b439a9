"""
`JournaledInput`: the input of a batch without the requests whose results are in its journal.

It reads some requests ahead, looks them up together, and passes on those that must be sent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from asyncbatch._batch._input import END, Input, Settled
from asyncbatch._journal._lookup import Asked
from asyncbatch._journal._open_journal import OpenJournal
from asyncbatch._values._result import Result

AHEAD = 64
"""Requests that are looked up together, of an input that runs code of the caller."""

AHEAD_IN_MEMORY = 256
"""The same of a list and the like."""

AHEAD_SERVED = 1024
"""The same while all of them are served: each look-up is a change of threads."""

READ_SECONDS = 0.002
"""Seconds of reading the caller's input before what was read is looked up."""


class JournaledInput(Input):
    """
    An input that hands out requests with results in the journal as `Settled`.

    Args:
        source: The input.
        journal: The journal.
    """

    def __init__(self, source: Input, journal: OpenJournal) -> None:
        self._source = source
        self._journal = journal
        self.read_count = 0
        self.exhausted = False
        self.error = None
        self.is_callers_code = True
        self.is_at_hand = False
        self.take = None
        self.size = source.size
        self._least = self._most = AHEAD if source.is_callers_code else AHEAD_IN_MEMORY
        # Read and not looked up yet.
        self._asked: list[Asked] = []
        # Looked up and not handed out yet: first those with results, then the others. Nothing is
        # looked up before both are empty.
        self._served: deque[Result] = deque()
        self._ready: deque[tuple[int, Any]] = deque()
        # Set when `_asked` gets a request, or the source ends; for an async source.
        self._fed = anyio.Event()
        self._room = anyio.Event()

    @property
    def is_async(self) -> bool:
        """Whether reading may wait: it waits for the file."""
        return True

    @property
    def is_ahead(self) -> bool:
        """Whether `read` returns an item that was looked up."""
        return bool(self._served or self._ready)

    def take_settled(self, most: int) -> Sequence[Result]:
        """Return the results of the next items, as far as they were looked up."""
        served = self._served
        if len(served) <= most:
            self._served = deque()
            return served
        return [served.popleft() for _ in range(most)]

    @property
    def can_be_finished(self) -> bool:
        """Whether `read` can return all further items without waiting."""
        return self._source.can_be_finished

    @property
    def pump(self) -> Callable[[], Any] | None:
        """Reads the source, in a task of its own; `None` if that never waits."""
        return self._pump if self._source.is_async else None

    def read(self) -> Any:
        """Return the next item; one that was not looked up yet as it is."""
        if self._served:
            result = self._served.popleft()
            return result.index, Settled(result)
        if self._ready:
            return self._ready.popleft()
        if self._asked:
            index, item, _ = self._asked.pop(0)
            return index, item
        numbered = self._source.read()
        self.exhausted, self.error = self._source.exhausted, self._source.error
        return numbered

    async def read_async(self) -> Any:
        """Wait for the next item that was looked up."""
        while not (self._served or self._ready):
            if not self._asked:
                await self._read_some()
            if not self._asked:
                self.exhausted, self.error = True, self._source.error
                return END
            await self._look_up()
        return self.read()

    async def aclose(self) -> None:
        """Close the source and the journal, once all results are written."""
        if self._journal.is_closed:
            return
        try:
            await self._source.aclose()
            await self._journal.flush()
        finally:
            await self._journal.close()

    async def _look_up(self) -> None:
        asked = self._asked[: self._most]
        served, others = await self._journal.look_up(asked)
        del self._asked[: len(served) + len(others)]
        self._served.extend(served)
        keys, ready = self._journal.output.keys, self._ready.append
        sent = 0
        for (index, item, _), (key, result) in zip(asked[len(served) :], others, strict=False):
            if result is None:
                keys[index] = key
                ready((index, item))
                sent += 1
                continue
            if not result.from_journal:
                keys[index] = key
            ready((index, Settled(result)))
        self._most = self._least if sent else min(2 * self._most, AHEAD_SERVED)
        self._room.set()

    async def _read_some(self) -> None:
        """Read as many requests as there are without waiting, at least one unless it is the end."""
        source = self._source
        if source.is_async:
            while not self._asked and not source.exhausted:
                self._fed = anyio.Event()
                await self._fed.wait()
            return
        clock, has_keys, key_of = time.perf_counter, self._journal.has_keys, self._journal.key_of
        ends_at = clock() + READ_SECONDS
        # A key may be made by code of the caller, too.
        at_once = 1 if has_keys else self._most
        while len(self._asked) < self._most:
            numbered = source.read_some(at_once, READ_SECONDS)
            self._asked += [
                (index, item, None if type(item) is str and not has_keys else key_of(item))
                for index, item in numbered
            ]
            if len(numbered) < at_once or clock() >= ends_at:
                return

    async def _pump(self) -> None:
        """Read an async source, some requests ahead of what is looked up."""
        source = self._source
        while True:
            while len(self._asked) >= self._most:
                self._room = anyio.Event()
                await self._room.wait()
            numbered = await source.read_async()
            if numbered is END:
                self._fed.set()
                return
            self._add(numbered)
            self._fed.set()

    def _add(self, numbered: tuple[int, Any]) -> None:
        index, item = numbered
        self._asked.append((index, item, self._journal.key_of(item)))
