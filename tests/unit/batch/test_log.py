"""What a fetcher writes to the logger `asyncbatch`, and says of its hosts when it is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, FetcherClosed, HostStatistics, Rate, Retry, SyncFetcher
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import run_virtually


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Return what returns the lines so far, with their levels."""
    caplog.set_level(logging.DEBUG, logger="asyncbatch")
    return lambda: [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "asyncbatch"
    ]


class Mute:
    """A transport at which nobody answers until it is told that the host is back."""

    def __init__(self) -> None:
        self.is_back = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.is_back:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))


def test_a_pause_is_written_down_once(virtual: Any, lines: Any) -> None:
    """As is its end, however many requests are refused and wait for it."""

    async def main() -> str:
        async with LoopbackServer(default=Reply(body=b"ok")) as server:
            server.on("/busy", Reply(429).retry_after(10), Reply(body=b"at last"))
            async with Fetcher() as fetcher:
                await fetcher.fetch_many([server.url("/busy"), *[server.url("/")] * 30])
            return server.url("/").split("/")[2]

    host = virtual(main)

    assert lines() == [
        ("INFO", f"{host}: paused for 10 s, as it refuses requests"),
        (
            "DEBUG",
            f"{host}: request 0 ended as status, status 429 at try 1, and is tried again in 10 s",
        ),
        ("INFO", f"{host}: the pause is over"),
    ]


def test_a_host_given_up_is_written_down_with_its_probe(virtual: Any, lines: Any) -> None:
    """A warning when it is left alone, and a word when it is asked again and answers."""
    mute = Mute()

    async def main() -> None:
        urls = [f"http://example.org/{number}" for number in range(40)]
        async with mute.client() as client, Fetcher(client) as fetcher:
            await fetcher.fetch_many(urls)
            mute.is_back = True
            await anyio.sleep(31)
            assert (await fetcher.fetch(urls[0])).ok

    virtual(main)

    told = [line for level, line in lines() if level != "DEBUG"]
    assert all(line.startswith("example.org: ") for line in told)
    assert [line for level, line in lines() if level == "WARNING"] == [
        line for line in told if "given up for 30 s, after" in line
    ]
    assert sum("given up for 30 s, after" in line for line in told) == 1
    assert told[-2:] == [
        "example.org: one request looks whether it answers again",
        "example.org: no longer given up",
    ]
    pauses = sum("paused for" in line for line in told)
    assert 0 < pauses < 15


def test_no_line_has_a_secret(virtual: Any, lines: Any) -> None:
    """Neither what stands in a URL nor what is in a field."""

    async def main() -> None:
        async with LoopbackServer(default=Reply(503)) as server:
            url = server.url("/secret-path?token=secret").replace("://", "://me:secret@")
            async with Fetcher(headers={"x-key": "secret"}, retry=Retry(attempts=2)) as fetcher:
                await fetcher.fetch_many([url] * 3)

    virtual(main)

    assert lines()
    assert not [line for _, line in lines() if "secret" in line]


def test_statistics_tell_of_each_host(virtual: Any) -> None:
    """What is in flight and waits, and for how long a host is paused; idle hosts are left out."""

    async def main() -> list[Any]:
        async with LoopbackServer(hosts=3, default=Reply().delayed(5)) as server:
            server.on("/busy", Reply(429).retry_after(20), Reply(), host=1)
            server.on("/idle", Reply(), host=3)
            busy, slow, idle = (server.url("/busy", host=host).split("/")[2] for host in (1, 2, 3))
            urls = [server.url("/busy", host=1)] + [server.url("/", host=2)] * 5
            async with Fetcher(per_host=2) as fetcher:
                await fetcher.fetch(server.url("/idle", host=3))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(fetcher.fetch_many, urls)
                    await anyio.sleep(1)
                    by_host = fetcher.statistics().by_host
                return [by_host[busy], by_host[slow], idle in by_host, fetcher.statistics()]

    paused, slow, has_idle, after = virtual(main)

    assert paused.in_flight == 0
    assert paused.waiting == 1
    assert paused.paused_until == pytest.approx(19, abs=0.2)
    assert not paused.given_up
    assert slow == HostStatistics(in_flight=2, waiting=3, paused_until=None, given_up=False)
    assert not has_idle
    assert after.by_host == {}


def test_a_host_that_was_given_up_is_opened_again(virtual: Any) -> None:
    """The next request is sent at once, not after 30 s; one that is not closed stays as it is."""
    mute = Mute()

    async def main() -> list[Any]:
        urls = [f"http://example.org/{number}" for number in range(40)]
        async with mute.client() as client, Fetcher(client) as fetcher:
            await fetcher.fetch_many(urls)
            mute.is_back = True
            down = fetcher.statistics().by_host["example.org"].given_up
            still = await fetcher.fetch(urls[0])
            answers = [fetcher.reopen(host) for host in ("*.example.org", "example.org:81")]
            answers += [fetcher.reopen("Example.org"), fetcher.reopen("example.org")]
            results = await fetcher.fetch_many(urls)
        return [down, still.kind, answers, len(results.successes), results.duration]

    down, kind, answers, succeeded, duration = virtual(main)

    assert down
    assert kind == "host_down"
    assert answers == [False, False, True, False]
    assert succeeded == 40
    assert duration < 1


@pytest.mark.parametrize("options", [{}, {"rate": Rate(100)}, {"per_host": 3}], ids=str)
def test_the_end_of_a_pause_lets_what_waits_go_on(virtual: Any, options: Any) -> None:
    """All but the one that waits for its own next try."""

    async def main() -> tuple[bool, list[float]]:
        async with LoopbackServer(default=Reply(body=b"ok")) as server:
            server.on("/busy", Reply(429).retry_after(50))
            busy, other = server.url("/busy"), server.url("/")
            async with Fetcher(retry=Retry(attempts=1), **options) as fetcher:
                await fetcher.fetch(busy)
                ended: list[float] = []

                async def fetch() -> None:
                    await fetcher.fetch_many([other] * 30)
                    ended.append(anyio.current_time() - begun)

                begun = anyio.current_time()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(fetch)
                    tasks.start_soon(fetch)
                    await anyio.sleep(5)
                    opened = fetcher.reopen(other.split("/")[2])
                return opened, ended

    opened, ended = virtual(main)

    assert opened
    assert len(ended) == 2
    assert 5 <= max(ended) < 7


async def test_only_an_open_fetcher_has_hosts() -> None:
    """It says so; and what is no host is refused with the cure."""
    fetcher = Fetcher()
    with pytest.raises(FetcherClosed, match="not open"):
        fetcher.reopen("example.org")
    async with fetcher:
        with pytest.raises(ValueError, match="host alone"):
            fetcher.reopen("http://example.org/")
        assert fetcher.reopen("example.org") is False
    with pytest.raises(FetcherClosed, match="not open"):
        fetcher.reopen("example.org")


def test_plain_code_may_do_so_too() -> None:
    """`SyncFetcher` has the same two."""
    with SyncFetcher() as fetcher:
        assert fetcher.statistics().by_host == {}
        assert fetcher.reopen("example.org") is False
