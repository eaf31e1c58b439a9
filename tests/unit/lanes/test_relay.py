"""What a relay does in callbacks, and that nobody can tell it from a task that does it."""

from __future__ import annotations

import contextvars
import gc
import gzip
import math
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, HostLimits, Request, Retry
from asyncbatch._batch._time_slice import TimeSlice
from asyncbatch._engine import Exchange
from asyncbatch._lanes import Relay, ResponseBuilder
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder
from asyncbatch._values._timing import Course
from asyncbatch.testing import LoopbackServer, Raw, RecordedRequest, Reply
from tests.raw_server import Peer, serve
from tests.virtual_time import virtual_time

MANY = 40


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that answers on three hosts."""
    async with LoopbackServer(hosts=3) as server:
        yield server


def begun_by(fetcher: Fetcher) -> list[str]:
    """Return the list to which each exchange adds its target that a task begins from now on."""
    client: Any = fetcher.client
    engine = client.own_transport.engine
    begin: Callable[..., Any] = engine.begin
    begin_again: Callable[..., bool] = engine.begin_again
    targets: list[str] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        exchange = begin(*args, **kwargs)
        targets.append(exchange.payload.split()[1].decode())
        return exchange

    def noting_again(exchange: Any, *args: Any) -> bool:
        if not begin_again(exchange, *args):
            return False
        targets.append(exchange.payload.split()[1].decode())
        return True

    engine.begin, engine.begin_again = noting, noting_again
    return targets


def echo(request: RecordedRequest) -> Reply:
    """Answer with the target."""
    return Reply(body=request.target.encode())


async def requests_at(server: LoopbackServer, count: int) -> None:
    """Wait until the server has had so many requests."""
    while len(server.requests) < count:  # noqa: ASYNC110  # the server tells nobody
        await anyio.sleep(0.001)


def resting(fetcher: Fetcher) -> list[Relay]:
    """Return the relays that have ended and may be used again."""
    shared: Any = fetcher._shared
    relays = shared.attempter.lane.relays(shared.attempter.limits)
    assert relays is not None
    return list(relays.resting)


def fields_of(obj: Any, *without: str) -> dict[str, Any]:
    """Return the values of the slots of an object."""
    slots = set(type(obj).__slots__).difference(without)
    return {name: getattr(obj, name) for name in slots}


async def test_a_relay_that_has_ended_serves_the_next_batch(server: LoopbackServer) -> None:
    """With its exchange, if it is on a loop of asyncio; each result is that of its request."""
    server.on("/e", echo)
    urls = [server.url(f"/e?{number}") for number in range(MANY)]

    async with Fetcher(concurrency=10, retry=None) as fetcher:
        await fetcher.fetch_many(urls)
        before = resting(fetcher)
        results = await fetcher.fetch_many(reversed(urls))
        after = resting(fetcher)

    assert before
    assert set(before) <= set(after)
    assert len(after) <= 10
    assert [result.text for result in results] == [f"/e?{number}" for number in range(MANY)][::-1]


async def test_a_resting_relay_keeps_nothing_of_its_last_request(server: LoopbackServer) -> None:
    """Neither the request nor the response, nor the connection, nor the worker with its batch."""
    async with Fetcher(concurrency=3, retry=None) as fetcher:
        await fetcher.fetch_many([server.url()] * MANY)
        relays = resting(fetcher)
        exchanges: list[Any] = [relay._resting for relay in relays]

        assert relays
        assert not any(hasattr(relay, "owner") for relay in relays)
        assert {relay.deadline_at for relay in relays} == {math.inf}
        for exchange in exchanges:
            assert (exchange.connection, exchange.head, exchange.trailers) == (None, None, ())
            assert (exchange.payload, exchange.content) == (b"", b"")

    assert all(relay._resting is None for relay in relays)


async def test_results_over_closed_connections_share_what_they_are_built_from(
    server: LoopbackServer,
) -> None:
    """They keep no connection, no more builders than relays, and yet each its own request."""

    def echo_and_close(request: RecordedRequest) -> Reply:
        return Reply(body=f"{request.target:>8}".encode(), close=True)

    server.on("/e", echo_and_close)
    urls = [server.url(f"/e?{number}") for number in range(MANY)]

    async with Fetcher(concurrency=4, retry=None) as fetcher:
        results = await fetcher.fetch_many(urls)

    referents = [one for result in results for one in gc.get_referents(result)]
    builders = {id(one): one for one in referents if isinstance(one, ResponseBuilder)}
    assert 1 <= len(builders) <= 4
    assert {builder.connection for builder in builders.values()} == {None}
    for number, (url, result) in enumerate(zip(urls, results, strict=True)):
        assert result.text.strip() == f"/e?{number}"
        assert result.response.request.url == url
        stream = result.response.extensions["network_stream"]
        assert stream.get_extra_info("server_addr") is None


@pytest.mark.parametrize("path", ["/e", "/late", "/trailers", "/gzip", "/moved", "/end"])
async def test_a_relay_begins_again_as_a_new_one_begins(server: LoopbackServer, path: str) -> None:
    """Whatever it has received before, each field of both and of their exchanges is the same."""
    server.on("/e", echo)
    server.on("/late", Reply(body=b"late", delay=0.01))
    server.on("/moved", Reply(302, headers={"location": "/e"}))
    server.on("/end", Reply(close=True))
    trailers = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n"
    )
    server.on("/trailers", Raw(trailers))
    server.on("/gzip", Reply(headers={"content-encoding": "gzip"}, body=gzip.compress(b"a" * 99)))
    server.on("/hold", Reply(delay=30.0))

    async with Fetcher(concurrency=2, retry=None) as fetcher:
        await fetcher.fetch_many([server.url(path), server.url("/e")] * 5)
        shared: Any = fetcher._shared
        lane, limits = shared.attempter.lane, shared.attempter.limits
        relays = lane.relays(limits)
        encoded = lane.encode(server.url("/hold"), limits)
        pair = []
        owner: Any = object()
        for relay in (*resting(fetcher)[:1], relays.new(owner)):
            relay.owner = owner
            assert relay.begin(encoded, True)
            pair.append(relay)
        of_relays = [fields_of(relay, "_exchange", "_resting") for relay in pair]
        times = {"begun_at", "send_at", "sent_at", "deadline", "dns", "connect", "tls"}
        own = {"future", "follow", "connection", "order", "dial", "expires", "is_reused"}
        of_exchanges = [fields_of(relay._exchange, *own, *times) for relay in pair]
        for relay in pair:
            relay.abandon()

    assert len(pair) == 2
    assert of_relays[0] == of_relays[1]
    assert of_exchanges[0] == of_exchanges[1]


async def test_the_course_of_a_relay_is_that_of_its_exchange(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay reads the times itself, in place of a call of `course_of`."""
    server.on("/e", echo)
    server.on("/gzip", Reply(headers={"content-encoding": "gzip"}, body=gzip.compress(b"a" * 99)))
    courses: list[Course] = []
    follow = Relay._follow

    def watch(relay: Relay, exchange: Exchange, now: float | None = None) -> Exchange | None:
        courses.append(course_of(exchange))
        return follow(relay, exchange, now)

    monkeypatch.setattr(Relay, "_follow", watch)
    async with Fetcher(concurrency=2, retry=None) as fetcher:
        results = await fetcher.fetch_many([server.url("/e"), server.url("/gzip")] * 5)

    assert len(courses) == 10
    assert sorted(courses) == sorted(result._network for result in results)


@pytest.mark.parametrize("tagged", [False, True])
async def test_a_task_begins_one_request_and_the_relay_all_others(
    server: LoopbackServer, tagged: bool
) -> None:
    """As long as each is a URL, perhaps with a tag."""
    server.on("/e", echo)
    urls = [server.url(f"/e?{number}") for number in range(MANY)]
    requests: list[Any] = [Request(url, tag=object()) if tagged else url for url in urls]

    async with Fetcher(concurrency=1) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(requests)

    # And the second if the first was late, as on a busy machine.
    assert begun in (["/e?0"], ["/e?0", "/e?1"])
    assert [result.text for result in results] == [f"/e?{number}" for number in range(MANY)]
    assert [str(result.url) for result in results] == urls
    assert [str(result.unwrap().request.url) for result in results] == urls
    if tagged:
        assert all(
            result.request is request for result, request in zip(results, requests, strict=True)
        )
    assert {result.attempts for result in results} == {1}
    assert server.statistics().connections == 1


def of_kinds(url: str) -> Request:
    """Return a request that is put together, of another kind for each number in the query."""
    number = int(url.partition("?")[2])
    kinds: list[dict[str, Any]] = [
        {"headers": {"x-own": "1"}},
        {"method": "POST", "json": {"a": number}},
        {"method": "PUT", "content": b"x" * number},
        {"method": "DELETE", "tag": number},
        {"method": "HEAD"},
        {"params": {"a": "b"}},
        {"auth": ("user", "password")},
        {"method": "POST", "data": {"a": "b"}, "retry": None},
        {"headers": {"host": "other.test"}},
        {"cookies": {"a": "b"}},
        {},
    ]
    return Request(url, **kinds[number % len(kinds)])


async def test_requests_of_all_kinds_follow_one_another_in_a_relay(server: LoopbackServer) -> None:
    """With methods, fields and bodies of their own; each is sent as it would be alone."""

    def described(request: RecordedRequest) -> Reply:
        shown = (request.method, request.target, dict(request.headers), request.body)
        return Reply(body=repr(shown).encode())

    server.on("/e", described)
    requests = [of_kinds(server.url(f"/e?{number}")) for number in range(2 * MANY)]

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        alone = [await fetcher.fetch(request) for request in requests]
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(requests)

    assert begun in (["/e?0"], ["/e?0", "/e?1"])  # as above
    assert [result.content for result in results] == [result.content for result in alone]
    for result, request in zip(results, requests, strict=True):
        assert result.unwrap().request.method == request.method
        assert result.request is request


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"method": "POST", "content": b"x" * 99_999}, None),
        ({"follow_redirects": False}, None),
        ({"timeout": 5}, None),
        ({"deadline": 5}, None),
        ({"max_body": 1}, FailureKind.too_large),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
async def test_what_has_limits_of_its_own_or_a_long_body_is_a_tasks(
    server: LoopbackServer, options: dict[str, Any], kind: FailureKind | None
) -> None:
    """A relay knows one set of limits, and writes each request at once."""
    server.on("/e", echo)
    requests = [server.url("/e?1"), Request(server.url("/e?2"), **options), server.url("/e?3")]

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(requests)

    assert begun == ["/e?1", "/e?2", "/e?3"]
    assert [result.kind for result in results] == [None, kind, None]


async def test_a_deadline_holds_for_each_request_of_a_relay(server: LoopbackServer) -> None:
    """And is the reason of what it cuts off, where the time limit would have been later."""
    server.on("/hang", Reply().hang())
    urls = [server.url(f"/e?{number}") for number in range(MANY)]
    server.on("/e", echo)

    async with Fetcher(concurrency=1, deadline=0.4, timeout=20, retry=None) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many([*urls, server.url("/hang"), *urls])

    # The one that was cut off ends its relay, and a task begins the next.
    assert begun == ["/e?0", "/e?0"]
    cut = results[MANY]
    assert cut.kind is FailureKind.timeout
    assert isinstance(cut.error, asyncbatch.DeadlineExceeded)
    assert "0.4" in str(cut.error)
    assert cut.elapsed < 10
    assert [result for result in results if not result.ok] == [cut]


async def test_a_time_limit_before_the_deadline_is_its_own_reason(server: LoopbackServer) -> None:
    """The attempt's limit cuts it off, and it is tried again within the deadline."""
    server.on("/hang", Reply().hang())

    retry = Retry(attempts=2, backoff=0.001, pause_hosts=False)
    async with Fetcher(concurrency=1, deadline=20, timeout=0.2, retry=retry) as fetcher:
        (result,) = await fetcher.fetch_many([server.url("/hang")])

    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert result.attempts == 2


async def test_each_is_tried_again_by_its_own_policy(server: LoopbackServer) -> None:
    """Whatever the one before it in the relay was: by its method, and by what it says itself."""
    server.on("/e", echo)
    server.on("/lost", Reply(body=99).cut(body=9), Reply(body=b"x"))
    server.on("/busy", Reply(500), Reply(body=b"x"))
    lost, busy = server.url("/lost"), server.url("/busy")
    requests = [
        server.url("/e?1"),
        Request(lost + "?2", "POST", json=1),
        lost + "?3",
        server.url("/e?4"),
        Request(busy + "?5", retry=None),
        busy + "?6",
        Request(server.url("/e?7"), "POST", retry=None),
        busy + "?8",
    ]

    retry = Retry(attempts=2, backoff=0.001, statuses={500}, budget=None)
    async with Fetcher(concurrency=1, retry=retry) as fetcher:
        results = await fetcher.fetch_many(requests)

    assert [result.attempts for result in results] == [1, 1, 2, 1, 1, 2, 1, 2]
    assert [result.ok for result in results] == [True, False, True, True, False, True, True, True]


async def test_parameters_that_a_client_is_given_later_are_sent(server: LoopbackServer) -> None:
    """From the next request on, though its URL is like those before."""
    server.on("/e", echo)

    async with Fetcher(concurrency=1) as fetcher:

        def requests() -> Iterator[str]:
            for number in range(4):
                fetcher.client.params = {"k": "v"} if number > 1 else {}
                yield server.url(f"/e?{number}=")

        results = await fetcher.fetch_many(requests())

    assert [result.text for result in results] == ["/e?0=", "/e?1=", "/e?2=&k=v", "/e?3=&k=v"]


@pytest.mark.parametrize("concurrency", [1, 7])
async def test_all_kinds_of_requests_and_answers_may_follow_one_another(
    server: LoopbackServer, concurrency: int
) -> None:
    """Each gets its own result, whatever the one before and the one behind it are."""
    server.on("/e", echo)
    server.on("/404", Reply(404))
    server.on("/cookie", Reply(body="c").with_header("set-cookie", "a=1; path=/cookie"))
    server.on("/go", Reply.redirect("/e?went"))
    server.on("/cut", Reply(body=99).cut(body=9))
    server.on("/close", Reply(body="x").with_header("connection", "close"))
    kinds: list[tuple[Any, object]] = [
        (server.url("/e?1"), "/e?1"),
        (server.url("/404"), FailureKind.status),
        (server.url("/e?2", host=2), "/e?2"),
        ("no url", FailureKind.invalid_request),
        (Request(server.url("/e?3"), headers={"x": "y"}), "/e?3"),
        (server.url("/cookie"), "c"),
        (server.url("/go"), "/e?went"),
        (httpx.URL(server.url("/e?4")), "/e?4"),
        (server.url("/close"), "x"),
        (server.url("/e?%41", host=3), "/e?%41"),
        (server.url("/cut"), FailureKind.truncated),
        (server.url("/e?ä"), "/e?%C3%A4"),
    ]
    asked = [kinds[(number * 5) % len(kinds)] for number in range(10 * len(kinds))]

    async with Fetcher(concurrency=concurrency, retry=None) as fetcher:
        results = await fetcher.fetch_many(item for item, _ in asked)

    got = [result.text if result.ok else result.kind for result in results]
    assert got == [expected for _, expected in asked]


async def test_the_input_is_read_in_the_context_of_whoever_gave_it(server: LoopbackServer) -> None:
    """A generator sees its caller's variables, though callbacks of the event loop read it."""
    server.on("/e", echo)
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def urls() -> Iterator[str]:
        for number in range(MANY):
            seen.append(variable.get())
            yield server.url(f"/e?{number}")

    async with Fetcher(concurrency=2) as fetcher:
        await fetcher.fetch_many([server.url("/e")] * 4)  # connections of another context
        variable.set("set")
        results = await fetcher.fetch_many(urls())

    assert len(results.successes) == MANY
    assert set(seen) == {"set"}


class Stop(BaseException):
    """No `Exception`, like the end of a program."""


async def test_what_the_input_raises_inside_a_callback_ends_the_batch(
    server: LoopbackServer,
) -> None:
    """The fetcher stays whole."""
    server.on("/e", echo)

    def urls() -> Iterator[str]:
        for number in range(MANY):
            yield server.url(f"/e?{number}")
        raise Stop

    async with Fetcher(concurrency=3) as fetcher:
        with anyio.fail_after(100), pytest.raises(Stop):
            await fetcher.fetch_many(urls())
        again = await fetcher.fetch_many([server.url("/e")] * MANY)

    assert len(again.successes) == MANY


async def test_a_relay_gives_its_permit_to_another_batch(server: LoopbackServer) -> None:
    """A small batch does not wait for the end of a large one that holds all permits."""
    server.on("/e", echo)
    order: list[str] = []

    async with Fetcher(concurrency=1) as fetcher, anyio.create_task_group() as tasks:

        async def fetch(name: str, count: int) -> None:
            assert len((await fetcher.fetch_many([server.url("/e")] * count)).successes) == count
            order.append(name)

        tasks.start_soon(fetch, "large", 500)
        await requests_at(server, 1)
        tasks.start_soon(fetch, "small", 3)

    assert order == ["small", "large"]


@pytest.mark.any_loop
@pytest.mark.asyncio_only
async def test_a_pause_of_a_host_holds_its_relays(server: LoopbackServer) -> None:
    """What is read then waits; other hosts go on."""
    answers = iter([Reply(429).with_header("retry-after", "20")])
    server.on("/e", lambda request: next(answers, None) or echo(request))
    server.on("/other", echo)
    urls = [server.url("/e")] * 9 + [server.url("/other", host=2)] * 9

    with virtual_time():
        async with Fetcher(concurrency=2) as fetcher:
            results = await fetcher.fetch_many(urls)

    assert len(results.successes) == len(urls)
    # Two are sent at once, and either may be the first that the server reads.
    [refused] = [result for result in results if result.attempts == 2]
    assert refused.timing.throttled >= 19
    assert max(result.elapsed for result in results[9:]) < 10


async def test_a_body_over_the_limit_is_no_success_in_a_relay(server: LoopbackServer) -> None:
    """The limit is for what a body is, not only for what its head says."""
    server.on("/small", Reply(body=b"x" * 10))
    server.on("/large", Reply(body=b"x" * 11, framing="chunked"))

    async with Fetcher(concurrency=1, max_body=10, retry=None) as fetcher:
        results = await fetcher.fetch_many(map(server.url, ["/small", "/large", "/small"]))

    kinds = [None if result.ok else result.kind for result in results]
    assert kinds == [None, FailureKind.too_large, None]


async def test_coded_bodies_are_decoded_on_the_way(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones without waking the task, large ones and broken ones with it."""
    monkeypatch.setattr(TimeSlice, "is_over", False)
    server.on("/small", Reply(body=b"s" * 1000).gzipped())
    server.on("/empty", Reply().gzipped())
    server.on("/large", Reply(body=b"l" * 300_000).gzipped())
    server.on("/cut", Reply(body=b"c" * 1000).gzipped().without_tail(9))
    server.on("/bomb", Reply(body=b"b" * 500_000).gzipped())
    server.on("/plain", Reply(body=b"p"))
    paths = ["/small", "/small", "/empty", "/plain", "/large", "/small", "/cut", "/small", "/bomb"]

    async with Fetcher(concurrency=1, max_body=400_000, retry=None) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(map(server.url, paths))

    got = [len(result.content) if result.ok else result.kind for result in results]
    cut, too_large = FailureKind.truncated, FailureKind.too_large
    assert got == [1000, 1000, 0, 1, 300_000, 1000, cut, 1000, too_large]
    assert begun == ["/small", "/small", "/small"]
    assert results[0].unwrap().num_bytes_downloaded < 1000
    assert results[0].unwrap().text == "s" * 1000


class UsedUpTurns:
    """Turns of the event loop of which other bodies leave nothing, so many for each body."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: float) -> None:
        self.told = 0
        left: dict[int, float] = {}

        def must_wait(_: object, raw: bytes, coding: str) -> bool:
            self.told += 1
            left.setdefault(id(raw), count)
            left[id(raw)] -= 1
            if left[id(raw)] >= 0:
                return True
            del left[id(raw)]
            return False

        monkeypatch.setattr(WholeBodyDecoder, "must_wait", must_wait)

    async def have_come(self) -> None:
        """Wait until a body waits for a turn."""
        while not self.told:  # noqa: ASYNC110  # the decoder tells nobody
            await anyio.sleep(0.001)


@pytest.mark.parametrize("concurrency", [1, 12])
async def test_a_body_that_waits_for_a_later_turn_needs_no_task(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """The relay goes on by itself, with the results of one that need not wait."""
    server.on("/e", lambda request: Reply(body=request.target.encode() * 50).gzipped())
    urls = [server.url(f"/e?{number}") for number in range(MANY)]
    turns = UsedUpTurns(monkeypatch, 3)
    monkeypatch.setattr(TimeSlice, "is_over", False)

    async with Fetcher(concurrency=concurrency) as fetcher:
        begun = begun_by(fetcher)
        results = await fetcher.fetch_many(urls)
        again = await fetcher.fetch(urls[0])

    # One for each worker and the last, and two of a worker whose first was late on a busy machine.
    assert len(begun) <= 2 * concurrency + 1
    assert turns.told == 4 * (MANY + 1)
    assert [result.text for result in results] == [f"/e?{number}" * 50 for number in range(MANY)]
    assert [str(result.url) for result in results] == urls
    assert again.text == results[0].text
    assert server.statistics().connections <= concurrency
    assert all(result.elapsed >= (result.timing.wait or 0.0) >= 0.0 for result in results)


async def test_a_body_that_waits_for_its_turn_beyond_its_time_limit_is_late(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a thread."""
    server.on("/", Reply(body=b"x" * 100).gzipped())
    turns = UsedUpTurns(monkeypatch, 1)
    monkeypatch.setattr(
        "asyncbatch._lanes._relay.monotonic", lambda: monotonic() + 1000.0 * turns.told
    )

    async with Fetcher(timeout=500.0, retry=None) as fetcher:
        result = await fetcher.fetch(server.url())

    assert not result.ok
    assert result.kind is FailureKind.timeout


@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.parametrize("is_alone", [False, True])
async def test_a_body_that_waits_for_its_turn_is_given_up_with_its_batch(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, is_closed: bool, is_alone: bool
) -> None:
    """By a cancellation, or because the fetcher is closed; nothing of it goes on."""
    server.on("/", Reply(body=b"x" * 100).gzipped())
    turns = UsedUpTurns(monkeypatch, math.inf)
    ended: list[str] = []

    async def fetch(fetcher: Fetcher, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                if is_alone:
                    await fetcher.fetch(server.url())
                else:
                    await fetcher.fetch_many([server.url()] * 10)
            except asyncbatch.FetcherClosed:
                ended.append("closed")
        if scope.cancelled_caught:
            ended.append("cancelled")

    fetcher, scope = Fetcher(concurrency=2), anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        async with fetcher:
            tasks.start_soon(fetch, fetcher, scope)
            await turns.have_come()
            while not (is_closed or ended):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        told = turns.told
        for _ in range(5):
            await anyio.lowlevel.checkpoint()

    assert turns.told == told
    assert ended == ["closed" if is_closed else "cancelled"]
    assert fetcher.statistics().in_flight == 0


async def test_the_result_of_a_relay_is_frozen_like_any_other(server: LoopbackServer) -> None:
    """It is made without the class's own checks, and must not be told from others."""
    async with Fetcher(concurrency=1) as fetcher:
        result = (await fetcher.fetch_many([server.url()] * 2))[1]

    assert type(result) is asyncbatch.Success
    with pytest.raises(AttributeError):
        result.index = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del result.index  # type: ignore[misc]


async def test_closing_the_fetcher_ends_a_batch_that_is_relayed(server: LoopbackServer) -> None:
    """At once, and with the error that says so."""
    server.on("/e", echo)
    async with anyio.create_task_group() as tasks:

        async def fetch(fetcher: Fetcher) -> None:
            with pytest.raises(asyncbatch.FetcherClosed):
                await fetcher.fetch_many(server.url(f"/e?{number}") for number in range(100_000))

        async with Fetcher(concurrency=2) as fetcher:
            tasks.start_soon(fetch, fetcher)
            await requests_at(server, 10)


@pytest.mark.parametrize("concurrency", [1, 20])
async def test_what_still_lies_in_the_kernel_is_not_the_next_answer(
    monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """A response that just fills the buffer hides what is behind it until the next read."""
    size = 1024
    monkeypatch.setattr("asyncbatch._engine.pool._pool.RECEIVE_BUFFER", size)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    room = size - len(head) - len(b"3xx\r\n\r\n0\r\n\r\n")
    full = head + b"%x\r\n%b\r\n0\r\n\r\n" % (room, b"x" * room)
    assert len(full) == size

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(full + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")

    async with serve(script) as raw, Fetcher(concurrency=concurrency) as fetcher:
        results = await fetcher.fetch_many([raw.url] * 100)

    assert {result.content for result in results} == {b"x" * room}


@pytest.mark.usefixtures("short_outages")
async def test_one_that_gets_no_connection_is_told_apart_from_one_that_gets_no_answer(
    server: LoopbackServer,
) -> None:
    """Whatever the one before it has got: nothing was sent, and the host is given up."""

    async def say_nothing(peer: Peer) -> None:
        await peer.until_closed()

    async with (
        serve(say_nothing) as silent,
        Fetcher(
            concurrency=1,
            timeout=1.0,
            connect_timeout=None,
            give_up_host_after=1,
            retry=None,
            trust_env=False,
        ) as fetcher,
    ):
        mute = f"https://127.0.0.1:{silent.port}/"  # never comes to the end of its handshake
        answered, unanswered, unsent = await fetcher.fetch_many([server.url(), mute, mute])

    assert answered.ok
    assert not unanswered.ok
    assert unanswered.kind is FailureKind.timeout
    assert unanswered.timing.send is None
    assert not unsent.ok
    assert unsent.kind is FailureKind.host_down


@pytest.mark.parametrize("is_known", [False, True])
async def test_closing_a_fetcher_ends_its_single_fetches(
    server: LoopbackServer, is_known: bool
) -> None:
    """With the error of a closed fetcher, also those that wait without a cancel scope."""
    server.on("/held", lambda _: Reply(delay=60.0))
    told: list[str] = []

    async def fetch() -> None:
        with pytest.raises(asyncbatch.FetcherClosed, match="was closed while"):
            await fetcher.fetch(server.url("/held"))
        told.append("closed")

    fetcher = Fetcher()
    async with anyio.create_task_group() as tasks, fetcher:
        if is_known:
            await fetcher.fetch(server.url("/"))
        before = len(server.requests)
        for _ in range(3):
            tasks.start_soon(fetch)
        await requests_at(server, before + 3)

    assert told == ["closed"] * 3
    assert fetcher.statistics().in_flight == 0


async def test_a_single_fetch_that_is_cancelled_while_its_fetcher_closes_is_cancelled(
    server: LoopbackServer,
) -> None:
    """A cancellation is never swallowed by the error of the closed fetcher."""
    server.on("/held", lambda _: Reply(delay=60.0))
    ended: list[bool] = []

    async def fetch(scope: anyio.CancelScope) -> None:
        with scope:
            await fetcher.fetch(server.url("/held"))
        ended.append(scope.cancelled_caught)

    fetcher, scope = Fetcher(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks, fetcher:
        tasks.start_soon(fetch, scope)
        await requests_at(server, 1)
        scope.cancel()

    assert ended == [True]


async def test_a_single_fetch_has_the_limits_of_its_host(server: LoopbackServer) -> None:
    """With a hook, too, for which the request is encoded together with its limits."""
    server.on("/", lambda _: Reply(body=b"x" * 100))

    async def look(response: httpx.Response) -> None:
        assert response.status_code == 200

    limits = {"127.0.0.1": HostLimits(max_body=10)}
    async with Fetcher(hosts=limits, event_hooks={"response": [look]}) as fetcher:
        results = [await fetcher.fetch(server.url("/")) for _ in range(2)]

    assert [result.kind for result in results] == ["too_large"] * 2


@pytest.mark.parametrize("own", [{}, {"json": [1]}])
async def test_a_client_may_close_its_connections_or_keep_them_from_now_on(
    server: LoopbackServer, own: dict[str, Any]
) -> None:
    """In the middle of a batch: each request is sent once, and the kept ones share a connection."""
    headers = {"connection": "close"}
    async with Fetcher(retry=None, concurrency=1, headers=headers) as fetcher:

        def requests() -> Iterator[Any]:
            for number in range(6):
                if number in (2, 4):
                    fetcher.client.headers["connection"] = ("keep-alive", "close")[number == 4]
                yield Request(server.url(f"/{number}"), **own) if own else server.url(f"/{number}")

        results = await fetcher.fetch_many(requests())

    assert [result.ok for result in results] == [True] * 6
    assert [(request.path, request.headers["connection"]) for request in server.requests] == [
        *(("/0", "close"), ("/1", "close"), ("/2", "keep-alive"), ("/3", "keep-alive")),
        *(("/4", "close"), ("/5", "close")),
    ]
    assert server.statistics().connections == 4


async def test_a_relay_that_has_begun_nothing_can_be_abandoned(server: LoopbackServer) -> None:
    """As at the end of a batch whose worker still waits for its task."""
    async with Fetcher(concurrency=1) as fetcher:
        await fetcher.fetch_many([server.url()] * 2)
        (relay,) = resting(fetcher)
        relay.abandon()
        results = await fetcher.fetch_many([server.url()] * 2)

    assert relay.abandoned is None
    assert [result.ok for result in results] == [True, True]
