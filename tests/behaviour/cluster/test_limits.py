"""
Limits hold over all workers, also while one dies, stops, or was given up and lives.

The server counts. `per_host` is never exceeded there, and no worker starts with a host before the
worker before it has stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import attrs
import pytest

from asyncbatch import FetcherOptions, Rate, Request
from asyncbatch.cluster import ShardTask, fetch_sharded, run_shard
from asyncbatch.cluster._options import checked
from asyncbatch.cluster._prepare import Shape, prepared
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.behaviour.cluster.conftest import HOSTS
from tests.behaviour.cluster.shards import (
    Gate,
    check_whole,
    rows_of,
    run_elsewhere,
    urls_of,
    wait_until,
)

pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

CONTEXT = multiprocessing.get_context("spawn")
PER_HOST = 2

LATE = 2.0
"""Seconds by which a request may arrive late. Two bursts are four seconds apart, or none."""


@pytest.fixture
def started() -> Iterator[Callable[..., BaseProcess]]:
    """Return a function that runs a task in a process, which is gone after the test."""
    processes: list[BaseProcess] = []

    def start(task: ShardTask, run: Callable[[ShardTask], object] = run_shard) -> BaseProcess:
        process = CONTEXT.Process(target=run, args=(task,))
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()


def one_shard(out: Path, requests: list[object], **options: object) -> ShardTask:
    """Return the task of a data set of one shard."""
    (task,) = shards_of(1, out, requests, per_host=PER_HOST, **options)
    return task


def shards_of(count: int, out: Path, requests: list[object], **options: object) -> list[ShardTask]:
    """Return the tasks of a data set of several shards."""
    given: FetcherOptions = {**options}  # type: ignore[typeddict-item]
    shape = Shape(workers=count, shards=count, latency=0.2)
    _, tasks = prepared(out, requests, given, checked(given), shape)  # type: ignore[arg-type]
    return tasks


def most_at_once(site: LoopbackServer) -> int:
    """Return the highest number of requests that one host had at the same time."""
    return max(site.statistics(host).peak_active for host in range(1, HOSTS + 1))


def test_a_killed_worker_leaves_the_limits_whole(tmp_path: Path, site: LoopbackServer) -> None:
    """Its shard goes on from its journal, the other worker is not touched, nothing is raised."""
    urls = urls_of(site, 240)
    seen: set[int] = set()
    killed: list[int] = []

    def answer(request: RecordedRequest) -> Reply:
        seen.add(request.host)
        if len(seen) < HOSTS:  # one of the two has not begun yet
            return Reply(body=request.path).delayed(1.0)
        if not killed:
            killed.append(min(child.pid or 0 for child in multiprocessing.active_children()))
            os.kill(killed[0], signal.SIGKILL)
        return Reply(body=request.path).delayed(0.02)

    site.on("*", answer)
    reports = list(fetch_sharded(urls, tmp_path / "out", executor=2, shards=2, per_host=PER_HOST))

    assert sorted(report.tries for report in reports) == [1, 2]
    assert all(report.ok for report in reports)
    assert most_at_once(site) == PER_HOST
    check_whole(tmp_path / "out", urls)


def test_a_stopped_worker_keeps_its_hosts(
    tmp_path: Path, site: LoopbackServer, started: Callable[..., BaseProcess]
) -> None:
    """Another one that is given its shard sends nothing, and says why; the first goes on later."""
    urls = urls_of(site, 600)
    task = one_shard(tmp_path / "out", [*urls])
    first = started(task)
    wait_until(lambda: site.statistics().requests > 50)
    os.kill(first.pid or 0, signal.SIGSTOP)
    wait_until(lambda: site.statistics().active == 0)
    seen = site.statistics().requests

    # Long enough for a busy machine: a worker that cannot look for half of it gives up as well.
    report = run_shard(attrs.evolve(task, lease_seconds=4.0))

    assert (report.error or "").startswith("JournalInUse")
    assert site.statistics().requests == seen
    os.kill(first.pid or 0, signal.SIGCONT)
    first.join()
    assert first.exitcode == 0
    check_whole(tmp_path / "out", urls)
    assert site.statistics().requests == 600
    assert most_at_once(site) <= PER_HOST


def test_a_worker_that_was_given_up_stops(
    tmp_path: Path, site: LoopbackServer, started: Callable[..., BaseProcess]
) -> None:
    """As soon as it can see that another one was given its shard, which then goes on."""
    urls = urls_of(site, 120)
    gate = Gate(site, after=60)
    task = one_shard(tmp_path / "out", [*urls], timeout=None)
    first = started(task)
    wait_until(lambda: site.statistics().active == PER_HOST * HOSTS and len(site.requests) > 60)
    os.kill(first.pid or 0, signal.SIGSTOP)
    second = started(task)
    wait_until(lambda: (tmp_path / "out" / "leases" / "000000.2").exists())
    gate.is_open = True
    os.kill(first.pid or 0, signal.SIGCONT)
    first.join()
    second.join()

    assert (first.exitcode, second.exitcode) == (0, 0)
    assert most_at_once(site) == PER_HOST
    check_whole(tmp_path / "out", urls)
    [report] = fetch_sharded(urls, tmp_path / "out", executor=1)
    assert report.tries == 2
    assert report.from_journal > 0


def test_a_worker_on_another_machine_waits_until_the_first_has_stopped(
    tmp_path: Path,
    site: LoopbackServer,
    started: Callable[..., BaseProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Machines share no lock: the lease tells. What may have been sent is not sent again."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    urls = urls_of(site, 120)
    posts = [Request(url, "POST") for url in urls_of(site, 6, "/post/")]
    gate = Gate(site, after=60)
    task = one_shard(tmp_path / "out", [*posts, *urls], timeout=None)
    first = started(task)
    wait_until(lambda: site.statistics().active == PER_HOST * HOSTS and len(site.requests) > 60)

    second = started(task, run_elsewhere)
    wait_until(lambda: (tmp_path / "out" / "leases" / "000000.2").exists())
    gate.is_open = True
    first.join()
    second.join()

    assert (first.exitcode, second.exitcode) == (0, 0)
    assert most_at_once(site) == PER_HOST
    rows = rows_of(tmp_path / "out")
    assert [row["kind"] for row in rows] == ["in_doubt"] * 6 + [None] * 120
    assert [row["url"] for row in rows[6:]] == urls
    assert sum(request.method == "POST" for request in site.requests) == 6


def test_posts_on_their_way_at_a_death_are_in_doubt(
    tmp_path: Path, site: LoopbackServer, started: Callable[..., BaseProcess]
) -> None:
    """They are not sent twice, unless they have an idempotency key, which stays the same."""
    plain = [Request(url, "POST") for url in urls_of(site, 6, "/plain/")]
    keyed = [
        Request(url, "POST", headers={"idempotency-key": f"key {n}"})
        for n, url in enumerate(urls_of(site, 6, "/keyed/"))
    ]
    task = one_shard(tmp_path / "out", [*plain, *keyed], timeout=None)
    gate = Gate(site, after=0)
    first = started(task)
    wait_until(lambda: site.statistics().active == 12)
    first.kill()
    first.join()
    gate.is_open = True

    assert run_shard(task).ok

    rows = rows_of(tmp_path / "out")
    assert [row["kind"] for row in rows] == ["in_doubt"] * 6 + [None] * 6
    sent = [request for request in site.requests if request.path.startswith("/keyed")]
    assert sorted(request.headers["idempotency-key"] for request in sent) == sorted(
        2 * [f"key {n}" for n in range(6)]
    )
    assert site.statistics().requests == 18


def test_a_rate_has_no_past_when_the_next_worker_starts(
    tmp_path: Path, site: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the whole burst would be free, whatever the worker before has used of it."""
    from asyncbatch.cluster import _run

    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(_run, "rest", wait)
    urls = urls_of(site, 12)
    task = one_shard(tmp_path / "out", [*urls], rate=Rate(100, per=60, burst=10))
    (tmp_path / "out" / "leases" / "000000.1").write_text('{"journal": "shared"}')

    assert run_shard(task).ok

    assert waited == [pytest.approx(6.0)]


def most_in(seconds: float, times: list[float]) -> int:
    """Return the highest number of points in time that lie within so many seconds."""
    return max(
        sum(time <= begin + seconds for time in times[place:]) for place, begin in enumerate(times)
    )


def test_a_rate_is_counted_by_the_server_over_the_death_of_a_worker(
    tmp_path: Path, site: LoopbackServer, started: Callable[..., BaseProcess]
) -> None:
    """In no span of time it has more requests than one worker may send, also of the next worker's.

    The worker dies when it has used its whole burst, and the next one is there at once.
    """
    rate = Rate(10, burst=40)
    urls = [site.url(f"/{n}", host=1 + n % 2) for n in range(180)]
    doomed, whole = shards_of(2, tmp_path / "out", [*urls], rate=rate)
    first = started(doomed)
    wait_until(lambda: site.statistics().requests >= rate.burst)
    other = started(whole)
    first.kill()
    first.join()

    report = run_shard(doomed)
    other.join()

    assert (report.ok, report.tries, other.exitcode) == (True, 2, 0)
    check_whole(tmp_path / "out", urls)
    for host in (1, 2):
        times = sorted(request.time for request in site.requests if request.host == host)
        assert len(times) >= 90
        for seconds in (0.1, 0.5, 1, 2, 3):
            # A request is counted when it arrives, which may be late on a busy machine.
            assert most_in(seconds, times) <= rate.burst + 10 * (seconds + LATE) + 1


def test_the_first_worker_does_not_wait(
    tmp_path: Path, site: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has been sent before."""
    from asyncbatch.cluster import _run

    monkeypatch.delattr(_run, "rest")
    task = one_shard(tmp_path / "out", [*urls_of(site, 6)], rate=Rate(1000))

    assert run_shard(task).ok
