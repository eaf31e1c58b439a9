"""Reports of real batches: which limit was binding, and reports of streams."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, HostLimits, Journal, Rate, Results, Retry, SyncFetcher
from asyncbatch.report import Report
from tests.markup import errors_in, text_of
from tests.transports import run_virtually

URLS = [f"http://{host}.test/{n}" for n in range(12) for host in ("a", "b")]


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest):
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


async def slow(_: httpx.Request) -> httpx.Response:
    await anyio.sleep(1)
    return httpx.Response(200, content=b"x")


def refusing() -> Callable[[httpx.Request], Any]:
    """Refuse the first request to host a, for ten seconds."""
    seen = []

    async def answer(request: httpx.Request) -> httpx.Response:
        await anyio.sleep(0.1)
        if request.url.host == "a.test" and not seen:
            seen.append(request)
            return httpx.Response(429, headers={"Retry-After": "10"})
        return httpx.Response(200)

    return answer


def fetched(answer: Callable[[httpx.Request], Any] = slow, **options: Any) -> Any:
    async def main() -> Results:
        transport = httpx.MockTransport(answer)
        async with Fetcher(transport=transport, **options) as fetcher:
            return await fetcher.fetch_many(URLS)

    return main


def report_of(results: Any, folder: Path) -> str:
    """Return the text of a report up to the charts, after a look at the whole of it."""
    results.report(folder / "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert errors_in(page) == []
    text = text_of(page)
    return text[: text.index("Slowest requests")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 3}, "All 3 slots were taken for 100% of the time"),
        ({"per_host": 2}, "The limit per_host held requests back: for 83% of the time at "),
        ({"rate": Rate(0.5)}, "The rate held requests back: for 96% of the time at "),
        ({"total_rate": Rate(0.5)}, "The total_rate held requests back: for 9"),
        ({"hosts": {"b.test": HostLimits(per_host=1)}}, "at b.test"),
    ],
    ids=["slots", "per_host", "rate", "total_rate", "hosts"],
)
def test_the_binding_limit_is_named(
    virtual: Any, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    """Each of them, where it is the one."""
    text = report_of(virtual(fetched(**options)), tmp_path)

    assert said in text
    # A mock knows no phases.
    assert "In flight, phase not known" in text


def test_a_pause_is_named(virtual: Any, tmp_path: Path) -> None:
    """What a host asks for is not our limit."""
    results = virtual(fetched(refusing(), per_host=1, retry=Retry()))

    text = report_of(results, tmp_path)

    assert "A host asked for a pause" in text
    assert "Waiting to be tried again" in text


def test_a_report_says_the_same_after_a_journey(virtual: Any, tmp_path: Path) -> None:
    """In a pickle, or of a part of the results."""
    results = virtual(fetched(per_host=2))
    whole = report_of(results, tmp_path)

    assert report_of(pickle.loads(pickle.dumps(results)), tmp_path) == whole
    assert "per_host held requests back" in report_of(results[:5], tmp_path)


def test_a_stream_is_reported_if_it_was_asked_for(virtual: Any, tmp_path: Path) -> None:
    """Its results are not needed for it."""

    async def main() -> Any:
        fetcher = Fetcher(transport=httpx.MockTransport(slow), per_host=2)
        async with fetcher, fetcher.stream(URLS, report=True) as results:
            async for _ in results:
                pass
        return results

    text = report_of(virtual(main), tmp_path)

    assert text.startswith("24 requests in")
    assert "The limit per_host held requests back" in text


def test_a_stream_that_was_not_asked_says_what_to_ask_for(virtual: Any, tmp_path: Path) -> None:
    """It has kept nothing, so that it costs nothing."""

    async def main() -> None:
        fetcher = Fetcher(transport=httpx.MockTransport(slow))
        async with fetcher, fetcher.stream(URLS) as results:
            async for _ in results:
                pass
        results.report(tmp_path / "report.html")

    with pytest.raises(RuntimeError, match=r"stream\(requests, report=True\)"):
        virtual(main)
    assert not list(tmp_path.iterdir())


def test_a_plain_stream_is_reported_too(tmp_path: Path) -> None:
    """From another thread than that of its batch; while it runs, and after."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with SyncFetcher(transport=transport) as fetcher:
        with fetcher.stream(URLS, report=True) as results:
            next(results)
            assert report_of(results, tmp_path).startswith("1 request in")
            assert len(list(results)) == len(URLS) - 1
        with fetcher.stream(URLS) as plain, pytest.raises(RuntimeError, match="report=True"):
            plain.report(tmp_path / "report.html")

    assert report_of(results, tmp_path).startswith("24 requests in")


def test_a_journal_is_reported(tmp_path: Path) -> None:
    """What an earlier run has fetched, without its times."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with SyncFetcher(transport=transport) as fetcher:
        fetcher.fetch_many(URLS, journal=tmp_path / "run.db")
        again = fetcher.fetch_many(URLS, journal=tmp_path / "run.db")
    with Journal.read(tmp_path / "run.db") as kept:
        page = Report(kept).html()

    again.report(tmp_path / "report.html")
    for each in (page, (tmp_path / "report.html").read_text()):
        assert errors_in(each) == []
        assert text_of(each).startswith("24 requests in")
        assert "Taken from the journal: 24 results" in text_of(each)


def test_a_report_is_made_of_any_results(tmp_path: Path) -> None:
    """One by one, and with a duration of the caller's."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    report = Report()
    with SyncFetcher(transport=transport) as fetcher:
        for url in URLS[:3]:
            report.add(fetcher.fetch(url))

    report.write(tmp_path / "report.html", duration=7.0)

    page = (tmp_path / "report.html").read_text()
    assert text_of(page).startswith("3 requests in 7 s")
    assert text_of(report.html()).startswith("3 requests in")
