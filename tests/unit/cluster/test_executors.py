"""Where shards run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from asyncbatch.cluster._executors import CallersExecutor, OwnProcesses, _end_with
from asyncbatch.cluster._run import ShardTask
from tests.waiting import SECONDS_TO_COME_TRUE

TASK = ShardTask(out="/nowhere", plan_id="p", shard=0, requests=1, options=b"")


class FakeExecutor(Executor):
    """An executor whose futures the test holds."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


def test_leaving_cancels_what_waits_and_stops_what_runs() -> None:
    """What has ended is left alone, and the executor stays open."""
    executor, stopped = FakeExecutor(), []

    with CallersExecutor(executor, stopped.append) as workers:
        for _ in range(4):
            assert workers.has_room()
            workers.submit(TASK)
        waiting, running, ended, reported = executor.futures
        running.set_running_or_notify_cancel()
        ended.set_result(None)
        workers.left(reported, is_broken=False)

    assert waiting.cancelled()
    assert stopped == [TASK]
    assert not reported.cancelled()


@pytest.mark.extras
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_died_while_it_was_idle_is_replaced(tmp_path: Path) -> None:
    """The shard that comes next does not see it; all processes end with the block."""
    pytest.importorskip("pyarrow")
    (tmp_path / "leases").mkdir()
    task = ShardTask(out=str(tmp_path), plan_id="p", shard=0, requests=1, options=b"")

    with OwnProcesses(1) as workers:
        first = workers.submit(task)
        assert not workers.has_room()
        assert not first.result().ok
        workers.left(first, is_broken=False)
        [child] = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        second = workers.submit(task)
        if second.exception() is not None:  # the pool had not noticed yet
            workers.left(second, is_broken=True)
            second = workers.submit(task)
        assert not second.result().ok
        workers.left(second, is_broken=False)

    limit = time.monotonic() + SECONDS_TO_COME_TRUE
    while multiprocessing.active_children():
        assert time.monotonic() < limit


@pytest.mark.parametrize("is_reader_closed", [False, True])
def test_a_process_ends_with_the_pipe_of_the_program(
    monkeypatch: pytest.MonkeyPatch, is_reader_closed: bool
) -> None:
    """Also if its own end of the pipe has been closed."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    reader, writer = multiprocessing.Pipe(duplex=False)
    writer.close()
    if is_reader_closed:
        reader.close()
    _end_with(reader)
    reader.close()

    assert ended == [1]
