"""Journals that cannot be used: each has its own clear error, before anything is sent."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import asyncbatch
from asyncbatch import (
    Fetcher,
    Journal,
    JournalError,
    JournalFull,
    JournalInUse,
    NotAJournal,
    Request,
    Result,
    SyncFetcher,
    fetch_many,
    fetch_many_sync,
)
from asyncbatch._journal import _filesystem
from asyncbatch._journal._store import OutOfSpace, Store
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = [pytest.mark.any_loop, pytest.mark.may_block]


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(default=Reply(body="x" * 1000)).in_thread() as server:
        yield server


def text(path: Path) -> Path:
    path.write_text("no journal")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def missing(path: Path) -> Path:
    return path.parent / "missing" / "run.db"


def files_in(path: Path) -> list[Path]:
    return sorted(path.rglob("*"))


REFUSED: list[tuple[Callable[[Path], Path], type[OSError]]] = [
    (text, NotAJournal),
    (folder, IsADirectoryError),
    (missing, FileNotFoundError),
]


@pytest.mark.parametrize(("make", "error"), REFUSED, ids=lambda each: each.__name__)
async def test_every_call_raises_and_names_the_path(
    server: LoopbackServer,
    tmp_path: Path,
    make: Callable[[Path], Path],
    error: type[OSError],
) -> None:
    """Nothing is sent, and nothing is made or changed."""
    path = make(tmp_path / "run.db")
    before = files_in(tmp_path)

    with pytest.raises(error, match=str(path)):
        await fetch_many([server.url("/")], journal=path)
    async with Fetcher() as fetcher:
        with pytest.raises(error, match=str(path)):
            async with fetcher.stream([server.url("/")], journal=path):
                pass

    assert not server.requests
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(("make", "error"), REFUSED, ids=lambda each: each.__name__)
def test_every_synchronous_call_raises(
    server: LoopbackServer,
    tmp_path: Path,
    make: Callable[[Path], Path],
    error: type[OSError],
) -> None:
    """At the call, a stream included; the fetcher serves on."""
    path = make(tmp_path / "run.db")

    with pytest.raises(error, match=str(path)):
        fetch_many_sync([server.url("/")], journal=path)
    with SyncFetcher() as fetcher:
        with pytest.raises(error, match=str(path)):
            fetcher.fetch_many([server.url("/")], journal=path)
        with pytest.raises(error, match=str(path)):
            fetcher.stream([server.url("/")], journal=path)
        assert fetcher.fetch(server.url("/")).ok

    assert len(server.requests) == 1


DAMAGES = [
    "results SET times = x'00' WHERE kind IS NULL",
    "results SET times = x'00' WHERE kind IS NOT NULL",
    "results SET facts = '{' WHERE kind IS NOT NULL",
    "results SET facts = '[]' WHERE kind IS NOT NULL",
    "results SET kind = 'none of ours' WHERE kind IS NOT NULL",
    "results SET head_id = 99 WHERE kind IS NULL",
    "heads SET head = x'ff'",
    "settings SET value = '{' WHERE name = 'options'",
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_value_that_was_never_written_is_named(
    server: LoopbackServer, tmp_path: Path, damage: str
) -> None:
    """SQLite does not notice it. Another batch of the fetcher goes on."""
    path = tmp_path / "run.db"
    server.on("/missing", Reply(404))
    server.on("/slow", Reply(body="ok", delay=0.2))
    urls = [server.url("/page"), server.url("/missing")]
    await fetch_many(urls, journal=path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(f"UPDATE {damage}").rowcount > 0

    others: list[Result] = []
    async with Fetcher() as fetcher:

        async def fetch_others() -> None:
            others.extend(await fetcher.fetch_many([server.url("/slow")]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch_others)
            with pytest.raises(NotAJournal, match="it is damaged"):
                await fetcher.fetch_many(urls, journal=path)
            with (
                pytest.raises(NotAJournal, match="it is damaged"),
                Journal.read(path) as it,
            ):
                assert (list(it), it.options()) == ([], {})

    assert [result.ok for result in others] == [True]


async def test_each_refused_request_has_a_row(server: LoopbackServer, tmp_path: Path) -> None:
    """Also several with one method and URL; the same run again adds none."""
    path = tmp_path / "run.db"

    def requests() -> list[Any]:
        with_one_key = [
            Request(server.url("/"), "POST", content=b"%d" % number, key="k") for number in range(3)
        ]
        one_shot = [Request(server.url("/"), "POST", content=iter([b"x"])) for _ in range(3)]
        return [*with_one_key, *one_shot, *["ftp://a.test/"] * 2]

    for _ in range(2):
        results = await fetch_many(requests(), journal=path)
        assert [result.kind for result in results] == [None, *["invalid_request"] * 7]
        with Journal.read(path) as reader:
            assert reader.counts() == {"ok": 1, "invalid_request": 7}


def test_the_synchronous_calls_resume(server: LoopbackServer, tmp_path: Path) -> None:
    """As the asynchronous ones do."""
    urls = [server.url(f"/{number}") for number in range(20)]
    fetch_many_sync(urls[:10], journal=tmp_path / "run.db")

    with SyncFetcher() as fetcher:
        streamed = list(fetcher.stream(urls[:15], ordered=True, journal=tmp_path / "run.db"))
        collected = fetcher.fetch_many(urls, journal=tmp_path / "run.db")

    assert [result.from_journal for result in streamed] == [True] * 10 + [False] * 5
    assert [result.from_journal for result in collected] == [True] * 15 + [False] * 5


async def test_a_second_batch_is_refused_at_once(server: LoopbackServer, tmp_path: Path) -> None:
    """Also one of the same fetcher; the first goes on, and a reader reads."""
    path = tmp_path / "run.db"
    refused = anyio.Event()

    async def first_input() -> AsyncIterator[str]:
        yield server.url("/1")
        await refused.wait()  # so that the first batch does not end before

    async with Fetcher() as fetcher:
        async with fetcher.stream(first_input(), journal=path) as stream:
            with pytest.raises(JournalInUse, match="another batch of this program"):
                await fetcher.fetch_many([server.url("/2")], journal=path)
            refused.set()
            assert (await anext(stream)).ok
            with Journal.read(path) as reader:
                assert reader.counts() == {"ok": 1}
        assert (await fetcher.fetch_many([server.url("/1")], journal=path))[0].from_journal

    assert len(server.requests) == 1


async def test_a_network_file_system_is_refused(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For writing and for reading."""
    (tmp_path / "mounts").write_text("1 0 0:1 / / rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(_filesystem, "MOUNTS", tmp_path / "mounts")

    with pytest.raises(JournalError, match=r"network file system \(nfs4\)"):
        await fetch_many([server.url("/")], journal=tmp_path / "run.db")
    with pytest.raises(JournalError, match=r"network file system \(nfs4\)"):
        Journal.read(tmp_path / "run.db")

    assert not server.requests
    assert not (tmp_path / "run.db").exists()


READ_ONLY = """
import os, sys
import asyncbatch

# With all modules loaded: another user may not be able to read them.
asyncbatch.fetch_many_sync(["http://127.0.0.1:9/"], journal=sys.argv[1], retry=None)
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncbatch.fetch_many_sync(["http://127.0.0.1:9/"], journal=sys.argv[2])
except PermissionError as error:
    print("refused", error.filename)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has other rights")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    """The superuser may write everywhere, so another user tries."""
    shared = Path("/tmp", f"asyncbatch-{os.getpid()}")  # one that others may enter
    shared.mkdir()
    shared.chmod(0o555)
    try:
        path = shared / "run.db"
        source = Path(asyncbatch.__path__[0]).parent
        found = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(tmp_path / "first.db"), str(path)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source)},
            check=False,
        )

        assert found.stdout.startswith(f"refused {shared}"), found.stderr
        assert list(shared.iterdir()) == []
    finally:
        shutil.rmtree(shared)


async def consume(fetcher: Fetcher, urls: list[str], path: Path, into: list[str]) -> None:
    """Add the URLs of the results of a stream to a list as they come."""
    async with fetcher.stream(urls, journal=path) as stream:
        async for result in stream:
            into.append(str(result.url))  # noqa: PERF401  # kept when the stream raises


async def test_a_full_disk_ends_the_batch_with_what_is_written(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`JournalFull` has the counts; the delivered results are exactly those in the file."""
    write = Store.write
    left = [3]

    def run_full(self: Store, group: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OutOfSpace
        write(self, group)

    monkeypatch.setattr(Store, "write", run_full)
    urls = [server.url(f"/{number}") for number in range(400)]
    delivered: list[str] = []
    async with Fetcher(concurrency=5) as fetcher:
        with pytest.raises(JournalFull, match="no space left") as raised:
            await consume(fetcher, urls, tmp_path / "run.db", delivered)
        left[0] = 0
        with pytest.raises(JournalFull) as again:
            await fetcher.fetch_many(urls, journal=tmp_path / "run.db")

    with Journal.read(tmp_path / "run.db") as reader:
        written = [str(result.url) for result in reader]
    assert sorted(delivered) == sorted(written)
    assert raised.value.committed == len(written) > 0
    assert raised.value.lost > 0
    results = again.value.results  # type: ignore[attr-defined]
    assert sorted(str(result.url) for result in results) == sorted(written)
    monkeypatch.undo()
    whole = await fetch_many(urls, journal=tmp_path / "run.db")
    assert sum(result.from_journal for result in whole) == len(written)


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only the superuser mounts a small disk"
)
def test_a_small_disk_runs_full(server: LoopbackServer, tmp_path: Path) -> None:
    """A real one: what is delivered is in the file, which stays good."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    urls = [server.url(f"/{number}") for number in range(2000)]
    delivered: list[str] = []
    try:
        with SyncFetcher(concurrency=5) as fetcher, pytest.raises(JournalFull):
            delivered += (str(result.url) for result in fetcher.stream(urls, journal=small / "a"))
        with Journal.read(small / "a") as reader:
            written = [str(result.url) for result in reader]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)

    assert sorted(delivered) == sorted(written)
    assert delivered


async def test_a_warning_that_is_an_error_leaves_the_journal_free(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """The program may go on with it; nothing was sent."""
    path = tmp_path / "run.db"
    await fetch_many([server.url("/")], journal=path)

    with pytest.raises(RuntimeWarning, match="was written with other options"):
        await fetch_many([server.url("/"), server.url("/2")], journal=path, max_body=5000)

    assert server.statistics().requests == 1
    [result] = await fetch_many([server.url("/")], journal=path, max_body=5000)
    assert result.from_journal
