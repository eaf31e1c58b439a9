"""A journal of a batch whose bodies go to files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, Folder, Request
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.any_loop


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    async with LoopbackServer() as server:
        server.on("*", lambda request: Reply(body=f"body of {request.path}"))
        yield server


async def fetch(requests: list[Any], journal: Path, to: Any) -> list[Any]:
    async with Fetcher() as fetcher:
        return list(await fetcher.fetch_many(requests, journal=journal, to=to))


async def test_a_file_that_is_there_is_not_fetched_again(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """The result has its path and its size; a file that is gone or short is fetched."""
    urls = [server.url(f"/{name}") for name in "abc"]
    first = await fetch(urls, tmp_path / "run.db", tmp_path / "files/")
    await anyio.Path(first[1].path).unlink()
    await anyio.Path(first[2].path).write_text("short")

    second = await fetch(urls, tmp_path / "run.db", tmp_path / "files/")

    assert [result.from_journal for result in second] == [True, False, False]
    assert [result.path for result in second] == [result.path for result in first]
    assert [result.size for result in second] == [10, 10, 5]
    assert second[0].status_code == 200
    # A file that exists is skipped, whatever is in it: that is `Folder(exists="skip")`.
    assert sorted(request.path for request in server.requests) == ["/a", "/b", "/b", "/c"]


async def test_a_file_that_was_replaced_is_not_served(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """Neither another file of the same size, nor a link, nor what has another checksum."""
    journal, there = tmp_path / "run.db", tmp_path / "files"
    requests: list[Any] = [server.url("/a"), server.url("/b")]
    requests += [Request(server.url(path), checksum=right_for(path)) for path in ("/c", "/d")]
    to = Folder(there, exists="overwrite")
    await fetch(requests, journal, to)
    files = anyio.Path(there)
    await replace(files / "a", "BODY OF /A")
    await (files / "b").rename(tmp_path / "b")
    await (files / "b").symlink_to(tmp_path / "b")
    await replace(files / "c", "BODY OF /C")
    await replace(files / "d", "body of /d")

    again = await fetch(requests, journal, to)

    assert [result.from_journal for result in again] == [False, False, False, True]
    assert [result.kind for result in again] == [None, "disk", None, None]
    assert await (files / "a").read_text() == "body of /a"
    assert await (files / "c").read_text() == "body of /c"


def right_for(path: str) -> str:
    return f"sha256:{hashlib.sha256(f'body of {path}'.encode()).hexdigest()}"


async def replace(path: anyio.Path, text: str) -> None:
    """Write a file anew, at another time than before."""
    await path.write_text(text)
    os.utime(path, ns=(1, 1))


async def test_the_result_of_one_request_never_names_the_file_of_another(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """Two runs had the same name; the file is that of the second one."""
    urls = [server.url("/one/x"), server.url("/two/x")]
    to = Folder(tmp_path / "files", exists="overwrite")
    for url in urls:
        await fetch([url], tmp_path / "run.db", to)

    for requests in (urls, urls[::-1]):
        for result in await fetch(requests, tmp_path / "run.db", to):
            if result.ok:
                text = await anyio.Path(result.path).read_text()
                assert text == f"body of {httpx.URL(result.request.url).path}"
            else:
                assert result.kind == "invalid_request"


async def test_a_request_whose_file_was_taken_is_sent_once_it_has_another(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """The refusal was about this run's files, and not about the request."""
    urls, journal, to = [server.url("/one/x"), server.url("/two/x")], tmp_path / "run.db", tmp_path
    _, refused = await fetch(urls, journal, Folder(to / "files"))
    _, refused_again = await fetch(urls, journal, Folder(to / "files"))

    first, second = await fetch(urls, journal, Folder(to / "files", exists="rename"))

    assert (refused.kind, refused_again.kind) == ("invalid_request", "invalid_request")
    assert first.from_journal
    assert second.path == to / "files" / "x (1)"
    assert [request.path for request in server.requests] == ["/one/x", "/two/x"]


async def test_a_served_file_is_named_as_this_run_names_it(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to the current folder, if `to` is; in the folder of the run, or as the request."""
    monkeypatch.chdir(tmp_path)
    requests: list[Any] = [server.url("/a"), Request(server.url("/b"), to="files/b")]
    requests.append(Request(server.url("/c"), to="files/"))
    first = await fetch(requests, Path("run.db"), "files")

    second = await fetch(requests, Path("run.db"), "files")

    assert all(result.from_journal for result in second)
    assert [result.path for result in first] == [Path("files") / name for name in "abc"]
    assert [result.path for result in second] == [result.path for result in first]


async def test_a_body_that_is_wanted_elsewhere_is_fetched_again(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """In memory, in another folder, or as another file; a POST is not sent twice for it."""
    url, journal = server.url("/a"), tmp_path / "run.db"
    places: list[Any] = [None, tmp_path / "one/", tmp_path / "two/", None]

    results = [(await fetch([url], journal, to))[0] for to in places]
    [post] = await fetch([Request(url, "POST")], journal, None)
    [again] = await fetch([Request(url, "POST")], journal, tmp_path / "one/")

    assert not any(result.from_journal for result in results)
    assert [result.path is None for result in results] == [True, False, False, True]
    assert (post.ok, again.kind) == (True, "in_doubt")


async def test_another_checksum_is_checked_again(server: LoopbackServer, tmp_path: Path) -> None:
    """The file that is there may not be what is asked for now."""
    url, journal = server.url("/a"), tmp_path / "run.db"
    right = f"sha256:{hashlib.sha256(b'body of /a').hexdigest()}"

    def request(checksum: str | None) -> Request:
        return Request(url, to=tmp_path / "file", checksum=checksum)

    [plain] = await fetch([request(None)], journal, None)
    [checked] = await fetch([request(right)], journal, None)
    [served] = await fetch([request(right)], journal, None)

    assert [each.from_journal for each in (plain, checked, served)] == [False, False, True]
    assert served.path == tmp_path / "file"


async def test_a_file_of_the_journal_is_taken(server: LoopbackServer, tmp_path: Path) -> None:
    """Another request of the run cannot have the same one."""
    journal = tmp_path / "run.db"
    one = Request(server.url("/a"), to=tmp_path / "file")
    await fetch([one], journal, None)

    served, refused = await fetch(
        [one, Request(server.url("/b"), to=tmp_path / "file")], journal, None
    )

    assert served.from_journal
    assert refused.kind == "invalid_request"
    assert await anyio.Path(tmp_path / "file").read_text() == "body of /a"


@pytest.mark.parametrize("exists", ["skip", "rename"])
async def test_a_kept_file_that_another_request_has_is_refused(
    server: LoopbackServer, tmp_path: Path, exists: Literal["skip", "rename"]
) -> None:
    """Unless that request has taken another name; in a later run the file is served."""
    one, two = server.url("/one/x"), server.url("/two/x")
    journal, to = tmp_path / "run.db", Folder(tmp_path / "files", exists=exists)
    await fetch([one], journal, to)
    has_first = anyio.Event()

    async def requests() -> AsyncIterator[str]:
        yield two
        await has_first.wait()
        yield one

    async with Fetcher() as fetcher, fetcher.stream(requests(), journal=journal, to=to) as results:
        first = await anext(results)
        has_first.set()
        second = await anext(results)
    [later] = await fetch([one], journal, to)

    kept = to.path / "x"
    if exists == "skip":
        assert (first.path, second.kind) == (kept, "invalid_request")
        assert "another request of this batch has the file" in str(second.error)
    else:
        assert (first.path, second.path) == (to.path / "x (1)", kept)
    assert second.from_journal == (exists == "rename")
    assert (later.from_journal, later.path) == (True, kept)
