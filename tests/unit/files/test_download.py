"""`Download`: one file through the tries of its request, without a server."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import anyio
import pytest

from asyncbatch import FailureKind, Folder, Request
from asyncbatch._files import Download, Files, _disk, _download
from asyncbatch._files._part import Part
from asyncbatch._files._receivers import Receivers
from asyncbatch._runtime._event_loop import running_loop
from asyncbatch._runtime._threads import NoThreads, Threads
from asyncbatch._values._sink import Head, Mismatch, Saved, SinkFailure, Taking, TooLarge

URL = "http://host.test/x"
ETAG = '"one"'


def download(folder: Path, checksum: str | None = None, **more: object) -> Download:
    to = Folder(folder, **more)  # type: ignore[arg-type]
    made = Files(None).download_of(Request(URL, to=to, checksum=checksum))
    assert made is not None
    return made


def head(status: int = 200, url: str = URL, **fields: object) -> Head:
    raw = [(name.replace("_", "-").encode(), str(value).encode()) for name, value in fields.items()]
    return Head(status, "GET", url, raw, lambda: None)


async def until(event: threading.Event) -> None:
    while not event.is_set():  # noqa: ASYNC110  # set by a thread
        await anyio.sleep(0.001)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_a_body_is_written_and_named(tmp_path: Path):
    """In one try."""
    file = download(tmp_path)
    begun = await file.begin_try()
    taking = await file.accept(head(content_length=6))
    await file.write(b"abc")
    await file.write(b"def")
    saved = await file.finish()
    await file.end_try()

    assert begun is None
    assert taking is Taking.BODY
    assert saved.plain() == (tmp_path / "x", 6, 0)
    assert (tmp_path / "x").read_bytes() == b"abcdef"
    assert names(tmp_path) == ["x"]


async def test_what_has_arrived_is_kept_for_the_next_try(tmp_path: Path):
    """Also what was not yet given to a thread."""
    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head(content_length=6, etag=ETAG))
    await file.write(b"abc")
    await file.end_try()
    await file.begin_try()
    headers = file.headers()
    await file.accept(head(206, content_length=3, etag=ETAG, content_range="bytes 3-5/6"))
    await file.write(b"def")
    saved = await file.finish()
    await file.end_try()

    assert headers["range"] == "bytes=3-"
    assert saved.plain() == (tmp_path / "x", 6, 3)
    assert (tmp_path / "x").read_bytes() == b"abcdef"


async def test_who_hands_over_much_waits_until_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So that no more is read from a socket than a disk can take."""
    go_on = threading.Event()
    write = Part.write

    def slow(part: Part, pieces: list[bytes]) -> None:
        go_on.wait(20)
        write(part, pieces)

    monkeypatch.setattr(Part, "write", slow)
    piece = os.urandom(200 * 1024)
    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head())
    go_on.set()
    await file.write(b"begun")
    go_on.clear()
    await file.write(piece)
    written: list[bytes] = []

    async def hand_over() -> None:
        await file.write(piece)
        written.append(piece)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hand_over)
        await anyio.sleep(0.02)
        before = list(written)
        go_on.set()
    saved = await file.finish()
    await file.end_try()

    assert before == []
    assert saved.size == 5 + 2 * len(piece)
    assert (tmp_path / "x").read_bytes() == b"begun" + piece + piece


async def test_a_piece_that_could_not_be_written_leaves_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The part ends before it."""
    write = Part.write
    calls: list[int] = []

    def failing(part: Part, pieces: list[bytes]) -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(part, pieces)

    monkeypatch.setattr(Part, "write", failing)
    first, second = (bytes([at]) * 256 * 1024 for at in (1, 2))
    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head(etag=ETAG, content_length=10**6))
    await file.write(first)
    with pytest.raises(SinkFailure) as caught:
        await file.write(second)
    await file.end_try()

    assert caught.value.kind is FailureKind.disk
    assert isinstance(caught.value.error, OSError)
    assert (tmp_path / "x.part").read_bytes() == first


async def test_a_lent_piece_is_copied_unless_it_is_written_at_once(tmp_path: Path):
    """Its memory is used again afterwards."""
    memory = bytearray(300_000)
    content = b""
    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head())
    for letter, size in [(b"a", 10), (b"b", 10), (b"c", 300_000), (b"d", 10)]:
        memory[:size] = letter * size
        content += letter * size
        assert await file.write(memoryview(memory)[:size]) == size
        memory[:] = bytes(len(memory))
    await file.finish()
    await file.end_try()

    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.parametrize("has_threads", [True, False])
async def test_what_follows_a_piece_is_received_in_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_threads: bool
):
    """Without threads it is not received here, where it would hold up the event loop."""
    pieces, threads = [b"b" * 300_000, b"c" * 10], []

    def refill(memory: memoryview) -> int:
        threads.append(threading.current_thread())
        piece = pieces.pop(0) if pieces else b""
        memory[: len(piece)] = piece
        return len(piece)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head())
    await file.write(b"a")
    with monkeypatch.context() as patch:
        if not has_threads:
            patch.setattr(threading.Thread, "start", refuse)
        count = await file.write(memoryview(bytearray(b"a" * 300_000)), refill)
    received = file.received
    await file.finish()
    await file.end_try()

    assert count == (600_010 if has_threads else 300_000)
    assert received == 1 + count
    assert (tmp_path / "x").stat().st_size == 1 + count
    assert threading.current_thread() not in threads


async def test_writes_that_hang_hold_up_no_other_long_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not even as many as there are threads that receive; other threads write for the rest."""
    receivers = Receivers(Threads("asyncbatch-disk-receiving", _disk.RECEIVING), 0.01)
    monkeypatch.setattr(_disk, "_receivers", receivers)
    go_on = threading.Event()
    hanging: list[Part] = []
    write = Part.write

    def slow(part: Part, pieces: list[bytes]) -> None:
        if "gone" in str(part.path):
            hanging.append(part)
            go_on.wait(20)
        write(part, pieces)

    monkeypatch.setattr(Part, "write", slow)
    refills = [b"b" * 10, b""]

    def refill(memory: memoryview) -> int:
        piece = refills.pop(0)
        memory[: len(piece)] = piece
        return len(piece)

    async def fetch(folder: Path) -> int:
        file = download(folder)
        await file.begin_try()
        await file.accept(head())
        await file.write(memoryview(bytearray(b"a" * 300_000)), refill)
        await file.write(memoryview(bytearray(b"c" * 300_000)), refill)
        saved = await file.finish()
        await file.end_try()
        return saved.size

    async with anyio.create_task_group() as tasks:
        for number in range(_disk.RECEIVING):
            tasks.start_soon(fetch, tmp_path / f"gone{number}")
        while len(hanging) < _disk.RECEIVING:  # noqa: ASYNC110  # set by threads
            await anyio.sleep(0.001)
        with anyio.fail_after(10):
            size = await fetch(tmp_path / "there")
        untouched = list(refills)
        refills += [b""] * 2 * _disk.RECEIVING
        go_on.set()

    assert size == 600_000
    assert len(untouched) == 2


@pytest.mark.parametrize("at", ["begin", "write", "finish"])
async def test_a_cancelled_try_leaves_nothing_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
):
    """Wherever it was, the next try may begin; the thread comes to its end in between."""
    entered, go_on = threading.Event(), threading.Event()
    method = {"begin": "open", "write": "write", "finish": "complete"}[at]
    inner = getattr(Part, method)

    def slow(part: Part, *args: object, **kwargs: object) -> None:
        entered.set()
        go_on.wait(20)
        inner(part, *args, **kwargs)

    file = download(tmp_path, exists="overwrite")
    with monkeypatch.context() as patch:
        patch.setattr(Part, method, slow)

        async def attempt() -> None:
            try:
                await file.begin_try()
                await file.accept(head())
                await file.write(b"a" * 300_000)
                await file.finish()
            finally:
                await file.end_try()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            await until(entered)
            tasks.cancel_scope.cancel()
            go_on.set()
    await file.begin_try()
    await file.accept(head())
    await file.write(b"b")
    saved = await file.finish()
    await file.end_try()

    assert saved.size == 1
    assert (tmp_path / "x").read_bytes() == b"b"
    assert names(tmp_path) == ["x"]


async def test_a_body_longer_than_its_limit_is_dropped(tmp_path: Path):
    """By its head, or when it is longer than that."""
    file = download(tmp_path)
    file.set_max_body(5)
    await file.begin_try()
    with pytest.raises(TooLarge):
        await file.accept(head(content_length=6))
    await file.end_try()
    await file.begin_try()
    await file.accept(head())
    with pytest.raises(TooLarge):
        await file.write(b"abcdef")
    await file.end_try()

    assert names(tmp_path) == []


async def test_a_checksum_that_differs_is_tried_once_more(tmp_path: Path):
    """From the beginning; the second time it is final."""
    digest = hashlib.sha256(b"right").hexdigest()
    file = download(tmp_path, f"sha256:{digest}")
    again: list[bool] = []
    for _ in range(2):
        await file.begin_try()
        await file.accept(head(etag=ETAG, content_length=5))
        await file.write(b"wrong")
        assert file.length == 5
        with pytest.raises(Mismatch) as caught:
            await file.finish()
        again.append(caught.value.again)
        await file.end_try()

    assert file.begin_try_nowait()
    assert file.length is None
    assert again == [True, False]
    assert caught.value.expected == f"sha256:{digest}"
    assert names(tmp_path) == []


async def test_a_locked_part_is_a_failure_of_the_disk(tmp_path: Path):
    """Of the second of two that write one file."""
    first, second = download(tmp_path), download(tmp_path)
    await first.begin_try()
    await first.accept(head())
    await first.write(b"a" * 300_000)
    with pytest.raises(SinkFailure) as caught:
        await second.begin_try()
    await second.end_try()
    await first.end_try()

    assert caught.value.kind is FailureKind.disk
    assert isinstance(caught.value.error, BlockingIOError)


async def test_the_second_name_of_a_complete_file_is_removed(tmp_path: Path):
    """A program may end between the two steps in which a file gets its name."""
    (tmp_path / "x").write_bytes(b"whole")
    os.link(tmp_path / "x", tmp_path / "x.part")
    found = await download(tmp_path).begin_try()

    assert found is not None
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(("fresh", "is_found"), [(0.0, True), (1000.0, False)])
async def test_a_fresh_look_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: float, is_found: bool
):
    """A file that comes in that time is not replaced all the same; the next try looks again."""
    monkeypatch.setattr(_download, "FRESH", fresh)
    file = download(tmp_path)
    before = file.found_nowait()
    (tmp_path / "x").write_bytes(b"old")
    first = await file.begin_try()
    if first is None:
        await file.accept(head(content_length=4))
        await file.write(b"mine")
        saved = await file.finish()
        assert saved.size == 3
    await file.end_try()
    second = await file.begin_try()
    await file.end_try()

    assert before is None
    assert (first is not None) == is_found
    assert second is not None
    assert (tmp_path / "x").read_bytes() == b"old"


async def test_a_whole_body_whose_try_was_cancelled_is_out_of_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The next try begins after the threads have let go of it, and has its own body."""
    entered, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(fd: int) -> None:
        entered.set()
        go_on.wait(20)
        fsync(fd)

    file = download(tmp_path)

    async def attempt(body: bytes) -> None:
        try:
            await file.begin_try()
            await file.accept(head(content_length=len(body)))
            await file.write(body)
            await file.finish()
        finally:
            await file.end_try()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", slow)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, b"cancelled")
            await until(entered)
            tasks.cancel_scope.cancel()
            go_on.set()
    between = names(tmp_path)
    await attempt(b"second")

    assert between in ([], ["x"])
    assert (tmp_path / "x").read_bytes() == (b"cancelled" if between else b"second")
    assert names(tmp_path) == ["x"]


async def test_a_whole_body_that_needs_a_part_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on a file system that gives a file no name afterwards."""
    link = os.link

    def refuse(source: str, target: Path, **options: object) -> None:
        if options.get("follow_symlinks"):
            raise PermissionError("no names here")
        link(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", refuse)
    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head(content_length=3))
    await file.write(b"abc")
    saved = await file.finish()
    await file.end_try()

    assert saved == Saved(tmp_path / "x", 3, 0)
    assert (tmp_path / "x").read_bytes() == b"abc"
    assert names(tmp_path) == ["x"]


@pytest.mark.may_block
async def test_without_threads_what_has_arrived_is_kept_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in a system that allows no more of them."""

    def refuse(function: object) -> None:
        raise NoThreads

    file = download(tmp_path)
    await file.begin_try()
    await file.accept(head(etag=ETAG, content_length=9))
    await file.write(b"abc")
    monkeypatch.setattr(_disk._threads, "submit", refuse)
    await file.end_try()

    assert (tmp_path / "x.part").read_bytes() == b"abc"


@pytest.mark.parametrize("is_written", [True, False])
async def test_only_a_file_that_is_not_on_the_disk_is_given_up(tmp_path: Path, is_written: bool):
    """It gets no name; whoever needs to know waits for its thread."""
    file = download(tmp_path)
    ended = anyio.Event()
    assert file.begin_try_nowait()
    file.write_whole(b"abc", running_loop(), ended.set)
    if is_written:
        await ended.wait()
        if file.take_saved() is None:
            pytest.skip("this file system has no files without names")
    wait = file.abandon()
    if wait is not None:
        await wait()

    assert (wait is None) == is_written
    assert names(tmp_path) == (["x"] if is_written else [])
