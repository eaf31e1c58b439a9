"""Servers that restart, die or hold requests back, in the middle of a batch."""

from __future__ import annotations

from collections import Counter
from time import monotonic

import anyio
import pytest

from asyncbatch import Fetcher, Request, Retry
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.behaviour.faults.lanes import fetcher_on
from tests.behaviour.faults.proxy import FaultProxy, Link, Opening

pytestmark = pytest.mark.once

RESTARTS = 4
TIMEOUTS = 500


async def test_idempotent_requests_survive_restarts_and_others_are_sent_once(lane: str) -> None:
    """GET and DELETE all succeed; of the POSTs none arrives twice, whatever becomes of it."""
    arrived: Counter[str] = Counter()
    seen = 0

    def answer(request: RecordedRequest) -> Reply:
        nonlocal seen
        arrived[f"{request.method} {request.path}"] += 1
        seen += 1
        return Reply(body="ok").delayed(0.002)

    async with LoopbackServer(default=answer) as server:
        proxy = FaultProxy(server.port)
        async with proxy, anyio.create_task_group() as tasks:

            async def restart() -> None:
                for turn in range(1, RESTARTS + 1):
                    while seen < turn * 25:  # noqa: ASYNC110  # the server tells nobody
                        await anyio.sleep(0.001)
                    await proxy.refuse()
                    proxy.drop(reset=bool(turn % 2))
                    await anyio.sleep(0.01)
                    proxy.listen()

            tasks.start_soon(restart)
            methods = ("GET", "DELETE", "POST")
            requests = [Request(proxy.url(f"/{n}"), methods[n % 3]) for n in range(150)]
            retry = Retry(attempts=10, backoff=0.02, budget=None)
            async with fetcher_on(
                lane, concurrency=10, retry=retry, give_up_host_after=None
            ) as fetcher:
                results = await fetcher.fetch_many(requests)
            tasks.cancel_scope.cancel()

    assert all(result.ok for n, result in enumerate(results) if n % 3 != 2)
    posts = [count for name, count in arrived.items() if name.startswith("POST")]
    assert max(posts) == 1
    assert len(results) == 150


async def test_restarts_cost_no_request_by_default(lane: str) -> None:
    """Each is short and costs a request one of its three tries at most; there are two."""
    seen = 0

    def answer(request: RecordedRequest) -> Reply:
        nonlocal seen
        seen += 1
        return Reply(body="ok").delayed(0.002)

    async with LoopbackServer(default=answer) as server:
        proxy = FaultProxy(server.port)
        async with proxy, anyio.create_task_group() as tasks:

            async def restart() -> None:
                for turn in (1, 2):
                    while seen < turn * 100:  # noqa: ASYNC110  # the server tells nobody
                        await anyio.sleep(0.001)
                    await proxy.refuse()
                    proxy.drop(reset=bool(turn % 2))
                    await anyio.sleep(0.05)
                    proxy.listen()

            tasks.start_soon(restart)
            async with fetcher_on(lane) as fetcher:
                results = await fetcher.fetch_many([proxy.url(f"/{n}") for n in range(300)])
            tasks.cancel_scope.cancel()

    assert not results.failures


async def test_a_pool_is_usable_at_once_after_many_timeouts(
    server: LoopbackServer, way: tuple[str, str]
) -> None:
    """Nothing of them is left in it: no connection, no place, no waiter."""
    server.on("/hang", Reply().hang())
    count = TIMEOUTS if way[1] == "direct" else TIMEOUTS // 5
    async with fetcher_on(
        way[1], timeout=0.01, retry=None, give_up_host_after=None, concurrency=100
    ) as fetcher:
        cut = await fetcher.fetch_many([server.url("/hang")] * count)
        healthy = [Request(server.url(f"/{n}"), timeout=30) for n in range(100)]
        results = await fetcher.fetch_many(healthy)

        assert {str(failure.kind) for failure in cut.failures} == {"timeout"}
        assert len(cut.failures) == count
        assert not results.failures
        assert fetcher.statistics().in_flight == 0
    await server.wait_until(lambda seen: seen.open_connections == 0)


def have_been_left_alone(fetcher: Fetcher) -> None:
    """Let the time be over for which hosts that were given up are left alone."""
    # Not by waiting for it: of a time that is short enough, a busy machine is too slow for.
    shared = fetcher._shared
    assert shared is not None
    for host in shared.hosts.busy_or_closed(monotonic()):
        health = host._health
        assert health is not None
        health._down_until = 0.0


async def test_a_host_that_dies_is_spared_and_comes_back(
    lane: str, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some failed connections none is tried, then one; and with that all go again."""
    monkeypatch.setattr("asyncbatch._policies._health.GIVE_UP_TIME", 0.0)
    async with (
        FaultProxy(server.port, link=Link(opening=Opening.TLS_ALERT)) as proxy,
        fetcher_on(lane, give_up_host_after=5, concurrency=1, retry=None) as fetcher,
    ):
        url = proxy.url(scheme="https")
        dead = await fetcher.fetch_many([url] * 50)
        tried = proxy.accepted
        other = await fetcher.fetch(server.url())
        have_been_left_alone(fetcher)
        probed = await fetcher.fetch_many([url] * 20)
        probes = proxy.accepted - tried

        assert [str(result.kind) for result in dead] == ["tls"] * 5 + ["host_down"] * 45
        assert tried == 5
        assert other.ok
        assert Counter(str(result.kind) for result in probed) == {"tls": 1, "host_down": 19}
        assert probes == 1


async def test_a_host_that_is_back_is_found_by_the_probe(
    lane: str, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request goes ahead, and what it succeeds in the others do too."""
    monkeypatch.setattr("asyncbatch._policies._health.GIVE_UP_TIME", 0.0)
    async with (
        FaultProxy(server.port) as proxy,
        fetcher_on(lane, give_up_host_after=3, concurrency=1, retry=None) as fetcher,
    ):
        await proxy.refuse()
        down = await fetcher.fetch_many([proxy.url()] * 10)
        proxy.listen()
        have_been_left_alone(fetcher)
        back = await fetcher.fetch_many([proxy.url()] * 10)

    assert [str(result.kind) for result in down] == ["connect"] * 3 + ["host_down"] * 7
    assert all(result.ok for result in back)
