"""Bodies that go to files in the direct lane, and what it leaves to the client."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from asyncbatch import FailureKind, Fetcher, Folder, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply
from tests.served import lanes_of

pytestmark = pytest.mark.any_loop


async def test_a_plain_body_takes_the_direct_lane(server: LoopbackServer, tmp_path: Path):
    """Short or long, with an option or a method of its own."""
    server.on("/long", Reply(body=2_000_000))
    async with Fetcher() as fetcher:
        lanes = lanes_of(fetcher)
        results = await fetcher.fetch_many(
            [
                server.url("/short"),
                server.url("/long"),
                Request(server.url("/post"), "POST", json={"a": 1}),
            ],
            to=tmp_path,
        )

    assert [result.size for result in results] == [2, 2_000_000, 2]
    assert lanes == ["direct"] * 3
    assert all(result.timing.receive is not None for result in results)


async def test_a_redirect_and_an_error_are_the_clients(server: LoopbackServer, tmp_path: Path):
    """Each request is sent once."""
    server.on("/a", Reply(302, headers={"location": "/b"}))
    server.on("/c", Reply(404, body=b"no"))
    async with Fetcher() as fetcher:
        moved, missing = await fetcher.fetch_many([server.url("/a"), server.url("/c")], to=tmp_path)

    assert moved.path == tmp_path / "a"
    assert [each.status_code for each in moved.response.history] == [302]
    assert (missing.kind, missing.content) == (FailureKind.status, b"no")
    assert sorted(request.path for request in server.requests) == ["/a", "/b", "/c"]


@pytest.mark.parametrize("status", [302, 404])
async def test_what_the_client_continues_shows_the_request_that_was_sent(
    server: LoopbackServer, tmp_path: Path, status: int
):
    """Without a cookie that came into the jar while it was in flight, as httpx shows it."""
    cookies: list[httpx.Cookies] = []

    def answer(_: object) -> Reply:
        cookies[0].set("late", "1")
        return Reply(status, headers={"location": "/b"})

    server.on("/a", answer)
    async with httpx.AsyncClient() as client:
        cookies[:] = [client.cookies]
        expected = (await client.get(server.url("/a"))).request.headers.get("cookie")
    async with Fetcher() as fetcher:
        cookies[:] = [fetcher.client.cookies]
        result = await fetcher.fetch(Request(server.url("/a"), to=tmp_path / "a"))

    first = [*result.response.history, result.response][0].request
    assert first.headers.get("cookie") is expected is None
    assert server.requests[1].headers.get("cookie") is None


async def test_the_response_is_that_of_any_request(server: LoopbackServer, tmp_path: Path):
    """With the headers that were sent, and without content."""
    server.on("/x", Reply(body=b"body", headers={"x-a": "b", "set-cookie": "k=v"}))
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))
        kept = fetcher.client.cookies["k"]

    assert result.ok
    assert (result.response.content, result.headers["x-a"], kept) == (b"", "b", "v")
    assert result.response.request.headers["accept-encoding"] == "identity"


async def test_hooks_are_called(server: LoopbackServer, tmp_path: Path):
    """By the client; one that has read the body has it, and so has the file."""
    seen: list[int] = []

    async def read(response: httpx.Response) -> None:
        seen.append(len(await response.aread()))

    server.on("/x", Reply(body=gzip.compress(b"words"), headers={"content-encoding": "gzip"}))
    async with Fetcher(event_hooks={"response": [read]}) as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.ok
    assert seen == [5]
    assert (tmp_path / "x").read_bytes() == b"words"


async def test_the_timeout_bounds_the_head_and_each_silence(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By default; a body may take longer as long as it comes."""
    server.on("/slow", Reply(body=b"x" * 10).paced(1, every=0.15))
    server.on("/silent", Reply(body=b"x" * 10).hang(body=5))
    server.on("/mute", Reply(body=b"x").hang(head=0))
    monkeypatch.setattr("asyncbatch._api._setup.DEFAULT_TIMEOUT", 0.5)
    async with Fetcher(retry=None) as fetcher:
        slow, silent, mute = await fetcher.fetch_many(
            [server.url("/slow"), server.url("/silent"), server.url("/mute")], to=tmp_path
        )

    assert slow.ok
    assert slow.elapsed > 1.0
    assert silent.kind is mute.kind is FailureKind.timeout
    assert isinstance(silent.error, httpx.ReadTimeout)


async def test_a_timeout_that_is_given_bounds_the_whole_attempt(
    server: LoopbackServer, tmp_path: Path
):
    """With a file too; so does a deadline."""
    server.on("/x", Reply(body=b"x" * 1000).paced(10, every=0.1))
    async with Fetcher(retry=None) as fetcher:
        by_timeout = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x", timeout=0.5))
        by_deadline = await fetcher.fetch(
            Request(server.url("/x"), to=tmp_path / "y", deadline=0.5)
        )

    assert by_timeout.kind is by_deadline.kind is FailureKind.timeout
    assert "timeout=0.5" in str(by_timeout.error)
    assert "deadline=0.5" in str(by_deadline.error)


async def test_a_body_below_the_minimum_rate_is_given_up(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in memory."""
    monkeypatch.setattr("asyncbatch._engine._minimum_rate.WINDOW", 1)
    server.on("/x", Reply(body=b"x" * 1000).paced(1, every=0.1))
    async with Fetcher(retry=None, minimum_rate=1000) as fetcher:
        result = await fetcher.fetch(Request(server.url("/x"), to=tmp_path / "x"))

    assert result.kind is FailureKind.timeout
    assert "minimum_rate" in str(result.error)


async def test_the_file_named_by_the_server_may_exist(server: LoopbackServer, tmp_path: Path):
    """Its body is left then, and the connection with it."""
    (tmp_path / "there").write_bytes(b"old")
    fields = {"content-disposition": 'attachment; filename="there"'}
    server.on("/x", Reply(body=b"new", headers=fields))
    async with Fetcher(retry=Retry()) as fetcher:
        result = await fetcher.fetch(server.url("/x"), to=Folder(tmp_path, name="disposition"))

    assert result.ok
    assert (result.path, result.size) == (tmp_path / "there", 3)
    assert (tmp_path / "there").read_bytes() == b"old"


async def test_a_client_that_was_closed_saves_nothing(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """And refuses in httpx's words, in the middle of a batch too."""
    async with Fetcher(retry=None) as fetcher:

        async def requests() -> AsyncIterator[Request]:
            yield Request(server.url("/a"), to=tmp_path / "a")
            await server.wait_until(lambda seen: seen.requests == 1)
            await fetcher.client.aclose()
            yield Request(server.url("/b"), to=tmp_path / "b")

        results = await fetcher.fetch_many(requests())

    assert isinstance(results[1].error, RuntimeError)
    assert "client has been closed" in str(results[1].error)
    assert not (tmp_path / "b").exists()
