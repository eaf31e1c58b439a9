"""Tables of results as batches make them, in each lane: the same as their public properties."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import to_thread

import asyncbatch
from asyncbatch import Fetcher, Request, Result, Results
from asyncbatch._results._record import records_of
from asyncbatch.testing import LoopbackServer
from tests.har import errors_in
from tests.tables import expected


async def real(server: LoopbackServer, client: Any = None) -> list[Result]:
    """Return results of all sorts: by relay, composed, redirected, failed, broken."""
    given: list[Any] = [
        *(server.url(f"/{place}") for place in range(5)),
        server.url("/status/404"),
        server.url("/status/404?a=b"),
        server.url("/redirect/2"),
        server.url("/caf\xe9 b"),
        Request(server.url("/headers"), headers={"x-a": "b"}),
        Request(server.url("/post"), "POST", json={"a": 1}),
        Request(server.url("/params"), params={"a": "b"}),
        httpx.URL(server.url("/url")),
        httpx.Request("PUT", server.url("/put"), content=b"x"),
        "ftp://example.org/",
        "http://127.0.0.1:1/refused",
    ]
    async with contextlib.AsyncExitStack() as stack:
        options: dict[str, Any] = {"retry": None}
        if client is not None:
            options["client"] = await stack.enter_async_context(client())
        fetcher = await stack.enter_async_context(Fetcher(**options))
        return [*await fetcher.fetch_many(given)]


@pytest.mark.parametrize("client", [None, httpx.AsyncClient])
async def test_a_record_says_what_its_result_says(server: LoopbackServer, client: Any) -> None:
    """In the direct lane and through a client, and no response is built for it."""
    results = await real(server, client)
    answers = [result._answer for result in results]

    records = list(records_of(results))

    assert all(result._answer is before for result, before in zip(results, answers, strict=True))
    assert records == [expected(result) for result in results]


async def test_what_a_journal_serves_has_a_record_too(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """That of the result it was made of, but for what a journal does not keep."""
    urls = [server.url("/a"), server.url("/status/404"), server.url("/redirect/1"), "ftp://x.test/"]
    await asyncbatch.fetch_many(urls, journal=tmp_path / "run.db")
    results = await asyncbatch.fetch_many(urls, journal=tmp_path / "run.db")

    records = results.to_dicts()

    assert [record["from_journal"] for record in records] == [True] * 4
    assert records == [expected(result) for result in results]


async def test_what_is_in_a_file_has_a_record_too(server: LoopbackServer, tmp_path: Path) -> None:
    """Its path, and no body; also of a file that was there."""
    urls = [server.url("/a.txt")]

    first = await asyncbatch.fetch_many(urls, to=tmp_path)
    second = await asyncbatch.fetch_many(urls, to=tmp_path)

    for results in (first, second):
        (record,) = results.to_dicts()
        assert record == expected(results[0])
        assert record["path"] == str(results[0].path)
    assert second.to_dicts()[0]["status"] is None


async def test_a_stream_is_written_as_it_comes(server: LoopbackServer, tmp_path: Path) -> None:
    """What was taken before is left out, and the summary counts all."""
    urls = [server.url(f"/{place}") for place in range(50)]
    path = tmp_path / "out.jsonl"

    async with Fetcher() as fetcher, fetcher.stream(urls) as results:
        await anext(results)
        await results.to_jsonl(path)

    assert results.summary().total == 50
    assert len((await to_thread.run_sync(path.read_bytes)).splitlines()) == 49


def test_a_stream_without_await_is_written_too(tmp_path: Path) -> None:
    """By the same methods."""
    path = tmp_path / "out.jsonl"
    answering = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))

    with (
        asyncbatch.SyncFetcher(transport=answering) as fetcher,
        fetcher.stream([f"http://a.test/{place}" for place in range(5)]) as results,
    ):
        results.to_jsonl(path)

    assert len(path.read_bytes().splitlines()) == 5


async def test_a_stream_is_written_as_an_archive(server: LoopbackServer, tmp_path: Path) -> None:
    """It is valid, and has the entries of the archive of the same results in memory."""
    urls = [server.url("/a"), "ftp://x.test/", server.url("/status/404"), server.url("/b")]

    async with Fetcher() as fetcher:
        async with fetcher.stream(urls, ordered=True) as results:
            await results.to_har(tmp_path / "run.har")
        again = await fetcher.fetch_many(urls)

    har = json.loads(await to_thread.run_sync((tmp_path / "run.har").read_bytes))
    expected_har = await to_thread.run_sync(again.to_har)
    assert errors_in(har) == []
    assert list(map(asked_in, har["log"]["entries"])) == list(
        map(asked_in, expected_har["log"]["entries"])
    )
    assert results.summary().total == 4


def test_a_stream_without_await_is_written_as_an_archive_too(tmp_path: Path) -> None:
    """One without results is valid as well."""
    answering = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    with asyncbatch.SyncFetcher(transport=answering) as fetcher:
        for count in (0, 3):
            urls = [f"http://a.test/{place}" for place in range(count)]
            with fetcher.stream(urls) as results:
                results.to_har(tmp_path / "run.har")

            har = json.loads((tmp_path / "run.har").read_bytes())
            assert errors_in(har) == []
            texts = {entry["response"]["content"]["text"] for entry in har["log"]["entries"]}
            assert texts == set(urls)


def asked_in(entry: dict[str, Any]) -> tuple[str, int]:
    """Return what is the same of an entry each time: its URL and the status."""
    return entry["request"]["url"], entry["response"]["status"]


@pytest.mark.extras
async def test_a_stream_is_written_as_parquet(server: LoopbackServer, tmp_path: Path) -> None:
    """With the table that the same results are in memory, tags as text."""
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    requests = [Request(server.url(f"/{place}"), tag=place) for place in range(5)]
    path = tmp_path / "out.parquet"

    async with Fetcher() as fetcher:
        async with fetcher.stream(requests, ordered=True) as results:
            await results.to_parquet(path)
        again = await fetcher.fetch_many(requests)

    found = parquet.read_table(path)
    assert found.column("tag").to_pylist() == ["0", "1", "2", "3", "4"]
    assert found.select(["index", "url", "content", "status"]) == Results(
        again, duration=1.0
    ).to_arrow().select(["index", "url", "content", "status"])
