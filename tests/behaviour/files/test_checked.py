"""`check=` for bodies that go to files: before the file has its name, and instead of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch import Failure, FailureKind, Fetcher, Folder, Retry
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.may_block  # the checks here read files, a few bytes of them


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


class Seen:
    """A check that remembers what it was given, and refuses bodies that begin with `no`."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.contents: list[bytes] = []
        self.files: list[list[str]] = []

    def __call__(self, response: httpx.Response) -> None:
        path = response.extensions["path"]
        self.statuses.append(response.status_code)
        self.bodies.append(path.read_bytes())
        self.contents.append(response.content)
        self.files.append(names(path.parent))
        if self.bodies[-1].startswith(b"no"):
            raise ValueError("a page that is none")


BODIES: dict[str, Callable[[bytes], Reply]] = {
    "plain": lambda body: Reply(body=body),
    "coded": lambda body: Reply(body=body).gzipped(),
    "chunked": lambda body: Reply(body=body, framing="chunked"),
}


@pytest.mark.parametrize("size", [0, 10, 700_000])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_a_check_looks_at_the_part(
    lane: str, body: str, size: int, server: LoopbackServer, tmp_path: Path
):
    """It is whole then, and has no name yet; afterwards the response says the file's."""
    seen, content = Seen(), os.urandom(size)
    server.on("/x", BODIES[body](content))
    client = httpx.AsyncClient() if lane == "client" else None
    async with Fetcher(client, check=seen, to=tmp_path / "in") as fetcher:
        result = await fetcher.fetch(server.url("/x"))
    if client is not None:
        await client.aclose()

    assert result.ok
    assert (seen.statuses, seen.bodies, seen.contents) == ([200], [content], [b""])
    assert "x" not in seen.files[0]
    assert result.path == tmp_path / "in" / "x"
    assert result.response.extensions["path"] == result.path
    assert result.path.read_bytes() == content
    assert names(tmp_path / "in") == ["x"]


@pytest.mark.parametrize("size", [0, 700_000])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_what_check_refuses_makes_no_file(
    lane: str, body: str, size: int, server: LoopbackServer, tmp_path: Path
):
    """Nothing is left in the folder; the failure has the response, without its body."""
    server.on("/x", BODIES[body](b"no" + bytes(size)).with_header("x-why", "login"))
    client = httpx.AsyncClient() if lane == "client" else None
    async with Fetcher(client, check=Seen(), to=tmp_path) as fetcher:
        result = await fetcher.fetch(server.url("/x"))
    if client is not None:
        await client.aclose()

    assert isinstance(result, Failure)
    assert result.kind == FailureKind.callback
    assert str(result.error) == "a page that is none"
    assert (result.status_code, result.attempts) == (200, 1)
    assert (result.path, result.content) == (None, b"")
    assert result.headers["x-why"] == "login"
    assert names(tmp_path) == []


async def test_what_check_refuses_replaces_no_file(server: LoopbackServer, tmp_path: Path):
    """The one that was there stays as it was."""
    (tmp_path / "x").write_bytes(b"the last good one")
    server.on("/x", Reply(body=b"no"))
    async with Fetcher(check=Seen(), to=Folder(tmp_path, exists="overwrite")) as fetcher:
        result = await fetcher.fetch(server.url("/x"))

    assert result.kind == FailureKind.callback
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"the last good one"


async def test_a_file_that_is_there_is_not_checked_again(server: LoopbackServer, tmp_path: Path):
    """Neither one that is skipped, nor one that has not changed."""
    seen = Seen()
    server.on("/x", Reply(body=b"yes").with_header("etag", '"1"'))
    async with Fetcher(check=seen) as fetcher:
        for _ in range(2):
            skipped = await fetcher.fetch(server.url("/x"), to=tmp_path / "skip" / "x")
        folder = Folder(tmp_path / "refresh", exists="refresh")
        await fetcher.fetch(server.url("/x"), to=folder)
        server.on("/x", Reply(304).with_header("etag", '"1"'))
        refreshed = await fetcher.fetch(server.url("/x"), to=folder)

    assert (skipped.ok, skipped.attempts) == (True, 0)
    assert (refreshed.ok, refreshed.status_code) == (True, 304)
    assert seen.statuses == [200, 200]


async def test_a_part_that_is_continued_is_checked_as_a_whole(
    server: LoopbackServer, tmp_path: Path
):
    """With the response of the last try."""
    seen, body = Seen(), os.urandom(100_000)
    whole = Reply(body=body).with_header("etag", '"1"')

    def rest(request: Any) -> Reply:
        asked = request.headers.get("range")
        if asked is None:
            return whole.cut(body=50_000)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        reply = Reply(206, body=body[start:]).with_header("etag", '"1"')
        return reply.with_header("content-range", f"bytes {start}-99999/100000")

    server.on("/x", rest)
    async with Fetcher(check=seen, to=tmp_path, retry=Retry(backoff=0.0)) as fetcher:
        result = await fetcher.fetch(server.url("/x"))

    assert result.ok
    assert (seen.statuses, seen.bodies) == ([206], [body])
    assert (tmp_path / "x").read_bytes() == body


async def test_a_refused_body_is_fetched_again_where_when_says_so(
    server: LoopbackServer, tmp_path: Path
):
    """From its beginning, since the bytes that were there are wrong."""
    server.on("/x", Reply(body=b"no").with_header("etag", '"1"'), Reply(body=b"yes"))
    retry = Retry(backoff=0.0, when=lambda failure: failure.kind == "callback")
    async with Fetcher(check=Seen(), to=tmp_path, retry=retry) as fetcher:
        result = await fetcher.fetch(server.url("/x"))

    assert (result.ok, result.attempts, result.resumed_from) == (True, 2, 0)
    assert (tmp_path / "x").read_bytes() == b"yes"
    assert names(tmp_path) == ["x"]


async def test_a_file_that_cannot_have_its_name_after_a_check(
    server: LoopbackServer, tmp_path: Path
):
    """It is a failure of kind `disk`, as without a check."""

    def plant(response: httpx.Response) -> None:
        (tmp_path / "x").write_bytes(b"of another program")

    async with Fetcher(check=plant, to=Folder(tmp_path, exists="error")) as fetcher:
        result = await fetcher.fetch(server.url("/x"))

    assert result.kind == FailureKind.disk
    assert isinstance(result.error, FileExistsError)
    assert (tmp_path / "x").read_bytes() == b"of another program"


async def test_an_answer_that_makes_no_file_is_checked_in_memory(
    server: LoopbackServer, tmp_path: Path
):
    """It has no path; a status of 400 or above is a failure anyway."""
    seen: list[Any] = []
    server.on("/gone", Reply(404))
    server.on("/choices", Reply(300, body=b"which?"))

    def check(response: httpx.Response) -> None:
        seen.append((response.status_code, response.extensions.get("path"), response.content))

    async with Fetcher(check=check, to=tmp_path) as fetcher:
        await fetcher.fetch_many([server.url("/gone"), server.url("/choices")])

    assert seen == [(300, None, b"which?")]
