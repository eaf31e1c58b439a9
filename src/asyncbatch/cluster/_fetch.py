"""
`fetch_sharded`: gives the shards to workers, and yields the reports as they are done.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Generator, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import Unpack

from asyncbatch import FetcherOptions, RequestLike
from asyncbatch._sync._interruptible import wait_for_first
from asyncbatch._values._checks import check_count

from ._executors import CallersExecutor, OwnProcesses, ShardExecutor
from ._folder_lock import held
from ._layout import Layout
from ._lease import STOPPED, claim
from ._options import checked
from ._plan import DEFAULT_LATENCY, check_latency
from ._prepare import Shape, prepared
from ._report import ShardReport
from ._run import ShardTask, failed
from ._table import parquet, read_report

ASSUMED_WORKERS = 8
"""The number of shards that an executor runs at once, if it does not say so."""

_GUARD = (
    "a program that starts processes must do so below \"if __name__ == '__main__':\", because each "
    "process imports the program"
)


def fetch_sharded(
    requests: Iterable[RequestLike],
    out: str | os.PathLike[str],
    *,
    executor: int | Executor | None = None,
    workers: int | None = None,
    shards: int | None = None,
    latency: float = DEFAULT_LATENCY,
    tries: int = 3,
    **options: Unpack[FetcherOptions],
) -> Generator[ShardReport]:
    """
    Fetch requests with several processes or machines, and write the results to a folder.

    The input is cut into shards by host, as `plan` says, and written to the folder, all of it
    before the first request is sent. Each shard becomes a Parquet file there, with one row for each
    of its requests, failed or not; `open_dataset` reads them. The reports of the shards are yielded
    as they are done, at first those of an earlier call.

    The same call with the same requests goes on where an earlier one ended, even if that was
    killed. A request may be sent more than once if its worker dies, but it has one result. A
    request that must not be sent twice, such as a POST, is then a failure of kind `in_doubt`.

    One program at a time fetches into a folder; another one gets a `RuntimeError`.
    Leaving the generator (closing it, an exception, Ctrl-C) stops the workers.

    Args:
        requests: The requests, as an iterable that ends. A bounded number of requests of an
            iterator is in memory at a time.
        out: A folder, which is created, or that of an earlier call. It must have this path on all
            workers.
        executor: The number of processes to start; or an `Executor`, such as a process pool,
            `distributed.Client().get_executor(pure=False)` or a `RayExecutor`, which stays open;
            `None`: a process for each processor.
        workers: How many shards an `Executor` runs at once. It decides only how requests are cut.
            `None`: as many as the executor has workers; 8 if it does not say so.
        shards: As for `plan`.
        latency: As for `plan`.
        tries: How many of our processes may die with a shard before it is given up.
        options: The options of `Fetcher`. `concurrency` holds for each worker;
            `per_host`, `rate` and `hosts` hold over all workers.

    Raises:
        ImportError: If pyarrow is not installed.
        TypeError: If an option is wrong or has no meaning for many workers, or if an option or a
            part of a request cannot be pickled; the message names it, and nothing has been sent.
        ValueError: If an option has an impossible value, the executor has been shut down, or the
            folder has other requests or other files.
        OSError: If the folder cannot be written.
        RuntimeError: If processes cannot be started, or another program fetches into the folder.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(_GUARD)
    parquet()
    limits = checked(options)
    check_count("tries", tries)
    own = executor if isinstance(executor, int) else os.cpu_count() or 1
    if executor is None or isinstance(executor, int):
        check_count("executor", own)
    elif not isinstance(executor, Executor):
        raise TypeError(f"executor must be a number of processes or an Executor, not {executor!r}")
    if workers is not None:
        check_count("workers", workers)
    check_latency(latency)
    if isinstance(executor, Executor):
        _check_open(executor)
        own = workers or _workers_of(executor)
    layout, tasks = prepared(out, requests, options, limits, Shape(own, shards, latency))

    def stop(task: ShardTask) -> None:
        """Let a worker of another program know that its shard is no longer wanted."""
        path = layout.results_of(task.shard)
        claim(layout.leases, task.shard, journal=STOPPED, seconds=0.0, is_done=path.exists)

    place: ShardExecutor = (
        CallersExecutor(executor, stop) if isinstance(executor, Executor) else OwnProcesses(own)
    )
    return _reports(layout, tasks, place, tries)


def _check_open(executor: Executor) -> None:
    """Raise if an executor of the standard library takes no more shards."""
    if any(getattr(executor, name, False) is True for name in ("_shutdown", "_shutdown_thread")):
        raise ValueError(f"executor has been shut down; give one that is open, not {executor!r}")


def _workers_of(executor: Executor) -> int:
    found = getattr(executor, "_max_workers", None)
    return found if isinstance(found, int) and found > 0 else ASSUMED_WORKERS


def _reports(
    layout: Layout, tasks: list[ShardTask], workers: ShardExecutor, tries: int
) -> Generator[ShardReport]:
    waiting: deque[ShardTask] = deque()
    for task in tasks:
        path = layout.results_of(task.shard)
        if path.exists():
            yield read_report(path)
        else:
            waiting.append(task)
    with held(layout.out):
        yield from _Course(layout, waiting, workers, tries).reports()
        if all(layout.results_of(task.shard).exists() for task in tasks):
            layout.clear_all()


class _Course:
    """The shards of a call: those that wait, those under way, and how often each was lost."""

    def __init__(
        self, layout: Layout, waiting: deque[ShardTask], workers: ShardExecutor, tries: int
    ) -> None:
        self._layout = layout
        self._waiting = waiting
        self._running: dict[Future[ShardReport], ShardTask] = {}
        self._workers = workers
        self._tries = tries
        self._lost: Counter[int] = Counter()
        # Processes that died in a row before they had begun with their shard.
        self._stillborn = 0
        # Why the executor takes no more shards.
        self._broken: BaseException | None = None

    def reports(self) -> Generator[ShardReport]:
        """Yield a report for each shard."""
        with self._workers:
            self._submit()
            while self._running:
                for future in wait_for_first(self._running):
                    report = self._ended(future)
                    if report is not None:
                        yield report
                self._submit()
        for task in self._waiting:
            yield failed(task, f"the executor is broken: {self._broken}")

    def _submit(self) -> None:
        while self._waiting and self._broken is None and self._workers.has_room():
            task = self._waiting[0]
            try:
                future = self._workers.submit(task)
            except RuntimeError as error:  # it is broken, or has been shut down meanwhile
                if self._workers.replaces_lost and not isinstance(error, BrokenExecutor):
                    raise
                self._broken = error
                return
            self._running[future] = self._waiting.popleft()

    def _ended(self, future: Future[ShardReport]) -> ShardReport | None:
        """Return the report of a shard that has ended; `None` if it must be tried again."""
        task = self._running.pop(future)
        error = _error_of(future)
        self._workers.left(future, is_broken=isinstance(error, BrokenExecutor))
        if error is None:
            self._stillborn = 0
            return future.result()
        if isinstance(error, ImportError):
            raise error
        if not isinstance(error, BrokenExecutor | CancelledError):
            return failed(task, f"{type(error).__name__}: {error}")
        if not self._workers.replaces_lost:
            self._broken = error
            return failed(task, f"the executor is broken: {error}")
        return self._lost_with(task, error)

    def _lost_with(self, task: ShardTask, error: BaseException) -> ShardReport | None:
        self._check_begun(task, error)
        self._lost[task.shard] += 1
        if self._lost[task.shard] >= self._tries:
            return failed(task, f"{self._tries} workers died with it: {error}", self._tries)
        self._waiting.append(task)
        return None

    def _check_begun(self, task: ShardTask, error: BaseException) -> None:
        """Raise if processes die at their start."""
        if list(self._layout.leases.glob(f"{task.shard:06}.*")):
            self._stillborn = 0
            return
        self._stillborn += 1
        if self._stillborn > 1:
            raise RuntimeError(f"processes cannot be started: {error}; {_GUARD}") from error


def _error_of(future: Future[ShardReport]) -> BaseException | None:
    if future.cancelled():
        return CancelledError("the executor has given the shard up")
    return future.exception()
