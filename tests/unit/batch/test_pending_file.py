"""A body that is brought to the disk while the worker that received it goes on."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from asyncbatch import FailureKind, Fetcher, Folder, Retry
from asyncbatch._api import _setup
from asyncbatch._batch import _pending_file, _workers
from asyncbatch._batch._pending_file import PendingFile
from asyncbatch._batch._workers import PendingFiles, Workers
from asyncbatch._files import Files, _absence, _disk
from asyncbatch._files._groups import Groups, StepCall
from asyncbatch._files._part import Part
from asyncbatch._files._unnamed import OpenFolder, OpenFolders, UnnamedFile, close_files
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.unit.batch.one_batch import OneBatch, sharing
from tests.waiting import until

MANY = 30


def echo(request: RecordedRequest) -> Reply:
    """Answer with the target."""
    return Reply(body=request.target.encode())


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {each.name for each in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder whose file system knows files without names."""
    folders = OpenFolders()
    opened = folders.get(str(tmp_path))
    file = None if opened is None else opened.open_unnamed()
    folders.close()
    if file is None:
        pytest.skip("this file system has no files without names")
    close_files([file])
    return tmp_path


@pytest.fixture
def urls(server: LoopbackServer) -> list[str]:
    """Return many URLs."""
    server.on("/many/*", echo)
    return [server.url(f"/many/{number}") for number in range(MANY)]


class HeldDisk:
    """Has the threads that write files wait until `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self._write: Callable[[UnnamedFile, bytes], None] = UnnamedFile.write
        monkeypatch.setattr(UnnamedFile, "write", lambda file, content: self._held(file, content))

    def _held(self, file: UnnamedFile, content: bytes) -> None:
        self.go_on.wait(60)
        self._write(file, content)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldDisk]:
    """Return a disk that waits."""
    held = HeldDisk(monkeypatch)
    yield held
    held.go_on.set()


@pytest.mark.parametrize("options", [{}, {"per_host": 1}, {"deadline": 60.0}], ids=str)
async def test_a_worker_goes_on_while_its_file_is_brought_to_the_disk(
    server: LoopbackServer,
    folder: Path,
    urls: list[str],
    held: HeldDisk,
    options: dict[str, Any],
) -> None:
    """The next request is sent, but no result is there before the file."""
    paths: list[Path] = []

    async with Fetcher(concurrency=1, retry=None, **options) as fetcher:

        async def take() -> None:
            async with fetcher.stream(urls, to=Folder(folder), backlog=MANY) as results:
                async for result in results:
                    assert result.path is not None
                    assert result.path.read_bytes() == f"/many/{result.index}".encode()
                    paths.append(result.path)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await until(lambda: len(server.requests) == MANY)
            assert (paths, names_in(folder)) == ([], set())
            held.go_on.set()

    assert len(paths) == MANY


@pytest.mark.parametrize("options", [{"concurrency": 1}, {"concurrency": 4}], ids=str)
async def test_workers_stop_while_too_many_files_wait_for_the_disk(
    server: LoopbackServer,
    folder: Path,
    urls: list[str],
    held: HeldDisk,
    options: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They go on when there is room again, to the last request."""
    monkeypatch.setattr(_workers, "PENDING", 3)
    stopped: list[int] = []
    add = PendingFiles.add

    def noted(files: PendingFiles, file: Any) -> None:
        add(files, file)
        if not files.has_room:
            stopped.append(len(list(files)))

    monkeypatch.setattr(PendingFiles, "add", noted)
    async with Fetcher(retry=None, **options) as fetcher, anyio.create_task_group() as tasks:

        async def fetch() -> None:
            (await fetcher.fetch_many(urls, to=Folder(folder))).raise_for_failures()

        tasks.start_soon(fetch)
        await until(lambda: bool(stopped) and len(server.requests) == stopped[-1])
        await anyio.wait_all_tasks_blocked()
        received = len(server.requests)
        held.go_on.set()

    assert 3 <= received < 3 + options["concurrency"]
    assert max(stopped) < 3 + options["concurrency"]
    assert names_in(folder) == {str(number) for number in range(MANY)}


def test_bytes_that_wait_for_the_disk_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for room is told of it once."""
    monkeypatch.setattr(_workers, "PENDING_BYTES", 10)

    class File:
        def __init__(self, size: int) -> None:
            self.size = size

    files, small, large = PendingFiles(), File(4), File(6)
    pending: list[Any] = [small, large]
    files.add(pending[0])
    assert files.has_room
    files.add(pending[1])
    assert not files.has_room
    files.is_waited_for = True

    assert files.remove(pending[1])
    assert files.has_room
    assert not files.remove(pending[0])
    assert list(files) == []


async def test_files_that_wait_for_the_disk_count_as_results_to_come(
    server: LoopbackServer, folder: Path, urls: list[str], held: HeldDisk
) -> None:
    """No more requests are sent than the backlog of a stream has room for."""
    async with (
        Fetcher(concurrency=4, retry=None) as fetcher,
        fetcher.stream(urls, to=Folder(folder), backlog=2) as results,
    ):
        await until(lambda: len(server.requests) == 2)
        await anyio.wait_all_tasks_blocked()
        assert len(server.requests) == 2
        held.go_on.set()
        assert len([result async for result in results if result.ok]) == MANY


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_file_takes_another_way_with_a_permit(
    server: LoopbackServer,
    folder: Path,
    urls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
) -> None:
    """As where there are no files without names: each is saved, and asked for once."""
    monkeypatch.setattr(OpenFolder, "open_unnamed", lambda folder: None)
    at_work: list[int] = []
    work = PendingFile.work

    async def counted(file: PendingFile) -> None:
        await work(file)
        at_work.append(fetcher.statistics().in_flight)

    monkeypatch.setattr(PendingFile, "work", counted)
    async with Fetcher(concurrency=concurrency, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(folder))

        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())
    results.raise_for_failures()

    assert len(at_work) == MANY
    assert max(at_work) <= concurrency
    assert len(server.requests) == MANY
    for number, result in enumerate(results):
        assert (result.size, result.attempts) == (len(f"/many/{number}"), 1)
        assert (folder / str(number)).read_bytes() == f"/many/{number}".encode()


async def test_a_file_that_is_refused_while_others_are_received_fails_alone(
    server: LoopbackServer, folder: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent again, and its host keeps no slot."""
    write = UnnamedFile.write

    def full(file: UnnamedFile, content: bytes) -> None:
        if content in (b"/many/3", b"/many/29"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, content)

    monkeypatch.setattr(UnnamedFile, "write", full)
    async with Fetcher(concurrency=2, per_host=2, retry=Retry(backoff=0.0)) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(folder))

        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())

    assert [failure.index for failure in results.failures] == [3, 29]
    assert {failure.kind for failure in results.failures} == {FailureKind.disk}
    assert len(server.requests) == MANY


async def test_files_of_a_batch_whose_time_is_over_are_given_up(
    server: LoopbackServer,
    folder: Path,
    urls: list[str],
    held: HeldDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request has its result, and none of its files gets a name afterwards."""
    wait = Workers.wait_for_cut_files

    async def release(workers: Workers) -> None:
        held.go_on.set()
        await wait(workers)

    monkeypatch.setattr(Workers, "wait_for_cut_files", release)
    async with Fetcher(concurrency=2, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(folder), batch_timeout=0.5)
        statistics = fetcher.statistics()

    assert [result.index for result in results] == list(range(MANY))
    assert {result.kind for result in results} <= {FailureKind.timeout, FailureKind.not_started}
    assert FailureKind.timeout in {result.kind for result in results}
    assert names_in(folder) == set()
    assert statistics.in_flight == 0
    assert not any(host.in_flight for host in statistics.by_host.values())


@pytest.fixture
def memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is taken for one in memory, where no thread may write."""

    def refuse(*_: object) -> None:
        raise AssertionError("a thread of the disk was told")

    monkeypatch.setattr(_absence, "_is_in_memory", lambda path: path == str(folder))
    monkeypatch.setattr(Groups, "_hand_over", refuse)
    return folder


async def test_files_in_memory_take_no_thread(
    server: LoopbackServer, memory: Path, urls: list[str]
) -> None:
    """All is as with threads; a file that is there or is refused, too."""
    (memory / "7").write_bytes(b"old")
    (memory / "8.part").symlink_to(memory / "elsewhere")
    async with Fetcher(concurrency=4, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(memory))

        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())

    assert [(each.index, each.kind) for each in results.failures] == [(8, FailureKind.disk)]
    for number, result in enumerate(results):
        if number not in (7, 8):
            assert result.path == memory / str(number)
            assert result.path.read_bytes() == f"/many/{number}".encode()
    assert (memory / "7").read_bytes() == b"old"
    assert names_in(memory) == {*map(str, range(MANY)), "8.part"} - {"8"}
    assert len(server.requests) == MANY - 2


async def test_a_file_that_does_not_fit_into_memory_fails_alone(
    server: LoopbackServer, memory: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread tries it once more, and finds the same."""
    write = UnnamedFile.write

    def full(file: UnnamedFile, content: bytes) -> None:
        if content == b"/many/3":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, content)

    def full_part(part: Part, _: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.path))

    monkeypatch.setattr(UnnamedFile, "write", full)
    monkeypatch.setattr(Part, "write", full_part)
    async with Fetcher(concurrency=2, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(memory))

    assert [(each.index, each.kind) for each in results.failures] == [(3, FailureKind.disk)]
    assert names_in(memory) == {str(number) for number in range(MANY) if number != 3}


async def test_files_in_memory_of_a_batch_that_is_cancelled_get_no_name(
    server: LoopbackServer, memory: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is cancelled between their bodies and their turn."""
    scope = anyio.CancelScope()
    begin = Groups.begin_call

    def begin_and_cancel(groups: Groups, call: StepCall) -> None:
        begin(groups, call)
        scope.cancel()

    monkeypatch.setattr(_disk, "begin_whole", partial(begin_and_cancel, _disk._groups))
    async with Fetcher(concurrency=1, retry=None) as fetcher:
        with scope:
            await fetcher.fetch_many(urls, to=Folder(memory))
        there = names_in(memory)
        await anyio.sleep(0.05)

        assert scope.cancelled_caught
        assert names_in(memory) == there
        assert fetcher.statistics().in_flight == 0


async def test_an_async_input_is_read_on_when_a_file_is_on_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused hosts fill the window meanwhile, and block no other."""
    monkeypatch.setattr(_setup, "window_of", lambda options: 2)
    write = UnnamedFile.write

    def late(file: UnnamedFile, content: bytes) -> None:
        time.sleep(0.02)  # until the feeder has looked for room, and found none
        write(file, content)

    monkeypatch.setattr(UnnamedFile, "write", late)
    async with LoopbackServer(hosts=3) as server:
        server.on("/busy/*", Reply(status=429).retry_after(30))
        server.on("/many/*", echo)

        async def items() -> AsyncIterator[str]:
            for number in range(3):
                yield server.url(f"/busy/{number}", host=1 + number % 2)
            for number in range(MANY):
                yield server.url(f"/many/many{number}", host=3)

        async with (
            Fetcher(concurrency=1) as fetcher,
            fetcher.stream(items(), to=Folder(folder), backlog=MANY) as results,
        ):
            with anyio.fail_after(20):
                for _ in range(MANY):
                    assert (await anext(results)).ok


async def test_an_error_of_the_input_ends_a_batch_whose_files_are_pending(
    server: LoopbackServer, folder: Path, urls: list[str], held: HeldDisk
) -> None:
    """It is raised, and the files that have no name get none."""

    def items() -> Iterator[str]:
        yield from urls[:5]
        held.go_on.set()
        raise LookupError("no more")

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        with pytest.raises(LookupError, match="no more"):
            await fetcher.fetch_many(items(), to=Folder(folder))
        there = names_in(folder)

        assert fetcher.statistics().in_flight == 0
        (await fetcher.fetch_many(urls, to=Folder(folder))).raise_for_failures()

    assert there <= {str(number) for number in range(5)}


async def test_a_batch_is_cancelled_while_a_file_waits_for_a_permit(
    server: LoopbackServer,
    folder: Path,
    urls: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All permits are free afterwards."""
    server.on("/hang", Reply().hang())
    monkeypatch.setattr(OpenFolder, "open_unnamed", lambda folder: None)
    begun: list[PendingFile] = []
    work = PendingFile.work

    async def noted(file: PendingFile) -> None:
        begun.append(file)
        await work(file)

    monkeypatch.setattr(PendingFile, "work", noted)
    async with Fetcher(concurrency=1, retry=None) as fetcher:
        scope = anyio.CancelScope()

        async def fetch() -> None:
            with scope:
                await fetcher.fetch_many([urls[0], server.url("/hang")], to=Folder(folder))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await until(lambda: len(server.requests) == 2 and bool(begun))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        statistics = fetcher.statistics()
        again = await fetcher.fetch_many(urls, to=Folder(folder))

    assert statistics.in_flight == 0
    assert not any(host.in_flight for host in statistics.by_host.values())
    assert len(again.successes) == MANY


async def test_a_blocked_loop_is_taken_out_of_a_file_that_is_brought_to_the_disk(
    tmp_path: Path,
) -> None:
    """Its beginning and its deadline move."""
    async with sharing() as shared:
        one = OneBatch(shared, (), files=Files(Folder(tmp_path)))
        workers: Any = one.batch._workers
        one.ledger.enter("http://a.test/", 0, 1.0)
        job = one.schedule.next(1.0)
        assert job is not None
        job.deadline = 9.0
        received: Any = SimpleNamespace(content=b"")
        workers.pending_files.add(PendingFile(workers, job, received, received))
        workers.take_out(5.0, 2.0)

        assert (job.first_started_at, job.deadline) == (6.0, 14.0)


async def test_a_file_whose_task_has_not_begun_is_given_up_with_the_batch(tmp_path: Path) -> None:
    """It has its name, and no result for want of memory: there is nothing to wait for."""
    async with sharing() as shared:
        one = OneBatch(shared, (), files=Files(Folder(tmp_path)))
        workers: Any = one.batch._workers
        one.ledger.enter("http://a.test/", 0, 1.0)
        job = one.schedule.next(1.0)
        assert job is not None
        one.schedule.body_received(job, 1.0, 2.0)
        received: Any = SimpleNamespace(content=b"")
        workers.pending_files.add(PendingFile(workers, job, received, received))
        workers.abandon()
        await workers.wait_for_cut_files()

        assert one.ledger.withdraw_unfinished(3.0) == [job]


async def test_a_result_that_cannot_be_made_ends_the_batch(
    folder: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made in a callback of the event loop, where nobody would hear of the error."""

    def fail(*_: object) -> None:
        raise MemoryError("no result")

    monkeypatch.setattr(_pending_file, "saved_of", fail)
    with anyio.fail_after(10):
        async with Fetcher(retry=None) as fetcher:
            with pytest.raises(MemoryError, match="no result"):
                await fetcher.fetch_many(urls, to=Folder(folder))
