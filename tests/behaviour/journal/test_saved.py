"""A journal of a batch whose bodies go to files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncbatch import Fetcher, Request
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
