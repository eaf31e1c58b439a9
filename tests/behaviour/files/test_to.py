"""Bodies that go to files: where they end up, and what their results say."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Folder, Request, Retry, SyncFetcher
from asyncbatch.testing import LoopbackServer, Reply

QUICK = Retry(backoff=0.0)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("size", [0, 1, 20_000, 3_000_000])
async def test_a_body_goes_to_its_file(server: LoopbackServer, tmp_path: Path, size: int):
    """Nothing but the file is there, and nothing of it in memory."""
    body = os.urandom(size)
    server.on("/x", Reply(body=body))
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "a" / "x.bin"))

    assert result.ok
    assert (result.path, result.size) == (tmp_path / "a" / "x.bin", size)
    assert (result.content, result.text, result.status_code) == (b"", "", 200)
    assert result.resumed_from == 0
    assert (tmp_path / "a" / "x.bin").read_bytes() == body
    assert names(tmp_path / "a") == ["x.bin"]


async def test_a_body_in_memory_has_no_path(server: LoopbackServer):
    """Its size is that of the content."""
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(server.url("/"))

    assert (result.path, result.size, result.resumed_from) == (None, 2, None)


async def test_a_call_has_a_folder_for_all_its_bodies(server: LoopbackServer, tmp_path: Path):
    """Each file has the name of its URL."""
    urls = [server.url(f"/dir/{at}.txt") for at in range(20)]
    async with Fetcher() as fetcher:
        results = await fetcher.fetch_many(urls, to=tmp_path / "many")
        async with fetcher.stream(urls, to=Folder(tmp_path / "streamed")) as stream:
            streamed = [result async for result in stream]
    results.raise_for_failures()

    assert [result.path for result in results] == [
        tmp_path / "many" / f"{at}.txt" for at in range(20)
    ]
    assert {result.path for result in streamed} == {
        tmp_path / "streamed" / f"{at}.txt" for at in range(20)
    }


async def test_the_option_of_the_fetcher_counts_unless_a_call_or_a_request_says_otherwise(
    server: LoopbackServer, tmp_path: Path
):
    """`None` brings a body into memory."""
    async with Fetcher(to=tmp_path / "all") as fetcher:
        by_option = await fetcher.fetch(server.url("/a"))
        by_call = await fetcher.fetch(server.url("/b"), to=tmp_path / "b.bin")
        in_memory = await fetcher.fetch(server.url("/c"), to=None)
        by_request = await fetcher.fetch(Request(server.url("/d"), to=None), to=tmp_path)

    assert by_option.path == tmp_path / "all" / "a"
    assert by_call.path == tmp_path / "b.bin"
    assert (in_memory.path, in_memory.content) == (None, b"ok")
    assert (by_request.path, by_request.content) == (None, b"ok")


@pytest.mark.may_block
def test_plain_code_has_files_too(tmp_path: Path):
    """In each of its calls."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=request.url.path.encode())

    transport = httpx.MockTransport(answer)
    url = "http://host.test/a"
    results = asyncbatch.fetch_many_sync([url], to=tmp_path / "1", transport=transport)
    with SyncFetcher(transport=transport) as fetcher:
        one = fetcher.fetch(url, to=tmp_path / "one.bin")
        many = fetcher.fetch_many([url], to=tmp_path / "2")
        streamed = list(fetcher.stream([url], to=tmp_path / "3"))
        with pytest.raises(TypeError, match="to must be a path"):
            fetcher.stream([url], to=7)  # type: ignore[arg-type]

    assert [each.path for each in (*results, one, *many, *streamed)] == [
        tmp_path / "1" / "a",
        tmp_path / "one.bin",
        tmp_path / "2" / "a",
        tmp_path / "3" / "a",
    ]
    assert (tmp_path / "one.bin").read_bytes() == b"/a"


async def test_a_file_that_exists_is_not_fetched(server: LoopbackServer, tmp_path: Path):
    """The result is a success of which nothing was sent."""
    (tmp_path / "x").write_bytes(b"before")
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.ok
    assert (result.path, result.size) == (tmp_path / "x", 6)
    assert (result.status_code, result.attempts, result.response) == (None, 0, None)
    assert (result.content, dict(result.headers)) == (b"", {})
    assert str(result.url) == server.url("/x")
    assert "None" in repr(result)
    assert len(server.requests) == 0


@pytest.mark.parametrize("status", [404, 500, 304])
async def test_a_failed_status_makes_no_file(server: LoopbackServer, tmp_path: Path, status: int):
    """Its body is in memory, as always; a redirect that leads nowhere makes none either."""
    server.on("/x", Reply(status, body=b"" if status == 304 else b"sorry"))
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.path is None
    assert result.content == (b"" if status == 304 else b"sorry")
    assert names(tmp_path) == []


async def test_an_encoded_body_is_decoded_although_no_coding_was_asked_for(
    server: LoopbackServer, tmp_path: Path
):
    """A file has the same bytes as `content` would."""
    body = b"words " * 200_000
    fields = {"content-encoding": "gzip"}
    server.on("/x", Reply(body=gzip.compress(body), headers=fields))
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.size == len(body)
    assert (tmp_path / "x").read_bytes() == body
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_body_that_does_not_decode_makes_no_file(server: LoopbackServer, tmp_path: Path):
    """As in memory, the failure is of kind `decode`."""
    fields = {"content-encoding": "gzip"}
    server.on("/x", Reply(body=gzip.compress(os.urandom(9000))[:-9] + b"x" * 9, headers=fields))
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.kind is FailureKind.decode
    assert names(tmp_path) == []


async def test_a_target_that_cannot_be_written_is_a_failure_of_the_disk(
    server: LoopbackServer, tmp_path: Path
):
    """A folder, a link, a file in the place of the folder: each is named, and the others go on."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    targets = ["folder", "link", "file/x", "good"]
    async with Fetcher() as fetcher:
        results = await fetcher.fetch_many(
            [Request(server.url(f"/{at}"), to=tmp_path / at) for at in targets]
        )

    assert [result.kind for result in results] == ["disk", "disk", "disk", None]
    assert all(isinstance(result.error, OSError) for result in results.failures)
    assert [request.path for request in server.requests] == ["/good"]
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file", "folder", "good", "link"]


async def test_two_requests_of_a_batch_cannot_have_one_file(server: LoopbackServer, tmp_path: Path):
    """The second fails before it is sent, also if only the case differs."""
    urls = [server.url("/a/X.bin"), server.url("/b/x.bin")]
    async with Fetcher() as fetcher:
        first, second = await fetcher.fetch_many(urls, to=tmp_path)

    assert first.ok
    assert second.kind is FailureKind.invalid_request
    assert "another request of this batch" in str(second.error)
    assert len(server.requests) == 1


async def test_a_body_longer_than_max_body_makes_no_file(server: LoopbackServer, tmp_path: Path):
    """The default does not count for a file, one that is given does."""
    server.on("/x", Reply(body=b"x" * 40_000_000))
    async with Fetcher(retry=None) as fetcher:
        whole = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))
        of_request = await fetcher.fetch(
            Request(server.url("/x"), to=tmp_path / "y", max_body=1000)
        )
    async with Fetcher(retry=None, max_body=1000) as fetcher:
        of_fetcher = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "z"))

    assert whole.size == 40_000_000
    assert of_request.kind is of_fetcher.kind is FailureKind.too_large
    assert names(tmp_path) == ["x"]


async def test_redirects_and_cookies_are_those_of_any_request(
    server: LoopbackServer, tmp_path: Path
):
    """The file has the name of the URL that was asked for."""
    server.on("/a", Reply(302, headers={"location": "/b", "set-cookie": "k=v"}))
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(server.url("/a"), to=f"{tmp_path}{os.sep}")

    assert result.path == tmp_path / "a"
    assert [each.status_code for each in result.response.history] == [302]
    assert server.requests[1].headers["cookie"] == "k=v"


async def test_a_cancelled_call_leaves_its_part_unlocked(server: LoopbackServer, tmp_path: Path):
    """Another call may go on at once."""
    server.on("/x", Reply(body=b"x" * 100_000).hang(body=50_000))
    async with Fetcher() as fetcher:
        with anyio.move_on_after(0.3):
            await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))
        server.on("/x", Reply(body=b"y" * 100_000))
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.ok
    assert (tmp_path / "x").read_bytes() == b"y" * 100_000
    assert names(tmp_path) == ["x"]


@pytest.mark.may_block
async def test_without_threads_files_are_written_all_the_same(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In the event loop then."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    server.on("/x", Reply(body=b"x" * 1_000_000))
    async with Fetcher() as fetcher:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.size == 1_000_000


async def test_a_result_with_a_file_pickles(server: LoopbackServer, tmp_path: Path):
    """Path and size travel along."""
    import pickle

    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))
    copy = pickle.loads(pickle.dumps(result))

    assert (copy.path, copy.size) == (tmp_path / "x", 2)
