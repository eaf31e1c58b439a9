"""`started`: when a request was tried first, on the wall clock; `None` if it never was."""

from __future__ import annotations

import asyncio
import pickle
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

import asyncbatch
from asyncbatch import Fetcher, Folder, Request, Retry, Success
from asyncbatch.testing import FakeClock, LoopbackServer, success

# Two clocks are read one after the other, and one of them may be set meanwhile.
SLACK = timedelta(milliseconds=50)


WAYS = {
    "text": lambda url: url,
    "request": lambda url: Request(url, headers={"x-a": "b"}),
    "post": lambda url: Request(url, "POST", json={}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_own_client", [False, True])
async def test_a_result_began_within_its_batch(
    server: LoopbackServer, way: str, is_own_client: bool
) -> None:
    """By whatever lane it was sent: not before the batch, and it ended before the batch did."""
    before = datetime.now(UTC)
    options: dict[str, Any] = {"client": httpx.AsyncClient()} if is_own_client else {}
    async with Fetcher(**options) as fetcher:
        results = await fetcher.fetch_many(WAYS[way](server.url(f"/{n}")) for n in range(30))
    if is_own_client:
        await options["client"].aclose()
    after = datetime.now(UTC)

    for result in results:
        assert result.started is not None
        assert result.started.tzinfo is UTC
        assert before - SLACK <= result.started
        assert result.started + timedelta(seconds=result.elapsed) <= after + SLACK


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_is_the_first_try_that_counts(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a request that was tried again, and of one that waited for its host."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    tried: list[str] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        tried.append(request.url.path)
        await asyncio.sleep(10.0)
        return httpx.Response(503 if tried == ["/0"] else 200)

    retry = Retry(attempts=2, backoff=8, pause_hosts=False)
    with FakeClock():
        async with Fetcher(
            transport=httpx.MockTransport(handle), per_host=1, retry=retry
        ) as fetcher:
            results = await fetcher.fetch_many([f"http://a.test/{n}" for n in range(2)])

    first, second = results
    assert (first.attempts, second.attempts) == (2, 1)
    assert second.elapsed == pytest.approx(10.0)
    starts = [result.started.timestamp() for result in results if result.started]
    assert starts == pytest.approx([1_000_000.0, 1_000_010.0])


async def test_what_was_never_tried_never_began(server: LoopbackServer, tmp_path: Path) -> None:
    """A URL that is none, a request whose batch was over, and a file that was there."""
    (tmp_path / "there.txt").write_text("x")
    async with Fetcher() as fetcher:
        broken = await fetcher.fetch("ftp://example.org/")
        late = await fetcher.fetch_many(
            [Request(server.url("/slow")), server.url("/")], batch_timeout=1e-9
        )
        (there,) = await fetcher.fetch_many([server.url("/there.txt")], to=Folder(tmp_path))

    hanging = httpx.MockTransport(lambda _: anyio.sleep_forever())
    async with Fetcher(transport=hanging, concurrency=1) as fetcher:
        late = await fetcher.fetch_many(["http://a.test/"] * 2, batch_timeout=0.001)

    assert (broken.kind, broken.started) == ("invalid_request", None)
    assert (late[1].kind, late[1].started) == ("not_started", None)
    assert isinstance(there, Success)
    assert (there.attempts, there.started) == (0, None)


@pytest.mark.parametrize("has_client", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"method": "<X>"}, {"headers": {"x": "a\r\nb"}}, {"headers": {"a b": "c"}}],
    ids=["method", "value", "name"],
)
async def test_what_proves_invalid_before_it_is_sent_was_not_tried(
    server: LoopbackServer, tmp_path: Path, has_client: bool, options: dict[str, Any]
) -> None:
    """As a URL that is none: on either lane, with a journal and without, and in no archive."""
    client = httpx.AsyncClient() if has_client else None
    request = Request(server.url("/"), **options)
    async with Fetcher(client=client) as fetcher:
        results = [
            *await fetcher.fetch_many([request, server.url("/status/200")]),
            *await fetcher.fetch_many([request], journal=tmp_path / "run.db"),
            *await fetcher.fetch_many([request], journal=tmp_path / "run.db"),
        ]
    if client is not None:
        await client.aclose()

    good = results.pop(1)
    assert (good.attempts, good.started is None) == (1, False)
    for result in results:
        assert (result.kind, result.attempts, result.started) == ("invalid_request", 0, None)
        assert (result.elapsed, result.history) == (0.0, ())
    har = await to_thread.run_sync(asyncbatch.Results(results, duration=1.0).to_har)
    assert har["log"]["entries"] == []


async def test_what_proves_invalid_while_it_is_sent_was_tried(server: LoopbackServer) -> None:
    """The server has had a part of it."""
    headers = {"content-length": "9"}
    body = Request(server.url("/"), "POST", content=iter([b"abc"]), headers=headers)

    (result,) = await asyncbatch.fetch_many([body], retry=None)

    assert (result.kind, result.attempts) == ("invalid_request", 1)
    assert result.started is not None


async def test_a_fetcher_reads_the_wall_clock_anew_for_each_fetch(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may run for weeks, and the machine sleep meanwhile."""
    async with Fetcher() as fetcher:
        first = await fetcher.fetch(server.url("/"))
        later = time.time() + 3600.0
        monkeypatch.setattr("asyncbatch._batch._batch.wall_time", lambda: later)
        second = await fetcher.fetch(server.url("/"))

    assert first.started is not None
    assert second.started is not None
    assert second.started - first.started >= timedelta(seconds=3600) - SLACK


async def test_a_journal_keeps_it(server: LoopbackServer, tmp_path: Path) -> None:
    """What is served from a journal began when it was sent."""
    urls = [server.url("/status/200"), server.url("/status/404")]
    path = tmp_path / "run.db"

    sent = await asyncbatch.fetch_many(urls, journal=path)
    served = await asyncbatch.fetch_many(urls, journal=path)

    assert [result.from_journal for result in served] == [True, True]
    for before, after in zip(sent, served, strict=True):
        assert before.started is not None
        assert after.started is not None
        assert abs(after.started - before.started) < timedelta(milliseconds=1)


def test_a_pickle_keeps_it() -> None:
    """A result that was pickled before there was such a time has none."""
    began = datetime(2026, 11, 29, 12, tzinfo=UTC)
    made = success(started=began)
    state = made.__getstate__()
    del state["_started"]
    old = object.__new__(Success)
    old.__setstate__(state)

    assert made.started == began
    assert pickle.loads(pickle.dumps(made)).started == began
    assert old.started is None
