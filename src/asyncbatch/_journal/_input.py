"""
`JournaledInput`: the input of a batch without the requests whose results are in its journal.

It reads some requests ahead, looks them up together, and passes on those that must be sent.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
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

AHEAD_SERVED = 256
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
        # Read and not looked up yet, looked up and not handed out yet.
        self._asked: deque[Asked] = deque()
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
        return bool(self._ready)

    def settled(self) -> Result | None:
        """Return the result of the next item, if it was looked up and is in the journal."""
        ready = self._ready
        if not ready or type(item := ready[0][1]) is not Settled:
            return None
        del ready[0]
        return item.result

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
        if self._ready:
            return self._ready.popleft()
        if self._asked:
            index, item, _ = self._asked.popleft()
            return index, item
        numbered = self._source.read()
        self.exhausted, self.error = self._source.exhausted, self._source.error
        return numbered

    async def read_async(self) -> Any:
        """Wait for the next item that was looked up."""
        while not self._ready:
            if not self._asked:
                await self._read_some()
            if not self._asked:
                self.exhausted, self.error = True, self._source.error
                return END
            await self._look_up()
        return self._ready.popleft()

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
        asked = list(itertools.islice(self._asked, self._most))
        answers = await self._journal.look_up(asked)
        keys, ready, forget = self._journal.output.keys, self._ready.append, self._asked.popleft
        sent = 0
        for (index, item, _), (key, result) in zip(asked, answers, strict=False):
            forget()
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
        clock, read, is_callers_code = time.perf_counter, source.read, source.is_callers_code
        asked, has_keys = self._asked, self._journal.has_keys
        ends_at = clock() + READ_SECONDS
        for _ in range(self._most - len(asked)):
            numbered = read()
            if numbered is END:
                return
            index, item = numbered
            is_without = type(item) is str and not has_keys
            asked.append((index, item, None if is_without else self._journal.key_of(item)))
            if is_callers_code and clock() >= ends_at:
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
