"""
The thread of a journal, which makes all reads and writes of the file, in groups.

The event loop adds to a queue and is called back; it never waits for the disk.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._record import Record, record_of
from asyncbatch._journal._store import OutOfSpace, Store
from asyncbatch._runtime._event_loop import call_soon
from asyncbatch._values._errors import JournalError, JournalFull
from asyncbatch._values._result import Result

T = TypeVar("T")

GATHER_SECONDS = 0.004
"""How long a result waits for others to be written with it."""

MOST_AT_ONCE = 512
"""Results in one transaction."""


class Writer:
    """
    Runs the thread of one journal. Its methods are called in the event loop.

    Args:
        deliver: Called in the event loop with the results of a group once they are written.
        fail: Called in the event loop with the error that ends all writing.
        is_keyed: Whether the journal has a rule for keys.
        has_files: Whether bodies go to files, unless their requests say otherwise.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[Result]], object],
        fail: Callable[[Exception], object],
        *,
        is_keyed: bool = False,
        has_files: bool = False,
    ) -> None:
        self._deliver = deliver
        self._fail = fail
        self._is_keyed = is_keyed
        self._has_files = has_files
        self._loop = anyio.lowlevel.current_token()
        # Results, and their keys. Not as pairs, which the garbage collector would visit.
        self._results: deque[Result] = deque()
        self._keys: deque[bytes] = deque()
        self._announced: deque[tuple[Record, _Call]] = deque()
        self._calls: deque[_Call] = deque()
        # Held while there is nothing to do.
        self._idle = threading.Semaphore(0)
        self._is_told = False
        # Set to end the gathering of a group at once.
        self._hurry = threading.Event()
        self._is_closing = False
        self._ended = anyio.Event()
        self._heads = StoredHeads()
        self._store: Store | None = None
        self._error: Exception | None = None
        self._committed = 0

    async def open(self, make: Callable[[], Store]) -> Store:
        """
        Start the thread, and open the journal in it.

        Raises:
            Exception: As raised by `make`; the thread has then ended.
            RuntimeError: The system allows no more threads.
        """
        thread = threading.Thread(target=self._run, name="asyncbatch-journal", daemon=True)
        call = _Call(functools.partial(self._open, make), self._loop)
        self._calls.append(call)
        try:
            thread.start()
        except BaseException:
            self._ended.set()  # or `close` would wait for a thread that has never run
            raise
        self._wake()
        try:
            store: Store = await call.value()
        except BaseException:
            self._is_closing = True
            self._wake()
            raise
        return store

    def add(self, key: bytes, result: Result) -> None:
        """Write a result with others, and deliver it then."""
        self._keys.append(key)  # first: the thread takes as many keys as there are results
        self._results.append(result)
        if not self._is_told:
            self._is_told = True
            self._idle.release()

    async def call(self, function: Callable[[Store], T]) -> T:
        """
        Call a function in the thread, after what was added before, and return its value.

        Raises:
            Exception: As raised by it, or the error that has ended all writing.
        """
        call = _Call(functools.partial(self._with_store, function), self._loop)
        self._calls.append(call)
        self._wake()
        value: T = await call.value()
        return value

    async def announce(self, record: Record) -> None:
        """
        Write a record together with others at once, and wait until it is written.

        Raises:
            JournalError: If it cannot be written.
        """
        call = _Call(_nothing, self._loop)
        self._announced.append((record, call))
        self._wake()
        await call.value()

    async def flush(self) -> None:
        """Wait until everything added before is written and delivered, or cannot be."""
        with suppress(Exception):  # `fail` was called with it
            await self.call(_nothing)

    async def close(self) -> None:
        """Write everything added before, and close the journal. It may be called again."""
        self._is_closing = True
        self._wake()
        await self._ended.wait()

    def _wake(self) -> None:
        self._hurry.set()
        self._idle.release()

    # In the thread:

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._idle.acquire()
                self._is_told = False
                if self._results and not self._is_closing:
                    self._hurry.wait(GATHER_SECONDS)
                self._hurry.clear()
                self._work()
            self._work()
        finally:
            if self._store is not None:
                self._store.close()
            call_soon(self._loop, self._ended.set)

    def _open(self, make: Callable[[], Store]) -> Store:
        self._store = store = make()
        return store

    def _work(self) -> None:
        """Write all results and make all calls in the queue, in their order."""
        self._write_announced()
        self._write_all()
        while self._calls:
            call = self._calls.popleft()
            self._write_all()
            call.run()
            del call
            self._write_announced()

    def _write_announced(self) -> None:
        if not self._announced:
            return
        records, calls = [], []
        while self._announced:
            record, call = self._announced.popleft()
            records.append((record, None))
            calls.append(call)
        try:
            self._with_store(lambda store: store.write(records))
        except Exception as error:
            for call in calls:
                call.fail(error)
        else:
            for call in calls:
                call.run()

    def _write_all(self) -> None:
        while self._results:
            count = min(len(self._results), MOST_AT_ONCE)
            take_result, take_key = self._results.popleft, self._keys.popleft
            group = [take_result() for _ in range(count)]
            self._write([take_key() for _ in range(count)], group)

    def _write(self, keys: list[bytes], group: list[Result]) -> None:
        store, now = self._store, time.time()
        assert store is not None
        if self._error is None:
            try:
                heads, is_keyed, has_files = self._heads, self._is_keyed, self._has_files
                store.write(
                    (
                        record_of(key, result, now, heads, is_keyed, has_files),
                        result._content,  # pyright: ignore[reportPrivateUsage]
                    )
                    for key, result in zip(keys, group, strict=True)
                )
            except OutOfSpace as error:
                lost = len(group) + len(self._results)
                full = JournalFull(store.shown, "no space left", self._committed, lost)
                full.__cause__ = error.__cause__
                self._break(full)
            except Exception as error:
                self._break(error)
        if self._error is None:
            self._committed += len(group)
            call_soon(self._loop, functools.partial(self._deliver, group))

    def _break(self, error: Exception) -> None:
        self._error = error
        call_soon(self._loop, functools.partial(self._fail, error))

    def _with_store(self, function: Callable[[Store], T]) -> T:
        if self._error is not None:
            raise self._error
        assert self._store is not None
        try:
            return function(self._store)
        except OutOfSpace as error:
            full = JournalFull(self._store.shown, "no space left", self._committed, 0)
            full.__cause__ = error.__cause__
            self._break(full)
            raise full from error
        except JournalError as error:
            self._break(error)
            raise


class _Call:
    """A function that the thread calls for a task."""

    def __init__(self, function: Callable[[], Any], loop: Any) -> None:
        self._function = function
        self._loop = loop
        self._ended = anyio.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call the function."""
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        call_soon(self._loop, self._ended.set)

    def fail(self, error: BaseException) -> None:
        """Raise an error to the task, instead of calling the function."""
        self._error = error
        call_soon(self._loop, self._ended.set)

    async def value(self) -> Any:
        """Wait for the value, or raise the error."""
        await self._ended.wait()
        error, self._error = self._error, None
        if error is None:
            value, self._value = self._value, None
            return value
        try:
            raise error
        finally:
            del error


def _nothing(*_: object) -> None:
    """Do nothing: the call is only waited for."""
