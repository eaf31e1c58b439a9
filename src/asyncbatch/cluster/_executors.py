"""
Where shards run: processes of our own, or an executor of the caller's.

Each process of ours is a pool by itself, because a pool loses all of its processes with one. It
ends with the program that started it, even by kill -9, because a thread of it waits for the end of
a pipe.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self

from ._report import ShardReport
from ._run import ShardTask, run_shard


class ShardExecutor(Protocol):
    """Runs shards."""

    replaces_lost: bool
    """Whether a shard that was lost with its worker can be given to another one."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def has_room(self) -> bool:
        """Whether another shard may be given to a worker."""
        ...

    def submit(self, task: ShardTask) -> Future[ShardReport]:
        """Give a shard to a worker."""
        ...

    def left(self, future: Future[ShardReport], *, is_broken: bool) -> None:
        """Note that a shard, or its worker, has ended."""
        ...


class OwnProcesses:
    """
    Processes of our own, started when they are needed.

    Args:
        count: How many there are at most.
    """

    replaces_lost = True

    def __init__(self, count: int) -> None:
        self._count = count
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[Future[ShardReport], ProcessPoolExecutor] = {}
        self._reader, self._writer = self._context.Pipe(duplex=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pool in self._idle:
            pool.shutdown(wait=True)
        # The end of the pipe ends those that are busy; their journals are made for that.
        self._writer.close()
        for pool in self._busy.values():
            pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()

    def has_room(self) -> bool:
        """Whether a process is idle, or can be started."""
        return len(self._busy) < self._count

    def submit(self, task: ShardTask) -> Future[ShardReport]:
        """Give a shard to an idle process, or to a new one."""
        pool = self._idle.pop() if self._idle else self._new_pool()
        try:
            future = pool.submit(run_shard, task)
        except BrokenExecutor:  # it has died while it was idle
            pool.shutdown(wait=True)
            pool = self._new_pool()
            future = pool.submit(run_shard, task)
        self._busy[future] = pool
        return future

    def left(self, future: Future[ShardReport], *, is_broken: bool) -> None:
        """Keep the process for the next shard, unless it has died."""
        pool = self._busy.pop(future)
        if is_broken:
            pool.shutdown(wait=True)
        else:
            self._idle.append(pool)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=self._context, initializer=_begin, initargs=(self._reader,)
        )


class CallersExecutor:
    """
    An executor of the caller's, which stays open.

    Args:
        executor: The executor.
        stop: Called with each shard that is under way when the call is left.
    """

    replaces_lost = False

    def __init__(self, executor: Executor, stop: Callable[[ShardTask], object]) -> None:
        self._executor = executor
        self._stop = stop
        self._given: dict[Future[ShardReport], ShardTask] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for future, task in self._given.items():
            if not future.cancel() and not future.done():
                self._stop(task)

    def has_room(self) -> bool:
        """Whether it takes more shards: the executor has a queue of its own."""
        return True

    def submit(self, task: ShardTask) -> Future[ShardReport]:
        """Give a shard to the executor."""
        future = self._executor.submit(run_shard, task)
        self._given[future] = task
        return future

    def left(self, future: Future[ShardReport], *, is_broken: bool) -> None:
        """Forget a shard that has ended."""
        del self._given[future]


def _begin(reader: Connection) -> None:
    """Set a process of ours up."""
    # Ctrl-C reaches all processes of a terminal; the one that was started by hand ends the others.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(reader,), daemon=True).start()


def _end_with(reader: Connection) -> Any:
    with contextlib.suppress(OSError):
        reader.poll(None)
    os._exit(1)
