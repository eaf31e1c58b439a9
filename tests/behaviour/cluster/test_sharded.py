"""
A call over several workers: one row for each request, whatever becomes of the workers.
"""

from __future__ import annotations

import errno
import multiprocessing
import sys
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Request
from asyncbatch.cluster import ShardReport, fetch_sharded, open_dataset
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.cluster.shards import Gate, check_whole, die, rows_of, times_asked, urls_of

pytest.importorskip("pyarrow")
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]


def processes() -> set[int]:
    """Return the processes that this one has started and that still run."""
    return {child.pid or 0 for child in multiprocessing.active_children()}


def test_each_request_has_one_row(tmp_path: Path, site: LoopbackServer, threads: Executor) -> None:
    """With its place, its tag and its answer; failures are rows too."""
    requests = [
        *(Request(url, tag=n) for n, url in enumerate(urls_of(site, 100))),
        Request(site.url("/gone"), tag=100),
        Request("no url", tag=101),
    ]

    reports = list(fetch_sharded(requests, tmp_path / "out", executor=threads, shards=3))

    rows = rows_of(tmp_path / "out")
    assert [row["index"] for row in rows] == [row["tag"] for row in rows] == list(range(102))
    assert [row["content"].decode() for row in rows[:100]] == [f"/{n}" for n in range(100)]
    assert [row["kind"] for row in rows[99:]] == [None, "status", "invalid_request"]
    assert sum(report.requests for report in reports) == 102
    assert sum(report.summary().failed for report in reports) == 2


def test_nothing_is_left_but_plan_and_results(
    tmp_path: Path, site: LoopbackServer, threads: Executor
) -> None:
    """No journals, no requests, no leases, once all shards are done."""
    list(fetch_sharded(urls_of(site, 30), tmp_path / "out", executor=threads))

    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert {name for name in names if not name.endswith(".parquet")} == {"plan.json", "shards"}


def test_what_is_done_is_not_fetched_again(
    tmp_path: Path, site: LoopbackServer, threads: Executor
) -> None:
    """The same call again gives the same reports, and sends nothing."""
    urls = urls_of(site, 60)
    first = list(fetch_sharded(urls, tmp_path / "out", executor=threads, shards=3))

    again = list(fetch_sharded(iter(urls), tmp_path / "out", executor=threads))

    assert sorted(again, key=lambda report: report.shard) == sorted(
        first, key=lambda report: report.shard
    )
    assert site.statistics().requests == 60


def test_other_requests_are_refused(
    tmp_path: Path, site: LoopbackServer, threads: Executor
) -> None:
    """They would be answered with the results of others."""
    urls = urls_of(site, 10)
    list(fetch_sharded(urls, tmp_path / "out", executor=threads))

    for other in (urls[:-1], [*urls, urls[0]], urls[::-1], [Request(urls[0], "PUT"), *urls[1:]]):
        with pytest.raises(ValueError, match="holds the results of other requests"):
            fetch_sharded(other, tmp_path / "out", executor=threads)


def test_a_folder_with_other_things_is_refused(tmp_path: Path, threads: Executor) -> None:
    """Nothing is written there."""
    (tmp_path / "mine.txt").touch()

    with pytest.raises(ValueError, match="is not empty, and no data set"):
        fetch_sharded(["http://a.example/"], tmp_path, executor=threads)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("requests", "options", "what"),
    [
        ([Request("http://a.example/", tag=threading.Lock())], {}, "request 0 .* whose tag"),
        (["http://a.example/"], {"check": lambda response: None}, "^check cannot be pickled"),
    ],
)
def test_what_cannot_be_pickled_is_told_at_the_call(
    tmp_path: Path, threads: Executor, requests: list[Any], options: dict[str, Any], what: str
) -> None:
    """By its name, before anything is sent; the folder can be used afterwards."""
    with pytest.raises(TypeError, match=what):
        fetch_sharded(requests, tmp_path / "out", executor=threads, **options)

    assert not list((tmp_path / "out").rglob("*.requests"))
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_full_disk_ends_one_shard(
    tmp_path: Path,
    site: LoopbackServer,
    threads: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others go on, and the same call fetches the rest later."""
    from asyncbatch.cluster import _table

    write = _table.TableWriter.write

    def full(self: Any, places: Any, results: Any) -> None:
        if "000000" in str(self._path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, places, results)

    urls = urls_of(site, 60)
    with monkeypatch.context() as patch:
        patch.setattr(_table.TableWriter, "write", full)
        reports = list(fetch_sharded(urls, tmp_path / "out", executor=threads, shards=3))

    errors = {report.shard: report.error for report in reports}
    assert errors.pop(0) == "OSError: [Errno 28] No space left on device"
    assert set(errors.values()) == {None}
    assert all(report.ok for report in fetch_sharded(urls, tmp_path / "out", executor=threads))
    check_whole(tmp_path / "out", urls)
    # What the first try had fetched was in its journal.
    assert set(times_asked(site).values()) == {1}


def test_processes_fetch_and_end(tmp_path: Path, site: LoopbackServer) -> None:
    """Two processes of our own, which are gone afterwards."""
    urls = urls_of(site, 300)

    reports = list(fetch_sharded(urls, tmp_path / "out", executor=2, shards=4))

    assert all(report.ok and report.tries == 1 for report in reports)
    assert processes() == set()
    check_whole(tmp_path / "out", urls)
    assert set(times_asked(site).values()) == {1}


def test_a_shard_that_kills_its_workers_is_given_up(tmp_path: Path, site: LoopbackServer) -> None:
    """After some tries; its report says so, and the other shards are done."""
    urls = [site.url("/deadly", host=1), *(site.url(f"/{n}", host=2) for n in range(20))]

    reports = list(fetch_sharded(urls, tmp_path / "out", executor=2, shards=2, tries=2, check=die))

    bad, good = sorted(reports, key=lambda report: report.ok)
    assert bad.error is not None
    assert bad.error.startswith("2 workers died with it")
    assert (bad.requests, good.requests, good.error) == (1, 20, None)
    assert open_dataset(tmp_path / "out").missing == (bad.shard,)
    with pytest.warns(RuntimeWarning, match="has 1 of 2 shards, with 20 of 21 requests"):
        assert len(rows_of(tmp_path / "out")) == 20


def test_a_broken_pool_of_the_caller_ends_the_call(tmp_path: Path, site: LoopbackServer) -> None:
    """With a report for each shard, and no exception; the same call goes on later."""
    urls = [*(site.url(f"/{n}", host=1 + n % 3) for n in range(300)), site.url("/deadly", host=6)]
    context = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(1, mp_context=context) as pool:
        reports = list(fetch_sharded(urls, tmp_path / "out", executor=pool, shards=4, check=die))

    assert sum(report.requests for report in reports) == 301
    assert {report.shard for report in reports} == set(range(len(reports)))
    lost = [report for report in reports if not report.ok]
    assert lost
    assert all("the executor is broken" in (report.error or "") for report in lost)
    with ThreadPoolExecutor(1) as threads:
        again = fetch_sharded(urls, tmp_path / "out", executor=threads, check=repr)
        assert all(each.ok for each in again)
    assert len(rows_of(tmp_path / "out")) == 301


def test_leaving_the_call_stops_the_workers(
    tmp_path: Path, site: LoopbackServer, threads: Executor
) -> None:
    """At once; the same call goes on where they were."""
    gate = Gate(site, after=100)
    site.on("/first", Reply(body="/first"))
    urls = [site.url("/first", host=1), *(site.url(f"/{n}", host=2) for n in range(300))]
    reports = fetch_sharded(urls, tmp_path / "out", executor=2, shards=2, timeout=None)
    assert next(reports).requests == 1

    reports.close()

    assert processes() == set()
    assert site.statistics().requests < 301
    gate.is_open = True
    again = fetch_sharded(urls, tmp_path / "out", executor=threads, timeout=None)
    assert all(report.ok for report in again)
    check_whole(tmp_path / "out", urls)


def test_leaving_the_call_stops_the_workers_of_an_executor(
    tmp_path: Path, site: LoopbackServer
) -> None:
    """They notice that the shard was taken from them, and the executor goes on."""
    site.on("/hangs", Reply(body="late").delayed(3600))
    urls = [site.url("/now", host=1), site.url("/hangs", host=2)]

    with ThreadPoolExecutor(2) as pool:
        reports = fetch_sharded(urls, tmp_path / "out", executor=pool, shards=2, timeout=None)
        assert next(reports).ok
        reports.close()
        assert pool.submit(int, "7").result() == 7

    assert len(open_dataset(tmp_path / "out").files) == 1


def test_a_worker_that_dies_at_its_start_is_told(
    tmp_path: Path, site: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without a guard has such workers; they are not started without end."""
    monkeypatch.setattr(
        sys.modules["__main__"], "__file__", str(tmp_path / "main.py"), raising=False
    )
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    (tmp_path / "main.py").write_text("import os; os._exit(1)")

    with pytest.raises(RuntimeError, match="processes cannot be started"):
        list(fetch_sharded(urls_of(site, 10), tmp_path / "out", executor=1))


def test_reports_come_as_shards_are_done(
    tmp_path: Path, site: LoopbackServer, threads: Executor
) -> None:
    """Not all at the end."""
    urls = [site.url("/now", host=1), site.url("/slow", host=2)]
    site.on("/slow", Reply(body="late").delayed(3600))
    reports = fetch_sharded(urls, tmp_path / "out", executor=threads, shards=2, timeout=None)

    first: ShardReport = next(reports)

    assert first.ok
    assert first.hosts[0].host.startswith("127.0.0.1")
    reports.close()
