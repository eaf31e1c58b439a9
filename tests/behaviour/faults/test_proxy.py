"""What happens on the way, one fault at a time: the right failure, and the pool serves on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import attrs
import httpx
import pytest

from asyncbatch import Fetcher, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.faults.lanes import fetcher_on
from tests.behaviour.faults.proxy import FaultProxy, Flow, Link, Opening, Stop
from tests.transports import settle
from tests.unit.lanes.conftest import AUTHORITY

pytestmark = pytest.mark.once

BODY = 5_000
IN_HEAD, IN_BODY = 20, 2_000

ONCE: dict[str, Any] = {"retry": None, "give_up_host_after": None}
SHORT, AMPLE = 0.1, httpx.Timeout(20)


@attrs.frozen
class Case:
    """What happens on the way, and the kinds of failure that it may be; none: a success."""

    link: Link
    kinds: tuple[str, ...] = ()
    path: str = "/"

    @property
    def timeout(self) -> float:
        """How long to wait: not long for what never comes."""
        return SHORT if "timeout" in self.kinds else 20


CASES = {
    "nothing": Case(Link()),
    "latency and jitter": Case(
        Link(request=Flow(latency=0.01, jitter=0.01), response=Flow(latency=0.01, jitter=0.01))
    ),
    "little bandwidth": Case(Link(response=Flow(bandwidth=200_000))),
    "too little bandwidth": Case(Link(response=Flow(bandwidth=10_000)), ("timeout",)),
    "a slow accept": Case(Link(accept_delay=0.02)),
    "a slower accept": Case(Link(accept_delay=0.3), ("timeout",)),
    "accepted and never answered": Case(Link(opening=Opening.SILENT), ("timeout",)),
    "reset at once": Case(Link(opening=Opening.RESET), ("connect", "protocol")),
    "an end that is not told": Case(
        Link(response=Flow(hides_end=True)), ("timeout",), path="/closing"
    ),
    **{
        f"{stop.value} at byte {after} of the {side}": Case(
            Link(**{side: Flow.stopping(stop, after)}),
            ("timeout",) if stop is Stop.VANISH else (kind,),
        )
        for stop in Stop
        for side, after, kind in (
            ("request", 0, "protocol"),
            ("request", 10, "protocol"),
            ("response", 0, "protocol"),
            ("response", IN_HEAD, "protocol"),
            ("response", IN_BODY, "truncated"),
        )
    },
}


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of a server that has nothing to do with its faults."""
    default = Reply(body=BODY)
    async with LoopbackServer(default=default) as server, FaultProxy(server.port) as proxy:
        server.on("/closing", Reply(body=BODY, framing="close"))
        yield proxy


@pytest.fixture
async def tls_proxy() -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of a server with TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        LoopbackServer(default=Reply(body=BODY), ssl_context=context) as server,
        FaultProxy(server.port) as proxy,
    ):
        yield proxy


async def heals(fetcher: Fetcher, proxy: FaultProxy, *, scheme: str = "http") -> bool:
    """Say whether requests on the same pool succeed as soon as the network is well again."""
    proxy.link = Link()
    request = Request(proxy.url(scheme=scheme), timeout=AMPLE)
    results = await fetcher.fetch_many([request] * 5)
    return [len(result.content) for result in results] == [BODY] * 5


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_on_the_way_is_the_right_kind_of_failure(
    proxy: FaultProxy, lane: str, name: str
) -> None:
    """In each lane, and the next requests on the same pool have no part in it."""
    case = CASES[name]
    proxy.link = case.link
    async with fetcher_on(lane, **ONCE, timeout=case.timeout) as fetcher:
        results = await fetcher.fetch_many([proxy.url(case.path)] * 3)

        if case.kinds:
            assert {str(result.kind) for result in results.failures} <= {*case.kinds}
            assert len(results.failures) == 3
        else:
            assert [len(result.content) for result in results.successes] == [BODY] * 3
        assert await heals(fetcher, proxy)


async def test_a_refused_connection_is_a_failure_to_connect(proxy: FaultProxy, lane: str) -> None:
    """And succeeds as soon as somebody listens again."""
    await proxy.refuse()
    async with fetcher_on(lane, **ONCE) as fetcher:
        results = await fetcher.fetch_many([proxy.url()] * 3)

        assert [failure.kind for failure in results.failures] == ["connect"] * 3
        proxy.listen()
        assert await heals(fetcher, proxy)


async def test_a_peer_that_is_gone_without_a_word_costs_one_timeout(
    proxy: FaultProxy, lane: str
) -> None:
    """Kept connections that lead nowhere are closed by it, and the retry takes a new one."""
    async with fetcher_on(lane, retry=Retry(attempts=2, backoff=0)) as fetcher:
        first = await fetcher.fetch(proxy.url())
        proxy.freeze()
        second = await fetcher.fetch(Request(proxy.url(), timeout=1.5))
        third = await fetcher.fetch(proxy.url())

        assert first.ok
        assert second.ok
        assert third.ok
        assert second.attempts == 2
        assert third.attempts == 1
        assert "Timeout" in type(second.history[0].error).__name__
    assert proxy.accepted == 2


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
async def test_connections_that_end_while_idle_cost_nothing(
    proxy: FaultProxy, lane: str, reset: bool
) -> None:
    """Requests that mean the same twice notice nothing of it."""
    async with fetcher_on(lane, **ONCE) as fetcher:
        for _ in range(5):
            results = await fetcher.fetch_many([proxy.url()] * 5)
            assert not results.failures
            proxy.drop(reset=reset)
            await settle()


TLS_CASES = {
    "an alert": Case(Link(opening=Opening.TLS_ALERT), ("tls",)),
    "a reset at once": Case(Link(opening=Opening.RESET), ("tls", "connect")),
    "a silent peer": Case(Link(opening=Opening.SILENT), ("timeout",)),
    **{
        f"{stop.value} at byte {after} of the {side}": Case(
            Link(**{side: Flow.stopping(stop, after)}),
            ("timeout",) if stop is Stop.VANISH else ("tls",),
        )
        for stop in Stop
        for side, after in (("request", 0), ("request", 50), ("response", 0), ("response", 50))
    },
}


@pytest.mark.parametrize("name", TLS_CASES)
async def test_a_fault_in_the_handshake_is_a_failure_of_tls(
    tls_proxy: FaultProxy, lane: str, name: str
) -> None:
    """Or a time-out, where nothing comes; and the next requests succeed."""
    case = TLS_CASES[name]
    tls_proxy.link = case.link
    async with fetcher_on(lane, **ONCE, connect_timeout=case.timeout) as fetcher:
        results = await fetcher.fetch_many([tls_proxy.url(scheme="https")] * 3)

        assert {str(result.kind) for result in results.failures} <= {*case.kinds}
        assert len(results.failures) == 3
        assert await heals(fetcher, tls_proxy, scheme="https")
