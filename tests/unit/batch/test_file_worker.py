"""A worker whose bodies go to files: what it does without a task, and what it leaves to one."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncbatch import DeadlineExceeded, FailureKind, Fetcher, Folder, Request, Retry
from asyncbatch._batch._file_worker import FileWorker
from asyncbatch._batch._workers import Workers
from asyncbatch._engine.connection import _connection
from asyncbatch._files import AT_ONCE, Files
from asyncbatch._files._file_writer import FileWriter
from asyncbatch._files._unnamed import OpenFolders, UnnamedFile, close_files
from asyncbatch._schedule import Job
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.raw_server import Peer, serve
from tests.unit.batch.one_batch import OneBatch
from tests.waiting import until

MANY = 30


def knows_unnamed(folder: Path) -> bool:
    """Whether a folder's file system knows files without names."""
    folders = OpenFolders()
    opened = folders.get(str(folder))
    file = None if opened is None else opened.open_unnamed()
    if file is not None:
        close_files([file])
    folders.close()
    return file is not None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder whose file system knows files without names."""
    if not knows_unnamed(tmp_path):
        pytest.skip("this file system has no files without names")
    return tmp_path


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each request is added that takes a task."""
    targets: list[str] = []
    attempt = FileWorker._try

    async def noted(worker: FileWorker, job: Any) -> None:
        targets.append(job.request if isinstance(job.request, str) else str(job.request.url))
        await attempt(worker, job)

    monkeypatch.setattr(FileWorker, "_try", noted)
    return targets


def echo(request: RecordedRequest) -> Reply:
    """Answer with the target."""
    return Reply(body=request.target.encode())


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {each.name for each in folder.iterdir()}


async def test_small_bodies_take_no_task(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """Each is in its file, and its result says so; the head alone has been kept of the response."""
    server.on("/many/*", echo)
    urls = [server.url(f"/many/{number}") for number in range(MANY)]

    async with Fetcher(concurrency=4, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(folder))

        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())
    results.raise_for_failures()

    assert tried == []
    for number, result in enumerate(results):
        assert result.path == folder / str(number)
        assert result.path.read_bytes() == f"/many/{number}".encode()
        assert (result.size, result.resumed_from) == (len(f"/many/{number}"), 0)
        assert (result.content, result.status_code, result.attempts) == (b"", 200, 1)
        assert str(result.url) == urls[number]
        assert result.unwrap().request.headers["accept-encoding"] == "identity"
        assert result.elapsed > 0.0
    assert names_in(folder) == {str(number) for number in range(MANY)}
    assert len(server.requests) == MANY


async def test_what_a_relay_leaves_is_not_sent_again(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """Errors and redirects go on in a task, from the exchange; the others take none."""
    server.on("/many/*", echo)
    server.on("/gone", Reply(404, body=b"nothing"))
    server.on("/moved", Reply(302, headers={"location": "/many/there"}))
    odd = [server.url("/gone"), server.url("/moved")]
    urls = [*odd, *[server.url(f"/many/{number}") for number in range(MANY)]]

    async with Fetcher(concurrency=2, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(folder))

    assert sorted(tried) == sorted(odd)
    assert results[0].kind is FailureKind.status
    assert (results[0].path, results[0].content) == (None, b"nothing")
    assert (folder / "moved").read_bytes() == b"/many/there"
    assert all(result.ok for result in results[1:])
    assert len(server.requests) == len(urls) + 1


@pytest.mark.parametrize("is_awaited", [True, False])
async def test_a_body_that_follows_its_head_takes_a_task_only_if_it_stays_away(
    folder: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch, is_awaited: bool
) -> None:
    """It is asked for once."""
    monkeypatch.setattr(_connection, "GATHERING", 20.0 if is_awaited else 0.0)

    async def play(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab", b"cd", b"ef")

    async with (
        serve(play) as server,
        Fetcher(concurrency=1, retry=None, timeout=60) as fetcher,
    ):
        urls = [f"{server.url}{number}" for number in range(3)]
        results = await fetcher.fetch_many(urls, to=Folder(folder))
        asked = len(server.requests)

    results.raise_for_failures()
    assert tried == ([] if is_awaited else urls)
    assert asked == 3
    assert all((folder / str(number)).read_bytes() == b"abcdef" for number in range(3))


@pytest.mark.parametrize("size", [AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
async def test_a_body_of_any_size_is_in_its_file(
    server: LoopbackServer, folder: Path, size: int
) -> None:
    """Whether it is handed over as a whole or not."""
    body = os.urandom(size)
    server.on("/x/*", Reply(body=body))

    async with Fetcher(concurrency=2, retry=None) as fetcher:
        urls = [server.url(f"/x/{number}") for number in range(4)]
        results = await fetcher.fetch_many(urls, to=Folder(folder))
    results.raise_for_failures()

    assert {(folder / str(number)).read_bytes() for number in range(4)} == {body}


async def test_a_body_beyond_max_body_makes_no_file(server: LoopbackServer, folder: Path) -> None:
    """Its failure is that of any body that is too large."""
    server.on("/long", Reply(body=b"a" * 101))
    server.on("/short", Reply(body=b"a" * 100))

    async with Fetcher(max_body=100, retry=None) as fetcher:
        long, short = await fetcher.fetch_many(
            [server.url("/long"), server.url("/short")], to=Folder(folder)
        )

    assert long.kind is FailureKind.too_large
    assert short.ok
    assert names_in(folder) == {"short"}


async def test_a_full_disk_is_a_failure_of_its_files_alone(
    server: LoopbackServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of kind `disk`, after one request; the others are saved."""
    server.on("/many/*", echo)
    write = UnnamedFile.write

    def full(file: UnnamedFile, content: bytes) -> None:
        if content == b"/many/3":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, content)

    monkeypatch.setattr(UnnamedFile, "write", full)
    async with Fetcher(concurrency=3, retry=Retry(backoff=0.0)) as fetcher:
        urls = [server.url(f"/many/{number}") for number in range(6)]
        results = await fetcher.fetch_many(urls, to=Folder(folder))

    assert [result.ok for result in results] == [number != 3 for number in range(6)]
    failure = results[3]
    assert failure.kind is FailureKind.disk
    assert isinstance(failure.error, OSError)
    assert failure.error.errno == errno.ENOSPC
    assert names_in(folder) == {str(number) for number in range(6)} - {"3"}
    assert len(server.requests) == 6


async def test_a_cookie_is_kept_and_sent_with_the_next_request(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """As if the body had stayed in memory."""
    server.on("/many/*", Reply(headers={"set-cookie": "a=1"}))

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        urls = [server.url(f"/many/{number}") for number in range(2)]
        results = await fetcher.fetch_many(urls, to=Folder(folder))
    results.raise_for_failures()

    assert tried == []
    assert [request.headers.get("cookie") for request in server.requests] == [None, "a=1"]


async def test_files_and_other_requests_of_one_batch_take_turns(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """After a request that takes a task, the worker goes on without it."""
    server.on("/many/*", echo)
    items: list[Any] = []
    for number in range(10):
        url = server.url(f"/many/{number}")
        items.append(Request(url, to=None) if number % 3 == 0 else url)

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        results = await fetcher.fetch_many(items, to=Folder(folder))
    results.raise_for_failures()

    assert tried == [server.url(f"/many/{number}") for number in range(0, 10, 3)]
    assert [result.path is None for result in results] == [n % 3 == 0 for n in range(10)]
    assert [result.text for result in results][::3] == [f"/many/{n}" for n in range(0, 10, 3)]


async def test_an_error_of_the_input_ends_the_batch(server: LoopbackServer, folder: Path) -> None:
    """Also if a callback reads it, after a file has been saved."""
    server.on("/many/*", echo)

    def urls() -> Iterator[str]:
        for number in range(5):
            yield server.url(f"/many/{number}")
        raise LookupError("no more")

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        with pytest.raises(LookupError, match="no more"):
            await fetcher.fetch_many(urls(), to=Folder(folder))

        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())


class HeldNames:
    """Has the thread that gives a file its name wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.ended = 0
        self._give_name: Callable[[UnnamedFile, str], None] = UnnamedFile.give_name
        monkeypatch.setattr(UnnamedFile, "give_name", lambda file, name: self._held(file, name))

    def _held(self, file: UnnamedFile, name: str) -> None:
        self.begun.set()
        self.go_on.wait(60)
        self._give_name(file, name)
        self.ended += 1


async def test_a_batch_that_is_cancelled_waits_for_the_thread_that_names_a_file(
    server: LoopbackServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no file appears afterwards; those of the group that have no name get none."""
    server.on("/many/*", echo)
    held = HeldNames(monkeypatch)
    urls = [server.url(f"/many/{number}") for number in range(MANY)]

    async with Fetcher(concurrency=MANY, retry=None) as fetcher:

        async def fetch() -> None:
            with scope:
                await fetcher.fetch_many(urls, to=Folder(folder))
            ended.set()

        scope, ended = anyio.CancelScope(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await until(held.begun.is_set)
            scope.cancel()
            await anyio.lowlevel.checkpoint()
            assert not ended.is_set()
            held.go_on.set()
        there = names_in(folder)

        assert len(there) == held.ended
        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())
        results = await fetcher.fetch_many(urls, to=Folder(folder))
    results.raise_for_failures()

    assert names_in(folder) == {str(number) for number in range(MANY)}


async def test_a_file_that_another_program_makes_meanwhile_is_not_replaced(
    server: LoopbackServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `exists="skip"` its request has that file, with `"error"` it fails."""
    server.on("/many/*", echo)
    give_name = UnnamedFile.give_name

    def slower(file: UnnamedFile, name: str) -> None:
        for each in ("skip", "error"):
            if (folder / each).is_dir():
                (folder / each / name).write_bytes(b"theirs")
        give_name(file, name)

    monkeypatch.setattr(UnnamedFile, "give_name", slower)
    async with Fetcher(retry=None) as fetcher:
        (skipped,) = await fetcher.fetch_many(
            [server.url("/many/0")], to=Folder(folder / "skip", exists="skip")
        )
        (failed,) = await fetcher.fetch_many(
            [server.url("/many/1")], to=Folder(folder / "error", exists="error")
        )

    assert (skipped.ok, skipped.size) == (True, len(b"theirs"))
    assert failed.kind is FailureKind.disk
    assert isinstance(failed.error, FileExistsError)
    assert (folder / "error" / "1").read_bytes() == b"theirs"


async def test_a_worker_whose_task_outlives_the_batch_begins_nothing(
    server: LoopbackServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for the disk, shielded, when the batch is cancelled."""
    server.on("/missing", Reply(404))
    server.on("/hang", Reply().hang())
    urls = [server.url(path) for path in ("/missing", "/hang", "/later", "/later", "/later")]
    is_at_disk, go_on = threading.Event(), threading.Event()
    keep = FileWriter.keep

    def keep_late(writer: FileWriter, *given: Any) -> None:
        is_at_disk.set()
        go_on.wait(20)
        keep(writer, *given)

    monkeypatch.setattr(FileWriter, "keep", keep_late)

    async with Fetcher(concurrency=2, retry=None) as fetcher:
        scope = anyio.CancelScope()

        async def fetch() -> None:
            with scope:
                await fetcher.fetch_many(urls, to=Folder(folder))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch)
            await until(is_at_disk.is_set)
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        statistics = fetcher.statistics()
        again = await fetcher.fetch_many([server.url("/later")] * 4)

    assert scope.cancelled_caught
    assert (statistics.batches, statistics.in_flight) == (0, 0)
    assert [request.target for request in server.requests].count("/later") == 4
    assert len(again.successes) == 4


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_an_interruption_in_a_callback_ends_the_batch(
    server: LoopbackServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_read: bool,
    is_cancelled: bool,
) -> None:
    """It is raised from the call, whether the next request has been read or not."""
    server.on("/many/*", echo)
    scope = anyio.CancelScope()
    encode = Workers.encode_for_file

    def interrupt() -> None:
        if is_cancelled:
            scope.cancel()
        raise KeyboardInterrupt

    def encode_or_interrupt(workers: Workers, url: str) -> Any:
        if url.endswith("/3"):
            interrupt()
        return encode(workers, url)

    def urls() -> Iterator[str]:
        for number in range(3):
            yield server.url(f"/many/{number}")
        if not is_read:
            interrupt()
        yield server.url("/many/3")

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        with (
            scope,
            monkeypatch.context() as patches,
            contextlib.nullcontext() if is_cancelled else pytest.raises(KeyboardInterrupt),
        ):
            patches.setattr(Workers, "encode_for_file", encode_or_interrupt)
            await fetcher.fetch_many(urls(), to=Folder(folder))

        assert scope.cancelled_caught == is_cancelled
        assert not any(host.in_flight for host in fetcher.statistics().by_host.values())
        again = await fetcher.fetch_many([server.url("/many/4")], to=Folder(folder))

    assert again[0].path == folder / "4"


async def test_a_request_that_has_a_task_is_cut_off_by_the_time_limit_of_the_batch(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """It has its result, as one that was not started."""
    server.on("/hang", Reply().hang())
    url = server.url("/hang")

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        results = await fetcher.fetch_many(
            [Request(url, "POST"), server.url("/later")], to=Folder(folder), batch_timeout=0.3
        )
        statistics = fetcher.statistics()

    assert tried == [url]
    assert [result.kind for result in results] == [FailureKind.timeout, FailureKind.not_started]
    assert not any(host.in_flight for host in statistics.by_host.values())


@pytest.mark.parametrize("is_cut_off", [True, False])
async def test_a_worker_with_a_task_gives_its_permit_to_another_batch(
    folder: Path, is_cut_off: bool
) -> None:
    """It waits for one then, and has none to give back if its batch is cancelled meanwhile."""
    first, second = anyio.CancelScope(), anyio.CancelScope()
    found: list[int | None] = []

    async def play(peer: Peer) -> None:
        await peer.read_request()
        await until(lambda: slots.waiting > 0)
        await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await peer.read_request()
        await peer.until_closed()

    async with serve(play) as server, Fetcher(concurrency=1, retry=None) as fetcher:
        slots: Any = fetcher._slots

        async def fetch(scope: anyio.CancelScope) -> None:
            with scope:
                results = await fetcher.fetch_many([server.url], to=Folder(folder))
                found.extend(result.status_code for result in results)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, first)
            await server.until(lambda: len(server.requests) == 1)
            tasks.start_soon(fetch, second)
            await server.until(lambda: len(server.requests) == 2)
            if is_cut_off:
                first.cancel()
                await until(lambda: fetcher.statistics().batches == 1)
                assert fetcher.statistics().in_flight == 1
            second.cancel()

        assert fetcher.statistics().in_flight == 0

    assert found == ([] if is_cut_off else [404])


async def test_a_request_that_must_be_announced_is_announced_before_it_is_sent(
    server: LoopbackServer, folder: Path
) -> None:
    """The others are not."""
    server.on("/many/*", echo)
    announced: list[tuple[int, int]] = []

    async def announce(job: Job) -> None:
        announced.append((job.index, len(server.requests)))

    items = [
        Request(server.url(f"/many/{number}"), "POST" if number % 2 else "GET")
        for number in range(4)
    ]
    async with Fetcher(concurrency=1, retry=None) as fetcher:
        shared: Any = fetcher._shared
        one = OneBatch(shared, items, files=Files(Folder(folder)), announce=announce)
        await one.batch.run()

    assert announced == [(1, 1), (3, 3)]
    assert all(result.ok for result in one.results)


async def test_a_change_of_the_clients_headers_takes_no_task(
    server: LoopbackServer, folder: Path, tried: list[str]
) -> None:
    """Not even if its connections are not kept any more."""
    server.on("/many/*", echo)
    async with Fetcher(concurrency=1, retry=None) as fetcher:

        def urls() -> Iterator[str]:
            for number in range(4):
                if number == 2:
                    fetcher.client.headers["connection"] = "close"
                yield server.url(f"/many/{number}")

        results = await fetcher.fetch_many(urls(), to=Folder(folder))
    results.raise_for_failures()

    assert tried == []
    assert [request.headers["connection"] for request in server.requests] == [
        *["keep-alive"] * 2,
        *["close"] * 2,
    ]


@pytest.mark.parametrize(("late", "elapsed"), [(0.05, 0.05), (5.0, 0.0)])
async def test_the_time_before_a_late_task_counts_for_no_request(
    server: LoopbackServer, folder: Path, late: float, elapsed: float
) -> None:
    """The event loop was blocked until the task began, and not the server."""
    server.on("/many/*", echo)
    async with Fetcher(retry=None) as fetcher:
        shared: Any = fetcher._shared
        one = OneBatch(shared, (), files=Files(Folder(folder)))
        workers, begun = one.batch._workers, one.clock()
        workers.clock = lambda: begun + late
        one.ledger.enter(server.url("/many/0"), 0, begun)
        job = one.schedule.next(begun)
        assert job is not None
        await workers.permits.acquire()
        worker = FileWorker(workers, job)
        worker.has_task, worker.made_at = True, begun
        await worker.work()

        assert one.results[0].elapsed == pytest.approx(elapsed)
        assert fetcher.statistics().in_flight == 0


async def test_a_file_is_cut_off_by_the_deadline_of_its_request(
    folder: Path, tried: list[str]
) -> None:
    """Its error says so, although the relay has begun it."""

    async def play(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab")
        await peer.until_closed()

    async with serve(play) as server, Fetcher(retry=None, deadline=0.3) as fetcher:
        (result,) = await fetcher.fetch_many([f"{server.url}a"], to=Folder(folder))

    assert tried == [f"{server.url}a"]
    assert isinstance(result.error, DeadlineExceeded)
    assert result.error.seconds == 0.3
