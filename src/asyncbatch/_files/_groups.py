"""
`Groups`: writes files whose bodies have arrived as a whole, several at a time.

All files of a group are written, then all are synced to the disk, then all get their names, and
then all are closed.
The event loop tells the threads of new files once in each turn, and a thread tells the loop of a
whole group at once, because each hand-over may wait for the GIL.

Where nothing has to be waited for, the event loop makes the calls itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncbatch._files._syncer import Syncer
from asyncbatch._files._unnamed import OpenFolders, close_files
from asyncbatch._runtime._threads import CallOutcome, Threads

AT_ONCE = 16
"""Most calls that end in one turn of an event loop. Each makes a result, and all of a group would
hold the loop for several milliseconds."""

BYTES_AT_ONCE = 1024 * 1024
"""Bytes after which no further call is made in one turn of an event loop."""


class Groups:
    """
    Calls in steps, made in groups by a few threads.

    A thread takes what waits when it has made the calls before, so that a group is as large as the
    disk is slow. No call waits for others to come.

    Args:
        threads: Those that make the calls.
        limit: Most groups at a time.
        size: Most calls of a group.
        weight: Bytes at which a group is full.
    """

    def __init__(self, threads: Threads, *, limit: int, size: int, weight: int) -> None:
        self._threads = threads
        self._limit = limit
        self._size = size
        self._weight = weight
        self._syncer = Syncer()
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A child process has none of the threads.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # Held while the number of threads changes, not by who hands over or takes a call.
        self._lock = threading.Lock()
        self._waiting: deque[StepCall] = deque()
        self._working = 0
        # Of each thread, by name: `loop`, which runs there and has calls of which no thread of
        # these was told; and `quick_loop`, the last one that has yet to make those in `quick`.
        self._local = threading.local()

    def begin_call(self, call: StepCall) -> None:
        """Have a thread make a call, or the loop if it is quick; return without waiting for it."""
        loop, local = call.loop, self._local
        if call.is_quick:
            if getattr(local, "quick_loop", None) is not loop:
                # The deque of another loop of this thread stays with the callback of that loop.
                local.quick_loop, local.quick = loop, deque()
                loop.call_soon(self._make_quick, loop, local.quick)
            local.quick.append(call)
            return
        if getattr(local, "loop", None) is not loop:
            local.loop = loop
            loop.call_soon(self._hand_over)
        self._waiting.append(call)

    def _make_quick(self, loop: Any, quick: deque[StepCall]) -> None:
        """Make some of the quick calls, in their loop."""
        local = self._local
        group: list[StepCall] = []
        weight = 0
        while quick and len(group) < AT_ONCE and weight < BYTES_AT_ONCE:
            group.append(quick.popleft())
            weight += group[-1].weight
        if quick:
            loop.call_soon(self._make_quick, loop, quick)
        elif getattr(local, "quick", None) is quick:
            local.quick_loop = None
        try:
            untold = self._make(group)
        finally:
            _end(group)
        if untold is not None and not isinstance(untold, Exception):
            raise untold  # as `KeyboardInterrupt`, which comes to this thread

    def _hand_over(self) -> None:
        """Have a thread make the calls that have been begun in a turn of the loop."""
        self._local.loop = None
        with self._lock:
            if self._working >= self._limit:
                return
            self._working += 1
        try:
            self._threads.start(self._work)
        except Exception:  # `NoThreads`, or no memory for one
            self._work()

    def _work(self) -> None:
        while group := self._taken():
            self._make(group)
            _tell(group)

    def _make(self, group: list[StepCall]) -> BaseException | None:
        """Make the calls of a group; return an error that came when all of them had ended."""
        folders = OpenFolders()
        try:
            try:
                self._make_steps(group, folders)
            finally:
                folders.close()
        except BaseException as raised:  # no memory, for one: no call may be waited for forever
            for call in group:
                call.fail(raised)
            if all(call.error is not raised for call in group):
                return raised
        return None

    def _make_steps(self, group: list[StepCall], folders: OpenFolders) -> None:
        try:
            begun = [call for call in group if call.make_first_step(folders)]
            errors: Sequence[BaseException | None]
            try:
                errors = self._syncer.sync([call.file for call in begun])
            except BaseException as raised:
                errors = [raised] * len(begun)
            for call, error in zip(begun, errors, strict=True):
                call.go_on(error)
        finally:
            close_files([call.file for call in group if call.file is not None])

    def _taken(self) -> list[StepCall]:
        """Return the next group; an empty one if the thread is to end."""
        group = list(self._next_calls())
        if not group:
            # What is handed over from now on sees that this thread has ended.
            with self._lock:
                group = list(self._next_calls())
                if not group:
                    self._working -= 1
        return group

    def _next_calls(self) -> Iterator[StepCall]:
        weight = 0
        with contextlib.suppress(IndexError):
            for _ in range(self._size):
                call = self._waiting.popleft()
                weight += call.weight
                yield call
                if weight >= self._weight:
                    return


class StepCall(CallOutcome):
    """
    A call in two steps that a thread makes, between which its file is brought to the disk.

    Its `value` is `None` if it has raised, or has been given up.

    Args:
        weight: The bytes that it writes.
        loop: The event loop that waits for it.
        on_end: Called in this loop when it has ended. It must not raise.
    """

    __slots__ = (
        "_is_given_up",
        "_on_end",
        "_waiter",
        "file",
        "is_ended",
        "is_quick",
        "loop",
        "weight",
    )

    def __init__(self, weight: int, loop: Any, on_end: Callable[[], None] | None = None) -> None:
        self.value = None
        self.error = None
        self.weight = weight
        self.loop = loop
        self.is_quick = False
        """Whether neither step is kept waiting, as by a disk, so that the loop may make it."""
        self.file: Any = None
        """What the first step has opened. It is closed after the second one."""
        self._is_given_up = False
        # What the loop knows, while a thread may have done more.
        self.is_ended = False
        self._waiter: Any = None
        self._on_end = on_end

    @abstractmethod
    def write_file(self, folders: OpenFolders) -> bool:
        """Make the first step; return whether `file` is to be brought to the disk, and named."""

    @abstractmethod
    def name_file(self) -> Any:
        """Make the second step, when the file is on the disk; return the value of the call."""

    async def wait(self) -> None:
        """Wait until it has ended; one task at a time."""
        while not self.is_ended:
            self._waiter = self.loop.create_future()
            await self._waiter

    def make_first_step(self, folders: OpenFolders) -> bool:
        """Make the first step, in a thread; return whether it has written a file."""
        if self._is_given_up:
            return False
        try:
            return self.write_file(folders)
        except BaseException as error:  # `unwrap` raises it
            self.error = error
            return False

    def go_on(self, error: BaseException | None) -> None:
        """Make the second step, in a thread; `error`: why the file could not be synced."""
        if self._is_given_up:
            return
        if error is not None:
            self.error = error
            return
        try:
            self.value = self.name_file()
        except BaseException as raised:  # `unwrap` raises it
            self.error = raised

    def fail(self, error: BaseException) -> None:
        """End it in a thread with `error`, unless it has a value or an error."""
        if self.value is None and self.error is None:
            self.error = error

    def tell_ended(self) -> None:
        """In the loop: wake the task that waits for the call, or call `on_end`."""
        self.is_ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    def give_up_steps(self) -> None:
        """Make no further step; one that has begun ends, and `on_end` is not called."""
        self._is_given_up = True
        self._on_end = None


def _tell(group: list[StepCall]) -> None:
    """Tell the loops of a group that its calls have ended."""
    ended: dict[Any, list[StepCall]] = {}
    for call in group:
        ended.setdefault(call.loop, []).append(call)
    for loop, calls in ended.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_end, calls)


def _end(calls: list[StepCall]) -> None:
    ended = 0
    try:
        for call in calls[:AT_ONCE]:
            ended += 1
            try:
                call.tell_ended()
            except MemoryError:
                if call.is_ended:
                    raise
                call.tell_ended()
    finally:  # one may have raised
        rest = calls[ended:]
        if rest:
            rest[0].loop.call_soon(_end, rest)
