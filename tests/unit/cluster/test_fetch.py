"""What a call does with the shards that its executor gives back, or does not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from pathlib import Path
from typing import Any

import pytest

from asyncbatch.cluster import ShardReport, ShardTask, fetch_sharded
from asyncbatch.cluster._executors import OwnProcesses

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.extras

URLS = [f"http://h{n}.example/" for n in range(6)]


class FakeExecutor(Executor):
    """An executor that does what a test says with each task, at once."""

    def __init__(self, work: Callable[[ShardTask], ShardReport], workers: Any = None) -> None:
        self._work = work
        self._max_workers = workers

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self._work(args[0]))
        except RuntimeError as error:
            if "at once" in str(error):
                raise
            future.set_exception(error)
        except Exception as error:
            future.set_exception(error)
        return future


def done(task: ShardTask) -> ShardReport:
    return ShardReport(shard=task.shard, requests=task.requests, tries=1)


CLOSED = ThreadPoolExecutor(1)
CLOSED.shutdown()


def failing(error: Exception) -> Callable[[ShardTask], ShardReport]:
    def work(task: ShardTask) -> ShardReport:
        if task.shard == 1:
            raise error
        return done(task)

    return work


def test_an_error_of_the_engine_is_the_report_of_its_shard(tmp_path: Path) -> None:
    """Dask's `KilledWorker`, say; the others go on."""
    executor = FakeExecutor(failing(LookupError("lost")))

    reports = list(fetch_sharded(URLS, tmp_path / "out", executor=executor, shards=6))

    assert [report.shard for report in reports if not report.ok] == [1]
    assert {report.error for report in reports} == {None, "LookupError: lost"}
    assert sum(report.requests for report in reports) == 6


@pytest.mark.parametrize(
    "error",
    [
        BrokenExecutor("dead"),
        BrokenExecutor("dead at once"),
        RuntimeError("shut down at once"),
        CancelledError("gone"),
    ],
)
def test_an_executor_that_dies_ends_the_call(tmp_path: Path, error: Exception) -> None:
    """With a report for each shard, of those that are done and those that are not."""
    executor = FakeExecutor(failing(error))

    reports = list(fetch_sharded(URLS, tmp_path / "out", executor=executor, shards=6))

    by_shard = {report.shard: report for report in reports}
    assert sorted(by_shard) == list(range(len(reports)))
    assert by_shard[0].ok
    assert (by_shard[1].error or "").startswith("the executor is broken")


def test_a_worker_without_pyarrow_is_told(tmp_path: Path) -> None:
    """It is a mistake of the set-up, and the same for all shards."""
    executor = FakeExecutor(failing(ImportError("this needs pyarrow")))

    with pytest.raises(ImportError, match="this needs pyarrow"):
        list(fetch_sharded(URLS, tmp_path / "out", executor=executor, shards=6))


@pytest.mark.parametrize(("workers", "shards"), [(2, 2), (None, 6)])
def test_an_executor_says_how_many_workers_it_has(
    tmp_path: Path, workers: int | None, shards: int
) -> None:
    """So that each has a shard; 8 are assumed if it does not say so."""
    executor = FakeExecutor(done, workers)

    assert len(list(fetch_sharded(URLS, tmp_path / "out", executor=executor))) == shards


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": 0}, "executor must be"),
        ({"executor": "four"}, "a number of processes or an Executor"),
        ({"tries": 0}, "tries must be"),
        ({"shards": 0}, "shards must be"),
        ({"total_rate": 1}, "total_rate"),
        ({"per_host": 0}, "per_host"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": -5, "executor": 1}, "workers must be at least 1"),
        ({"workers": 0, "executor": FakeExecutor(done)}, "workers must be at least 1"),
        ({"latency": None}, "latency must be a number of seconds, not None; it is the time"),
        ({"latency": 0}, "latency must be above 0 seconds and finite, not 0; it is the time"),
        ({"latency": float("inf")}, "latency must be above 0 seconds and finite"),
        ({"executor": CLOSED}, "executor has been shut down; give one that is open"),
    ],
)
def test_misuse_is_told_at_the_call(tmp_path: Path, options: Any, message: str) -> None:
    """Before the first report is asked for, and nothing is written."""
    with pytest.raises((TypeError, ValueError), match=message):
        fetch_sharded(URLS, tmp_path / "out", **options)

    assert not (tmp_path / "out").exists()


def test_a_process_that_starts_cannot_start_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without a guard is told how to write it."""
    import multiprocessing

    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)

    with pytest.raises(RuntimeError, match="if __name__ == '__main__'"):
        fetch_sharded(URLS, tmp_path / "out", executor=1)


def test_a_shard_that_an_executor_cancels_ends_the_call(tmp_path: Path) -> None:
    """As one that is shut down with `cancel_futures`."""

    class Cancelling(FakeExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            if args[0].shard != 1:
                return future
            cancelled: Future[Any] = Future()
            cancelled.cancel()
            cancelled.set_running_or_notify_cancel()
            return cancelled

    reports = list(fetch_sharded(URLS, tmp_path / "out", executor=Cancelling(done), shards=6))

    by_shard = {report.shard: report for report in reports}
    assert by_shard[1].error == "the executor is broken: the executor has given the shard up"


def test_an_error_of_our_own_processes_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread can be started, say: the next shard would fare no better."""

    def fail(*_: object) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(OwnProcesses, "submit", fail)

    with pytest.raises(RuntimeError, match="new thread"):
        list(fetch_sharded(URLS, tmp_path / "out", executor=1, shards=6))
