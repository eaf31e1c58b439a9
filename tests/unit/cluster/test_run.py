"""`run_shard` alone, without an engine."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncbatch import JournalError, NotAJournal, Request, Retry
from asyncbatch._journal._store import Store
from asyncbatch.cluster import ShardTask, _run, open_dataset, run_shard
from asyncbatch.cluster._layout import Layout
from asyncbatch.cluster._lease import Lease, LeaseLost, claim
from asyncbatch.cluster._options import checked
from asyncbatch.cluster._prepare import Shape, prepared
from asyncbatch.testing import LoopbackServer


def task(out: Path, **fields: Any) -> ShardTask:
    given: dict[str, Any] = {"plan_id": "p", "shard": 0, "requests": 1, "options": b""}
    return ShardTask(out=str(out), **{**given, **fields})


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent or written."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(ImportError, match=r"asyncbatch\[arrow\]"):
        run_shard(task(tmp_path))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.extras
def test_what_keeps_a_shard_from_its_end_is_in_its_report(tmp_path: Path) -> None:
    """Here options that cannot be read; the lease is given back."""
    pytest.importorskip("pyarrow")
    Layout(tmp_path, "p").make()

    report = run_shard(task(tmp_path, requests=7))

    assert (report.ok, report.requests, report.path) == (False, 7, None)
    assert (report.error or "").startswith("EOFError")
    assert (tmp_path / "leases" / "000000.1.ended").exists()


def test_a_journal_is_with_the_data_set_or_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite cannot work on a network file system; two machines then have two journals."""
    monkeypatch.setattr(_run.tempfile, "tempdir", str(tmp_path))
    layout = Layout(tmp_path / "out", "p")
    layout.make()
    shared, kind = _run._journal_of(layout, task(tmp_path))
    assert (shared, kind) == (layout.journals / "000000.db", "shared")

    def refuse(path: object) -> None:
        raise JournalError(str(path), "a journal cannot lie on a network file system (nfs)")

    monkeypatch.setattr(_run.Journal, "read", refuse)
    own, other_kind = _run._journal_of(layout, task(tmp_path))

    assert own == tmp_path / "asyncbatch-p" / "000000.db"
    assert own.parent.stat().st_mode & 0o777 == 0o700
    assert other_kind != kind


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x"), NotAJournal("x", "y")])
def test_only_a_network_moves_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A damaged one is told, not passed over."""

    def refuse(path: object) -> None:
        raise error

    monkeypatch.setattr(_run.Journal, "read", refuse)

    assert not _run._is_on_network(tmp_path)


@pytest.mark.parametrize(
    ("item", "retry", "may"),
    [
        ("http://a.example/", Retry(), True),
        (Request("http://a.example/", "POST"), Retry(), False),
        (Request("http://a.example/", "POST"), Retry(methods={"POST"}), True),
        (Request("http://a.example/", "POST", retry=Retry(methods={"POST"})), None, True),
        (Request("http://a.example/", "POST", headers={"Idempotency-Key": "1"}), None, True),
    ],
)
def test_what_may_be_sent_twice_is_what_the_journal_sends_twice(
    item: Any, retry: Retry | None, may: bool
) -> None:
    """By method, policy and key."""
    assert _run._may_repeat(item, retry) is may


def test_this_machine_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same each time, until it is started again."""
    assert _run._machine() == _run._machine() != ""
    monkeypatch.setattr(_run.Path, "exists", lambda path: False)
    assert _run._machine() != ""


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[tuple[LoopbackServer, ShardTask]]:
    """Make a data set of one shard, of five requests."""
    pytest.importorskip("pyarrow")
    with LoopbackServer().in_thread() as server:
        urls = [server.url(f"/{number}") for number in range(5)]
        _, (task,) = prepared(tmp_path / "out", urls, {}, checked({}), Shape(1, 1, 0.2))
        yield server, task


@pytest.mark.extras
@pytest.mark.may_block
@pytest.mark.parametrize("at_once", [2, 1000])
def test_a_shard_that_is_done_is_not_fetched_again(
    shard: tuple[LoopbackServer, ShardTask], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Its report is read from its file, in which each request has one row."""
    server, task = shard
    monkeypatch.setattr(_run, "AT_ONCE", at_once)
    first, second = run_shard(task), run_shard(task)

    assert first.ok
    assert first == second
    assert first.requests == len(server.requests) == 5
    assert open_dataset(task.out).to_arrow()["index"].to_pylist() == list(range(5))


@pytest.mark.extras
@pytest.mark.may_block
def test_a_shard_with_another_number_of_results_is_not_done(
    shard: tuple[LoopbackServer, ShardTask],
) -> None:
    """Its requests may have been cut off by a full disk."""
    _, task = shard
    report = run_shard(attrs.evolve(task, requests=7))

    assert report.error == "RuntimeError: 5 results of 7 requests"


@pytest.mark.extras
@pytest.mark.may_block
def test_a_shard_that_another_worker_has_done_meanwhile_is_done(
    shard: tuple[LoopbackServer, ShardTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report is that of the other one."""
    _, task = shard
    others: list[Any] = []

    def lose(_: object) -> None:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as other:
            others.append(other.submit(run_shard, attrs.evolve(task, rest=0.0)).result())
        raise LeaseLost("the shard was given to another worker")

    monkeypatch.setattr(_run, "run_loop", lose)
    report = run_shard(task)

    assert report.ok
    assert [report] == others
    assert report.tries == 2


@pytest.mark.extras
@pytest.mark.may_block
def test_who_waits_for_a_journal_sees_that_the_shard_is_given_away(
    shard: tuple[LoopbackServer, ShardTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker before holds it still, and there is a later one."""
    server, task = shard
    layout = Layout(task.out, task.plan_id)
    path, kind = _run._journal_of(layout, task)

    def claimed() -> Lease:
        return claim(layout.leases, 0, journal=kind, seconds=120.0, is_done=lambda: False)

    async def claim_later(*_: object) -> None:
        claimed()

    before = claimed()
    store = Store(path, path.name, durability="process", bodies="all")
    monkeypatch.setattr(Lease, "wait_for_others", claim_later)
    report = run_shard(task)
    store.close()

    assert report.error == "LeaseLost: the shard was given to another worker"
    assert (before.epoch, report.tries) == (1, 2)
    assert not server.requests
