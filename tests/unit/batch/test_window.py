"""How far a batch reads ahead, and what it is good for."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Rate, Request
from asyncbatch._batch import _window
from asyncbatch._batch._window import MOST, MOST_BYTES, PER_HOST, Window, weight_of
from tests.simulation import Call, Simulation, new_hosts
from tests.transports import HeldTransport, run_virtually, settle

pytestmark = pytest.mark.once

SIZE = 1000


def calls(hosts: int, each: int, seconds: Callable[[int], float]) -> list[Call]:
    """Return what is asked of each host, one host after the other."""
    return [Call(host, seconds(host)) for host in range(hosts) for _ in range(each)]


@pytest.mark.parametrize(
    ("hosts", "each", "seconds"),
    [
        (100, 400, lambda _: 0.05),
        (20, 1500, lambda _: 0.05),
    ],
    ids=["100 of 400", "20 of 1,500"],
)
def test_sorted_by_host_takes_as_long_as_mixed(
    hosts: int, each: int, seconds: Callable[[int], float]
) -> None:
    """With so small a cap that it takes many hosts to keep the slots busy."""
    in_order = calls(hosts, each, seconds)
    mixed = random.Random(1).sample(in_order, len(in_order))
    concurrency = min(100, 4 * hosts // 2)

    def run(given: list[Call]) -> Simulation:
        return Simulation(given, concurrency=concurrency, hosts=new_hosts(per_host=4)).run()

    one, other = run(in_order), run(mixed)

    assert one.now <= 1.1 * other.now
    assert one.most_taken <= MOST
    assert one.most_in_flight == concurrency


def test_a_window_grows_by_hosts_up_to_a_bound() -> None:
    """Ten times its size for each, and never more than there is memory for."""
    window = Window(SIZE)

    assert window.widens(SIZE, 1)
    assert window.widens(PER_HOST * SIZE - 1, 1)
    assert not window.widens(PER_HOST * SIZE, 1)
    assert window.widens(PER_HOST * SIZE, 2)
    assert not window.widens(MOST, 1000)


def test_a_large_window_is_not_made_smaller() -> None:
    """Whatever bounds its growth."""
    window = Window(2 * MOST)

    assert window.widens(2 * MOST - 1, 5)
    assert not window.widens(2 * MOST, 5)


def test_one_host_does_not_make_code_of_the_callers_run_ahead() -> None:
    """Nothing says that it will ever come to another host."""
    window = Window(SIZE)

    assert not window.widens(SIZE, 1, is_at_hand=False)
    assert window.widens(SIZE, 2, is_at_hand=False)


def test_a_window_grows_up_to_so_many_bytes() -> None:
    """And again when these have been let go of."""
    window = Window(SIZE)
    weights = []
    while window.widens(SIZE + len(weights), 3):
        weights.append(window.hold(Request("http://a.test/", "POST", content=bytes(1024 * 1024))))

    assert len(weights) == MOST_BYTES // 1024**2
    window.let_go(weights.pop())
    assert window.widens(SIZE + len(weights), 3)


@pytest.mark.parametrize(
    ("item", "least", "most"),
    [
        ("http://a.test/" + "x" * 1000, 1000, 1100),
        (httpx.URL("http://a.test/"), 10, 100),
        (Request("http://a.test/"), 10, 100),
        (Request("http://a.test/", "POST", content=b"x" * 10_000), 10_000, 10_200),
        (Request("http://a.test/", "POST", content="x" * 10_000), 10_000, 10_200),
        (Request("http://a.test/", "POST", files={"f": memoryview(bytes(9000))}), 9000, 9300),
        (Request("http://a.test/", "POST", json={"a": ["x" * 1000] * 50}), 50_000, 52_000),
        (Request("http://a.test/", "POST", json=["x" * 10] * 100_000), 1_000_000, 2_000_000),
        (Request("http://a.test/", "POST", data={"a": "x" * 5000}), 5000, 5300),
        (Request("http://a.test/", "POST", files={"f": b"x" * 9000}), 9000, 9300),
        (Request("http://a.test/", "POST", content=iter([b"x"])), 10, 200),
        (httpx.Request("POST", "http://a.test/", content=b"x" * 4000), 4000, 4200),
        (Request.of(httpx.Request("POST", "http://a.test/", content=b"x" * 4000)), 4000, 4700),
        (object(), 0, 100),
    ],
    ids=[
        "text",
        "URL",
        "GET",
        "bytes",
        "str",
        "memoryview",
        "nested",
        "long",
        "form",
        "files",
        "iterator",
        "native",
        "of native",
        "nothing",
    ],
)
def test_a_request_weighs_about_its_url_and_its_body(item: object, least: int, most: int) -> None:
    """As far as can be told without making it, and never by reading it."""
    assert least <= weight_of(item) <= most


def test_what_refers_to_itself_has_a_weight() -> None:
    """It cannot be sent, but it may well be asked for."""
    loop: list[Any] = []
    loop.append(loop)

    assert weight_of(Request("http://a.test/", "POST", json=loop)) < 1000


# In a batch


class Server:
    """Answers after a time, and keeps count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.active = self.most = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.active += 1
        self.most = max(self.most, self.active)
        await anyio.sleep(self.seconds)
        self.active -= 1
        return httpx.Response(200, text=request.url.path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows be small."""
    monkeypatch.setattr("asyncbatch._api._setup.window_of", lambda _: 30)


def sorted_urls(hosts: int, each: int) -> list[str]:
    return [f"http://host{h}.test/{n}" for h in range(hosts) for n in range(each)]


def lazily(urls: list[str]) -> Iterator[str]:
    yield from urls


async def lazily_async(urls: list[str]) -> AsyncIterator[str]:
    for url in urls:
        yield url


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("form", "streams"), [(list, False), (list, True), (lazily, True), (lazily_async, False)]
)
def test_a_batch_in_the_order_of_its_hosts_keeps_its_slots_busy(
    form: Callable[[list[str]], Any], streams: bool, backend: str
) -> None:
    """Whatever its input is, and wherever its results go."""
    urls = sorted_urls(24, 30)
    server = Server(0.1)

    async def fetch() -> tuple[float, list[asyncbatch.Result]]:
        transport = httpx.MockTransport(server.answer)
        begun = anyio.current_time()
        async with Fetcher(transport=transport, concurrency=12, per_host=2) as fetcher:
            if streams:
                async with fetcher.stream(form(urls)) as stream:
                    results = [result async for result in stream]
            else:
                results = [*await fetcher.fetch_many(form(urls))]
        return anyio.current_time() - begun, results

    took, results = run_virtually(backend, fetch)

    assert len(results) == len(urls)
    assert all(result.ok for result in results)
    assert server.most == 12
    # At the beginning code of the caller's is read by hosts.
    assert took <= 1.1 * len(urls) / 12 * server.seconds + 3 * server.seconds


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", [lazily, lazily_async])
async def test_code_of_the_callers_is_read_by_hosts(form: Callable[[list[str]], Any]) -> None:
    """No further than there is to be gained."""
    urls = sorted_urls(1, 5000)
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=4, per_host=1)
    async with fetcher, fetcher.stream(form(urls)):
        await transport.wait_started(1)
        await settle(200)

        assert fetcher.statistics().waiting == 29


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", [list, lazily, lazily_async])
async def test_an_endless_few_hosts_are_read_up_to_a_bound(form: Callable[[Any], Any]) -> None:
    """Ten windows for each."""
    urls = sorted_urls(2, 5) * 2000
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=4, per_host=1)
    async with fetcher, fetcher.stream(form(urls)):
        await transport.wait_started(2)
        await settle(1000)

        assert fetcher.statistics().waiting == 2 * PER_HOST * 30 - 2


@pytest.mark.usefixtures("small")
async def test_nothing_is_read_on_where_the_rate_over_all_holds_everything_back() -> None:
    """It would start no earlier for that."""
    transport = HeldTransport()
    urls = sorted_urls(50, 50)
    fetcher = Fetcher(transport=transport, concurrency=40, total_rate=Rate(1, per=1000))
    async with fetcher, fetcher.stream(urls):
        await transport.wait_started(1)
        await settle(200)

        assert fetcher.statistics().waiting == 29


@pytest.mark.usefixtures("small")
async def test_a_consumer_that_is_behind_is_not_read_ahead_of() -> None:
    """Results that wait for him count first."""
    transport = HeldTransport()
    transport.let_go(10_000)
    fetcher = Fetcher(transport=transport, concurrency=4, per_host=1)
    async with fetcher, fetcher.stream(sorted_urls(20, 1000), backlog=6) as results:
        await settle(500)

        assert fetcher.statistics().waiting <= 2 * PER_HOST * 30
        assert (await anext(results)).ok


@pytest.mark.usefixtures("small")
async def test_bytes_bound_what_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what has ended makes room."""
    monkeypatch.setattr(_window, "MOST_BYTES", 10_000)
    requests = [
        Request(f"http://host{h}.test/{n}", "PUT", content=bytes(1000))
        for h in range(20)
        for n in range(50)
    ]
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=4, per_host=1)
    async with fetcher, fetcher.stream(requests, backlog=5000) as results:
        await transport.wait_started(1)
        await settle(200)
        assert fetcher.statistics().waiting == 29 + 10

        transport.let_go(10_000)
        seen: list[asyncbatch.Result] = [result async for result in results]

    assert len(seen) == len(requests)
    assert all(result.ok for result in seen)
