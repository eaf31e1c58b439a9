"""A redirect that a relay follows, against the same that a task follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._engine import NEVER, Exchange, ExchangeLimits, Origin
from asyncbatch._lanes._redirects import add_hops
from asyncbatch._lanes._relay import Relay
from asyncbatch._values._outcome import Outcome
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.differential.observation import of_arrival, of_response
from tests.unit.lanes.test_relay import begun_by
from tests.virtual_time import virtual_time

pytestmark = pytest.mark.asyncio_only


@attrs.frozen
class Step:
    """One redirect: its status, where it leads, and what comes with it."""

    status: int = 302
    host: int = 1
    location: str = "{path}"
    body: bytes = b""
    cookie: str | None = None
    coded: bool = False
    closes: bool = False

    def reply(self, origin: str, path: str) -> Reply:
        """Return the redirect that leads to `path`."""
        location = self.location.format(origin=origin, path=path)
        reply = Reply(self.status, self.body, headers={"location": location})
        if self.cookie is not None:
            reply = reply.with_header("set-cookie", self.cookie)
        if self.closes:
            reply = reply.with_header("connection", "close")
        return reply.gzipped() if self.coded else reply


STEPS = st.builds(
    Step,
    status=st.sampled_from([301, 302, 302, 303, 307, 308]),
    host=st.sampled_from([1, 1, 2, 3]),
    location=st.sampled_from(
        [
            "{path}",
            "{origin}{path}",
            "{origin}{path}?a=b",
            "{path}#f",
            "{path}?é",
            "{origin}{path} ",
        ]
    ),
    body=st.sampled_from([b"", b"moved", b"x" * 70_000]),
    cookie=st.sampled_from([None, None, "a=1", "b=2; path=/", "c=3; domain=example.com"]),
    coded=st.booleans(),
    closes=st.sampled_from([False, False, False, True]),
)
REQUESTS = st.sampled_from(
    [
        *({}, {}, {}, {"headers": {"authorization": "Bearer t", "x-own": "1"}}),
        *({"method": "POST", "json": [1]}, {"method": "HEAD"}, {"auth": ("me", "secret")}),
        *({"method": "PUT", "content": b"abc"}, {"cookies": {"mine": "1"}}, {"tag": 7}),
    ]
)
FETCHERS = st.sampled_from(
    [
        *({}, {}, {"headers": {"x-all": "1"}}, {"auth": ("me", "secret")}),
        *({"cookies": {"own": "1"}}, {"max_redirects": 2}, {"follow_redirects": False}),
        *({"max_body": 1000}, {"headers": {"authorization": "Bearer t"}}),
    ]
)


THERE = Reply(body=b"there")


@attrs.frozen
class Chain:
    """A request, the redirects that it meets, and the response at their end."""

    own: dict[str, Any]
    steps: tuple[Step, ...]
    last: Reply = THERE


def planned(server: LoopbackServer, chains: list[Chain]) -> list[Any]:
    """Have the server answer as the chains say; return the requests."""
    requests: list[Any] = []
    for number, chain in enumerate(chains):
        url, host = server.url(f"/{number}/0"), 1
        requests.append(Request(url, **chain.own) if chain.own else url)
        for at, step in enumerate(chain.steps):
            # Only an absolute location leads to another host.
            host = step.host if "{origin}" in step.location else host
            origin = server.url("/", host=host).removesuffix("/")
            server.on(f"/{number}/{at}", step.reply(origin, f"/{number}/{at + 1}"))
        server.on(f"/{number}/{len(chain.steps)}", chain.last)
    return requests


@attrs.frozen
class Course:
    """What can be seen of a batch: its results, what the server received, what tasks began."""

    results: list[Any]
    received: list[Any]
    begun: list[str]


async def fetched(server: LoopbackServer, requests: list[Any], options: dict[str, Any]) -> Course:
    """Fetch all requests, one after the other."""
    before = len(server.requests)
    async with Fetcher(concurrency=1, retry=None, trust_env=False, **options) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(requests)
    received = [of_arrival(request) for request in server.requests[before:]]
    return Course([seen(result) for result in results], received, begun)


LAST = st.sampled_from([THERE, Reply(404, b"nothing"), Reply(body=b"x" * 2000)])
CHAINS = st.builds(Chain, REQUESTS, st.lists(STEPS, max_size=4).map(tuple), LAST)


def seen(result: asyncbatch.Result) -> dict[str, Any]:
    """Return all of a result but its times, and whether its connections were new."""
    return {
        "kind": result.kind,
        "error": (type(result.error), str(result.error)),
        "url": result.url,
        "status": result.status_code,
        "content": result.content,
        "attempts": result.attempts,
        # On a busy machine, a connection may be idle for too long between two requests.
        "phases": [name for name, _ in result.timing.phases() if name != "connect"],
        "response": None if result.response is None else of_response(result.response),
    }


@settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(chains=st.lists(CHAINS, min_size=1, max_size=4), options=FETCHERS)
@example([Chain({}, (Step(), Step(location="{origin}{path}", host=2)))], {})
@example([Chain({}, (Step(cookie="a=1"), Step(body=b"x" * 70_000)))] * 2, {"max_body": 1000})
@example([Chain({"method": "POST", "json": [1]}, (Step(status=307), Step(status=303)))], {})
@example([Chain({}, (Step(), Step(location="{path}?é"), Step()))], {})
def run(chains: list[Chain], options: dict[str, Any]) -> None:
    async def compare() -> None:
        async with LoopbackServer(hosts=3) as server:
            requests = planned(server, chains)
            by_relay = await fetched(server, requests, options)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Relay, "_redirect", lambda *_: False)
                by_task = await fetched(server, requests, options)

        assert by_relay.results == by_task.results
        assert by_relay.received == by_task.received
        counts.append(len(by_task.begun) - len(by_relay.begun))

    asyncio.run(compare())


counts: list[int] = []


def test_a_relay_follows_redirects_as_a_task_does() -> None:
    """In results, histories and bytes received, whatever the chains are."""
    counts.clear()

    run()

    assert max(counts) > 0


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that answers on two hosts."""
    async with LoopbackServer(hosts=2) as server:
        yield server


async def test_a_relay_goes_on_behind_a_redirect(server: LoopbackServer) -> None:
    """A task begins the first request, and none of those behind it."""
    server.on("/a", Reply.redirect("/b"))
    server.on("/b", Reply.redirect(server.url("/c", host=2)))
    server.on("/c", Reply(body=b"c"))
    urls = [server.url(f"/a?{number}") for number in range(20)]

    async with Fetcher(concurrency=1) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(urls)

    assert begun == ["/a?0"]
    assert {result.url for result in results} == {server.url("/c", host=2)}
    assert [str(result.unwrap().history[0].url) for result in results] == urls
    assert {len(result.unwrap().history) for result in results} == {2}


@pytest.mark.any_loop
async def test_the_hops_of_a_relay_have_one_time_limit(server: LoopbackServer) -> None:
    """It is that of the attempt; its time and its phases are those of all hops."""
    server.on("/a", Reply.redirect("/b").delayed(20))
    server.on("/b", Reply.redirect("/c").delayed(20))
    server.on("/c", Reply().delayed(3000))
    server.on("/d", Reply(body=b"d"))

    with virtual_time():
        async with Fetcher(concurrency=1, retry=None, timeout=60) as fetcher:
            cut, whole = await fetcher.fetch_many([server.url("/a"), server.url("/d")])

    assert cut.kind is FailureKind.timeout
    assert cut.elapsed == pytest.approx(60, abs=5)
    assert cut.timing.wait is not None
    assert cut.timing.wait > 40
    assert whole.ok
    assert whole.elapsed < 5


async def test_a_redirect_in_a_relay_is_logged_as_by_httpx(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With a line for each hop."""
    server.on("/a", Reply.redirect("/b"))

    with caplog.at_level("INFO", logger="httpx"):
        async with Fetcher(concurrency=1) as fetcher:
            await fetcher.fetch_many([server.url("/a")])

    lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert [line.split()[3] for line in lines] == [server.url("/a"), server.url("/b")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"kind": FailureKind.proxy, "of_proxy": True, "undone": True},
            {"kind": FailureKind.proxy, "undone": False, "heard": None},
        ),
        (
            {"kind": FailureKind.invalid_request},
            {"kind": FailureKind.redirect, "heard": True, "target_silent": False},
        ),
        (
            {"kind": FailureKind.connect, "connect_failed": True},
            {"connect_failed": False, "heard": True, "target_silent": True},
        ),
    ],
)
async def test_a_failure_behind_a_redirect_is_that_of_a_chain(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The first host has answered, and may have done what it was asked for."""
    future = asyncio.get_running_loop().create_future()
    origin = Origin(False, "a.test", 80, None, None)
    exchange = Exchange(future, origin, b"GET", b"", None, ExchangeLimits(), NEVER, False, 0.0)
    outcome = Outcome(error=ValueError("no"), **given)

    add_hops(outcome, [], exchange)

    assert {name: getattr(outcome, name) for name in expected} == expected
