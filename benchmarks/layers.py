"""
What each layer costs on its own, so that a regression has an address.

No sockets: what the engine costs without a batch around it is the entrant `engine` of the headline.
The layers are private, so this file changes with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import attrs
import httpx

from benchmarks.workloads import RESOURCES, numbered

Repeat = Callable[[int], None]
"""Do it so many times."""

_TRIES = 5
_LEAST = 2_000
_ORIGIN = "http://127.0.0.1:80"
_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 20:%02d:%02d GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: 17\r\nConnection: keep-alive\r\n\r\n"
)
_BODY = RESOURCES["json"].content
_HEADS = [_HEAD % (n // 60 % 60, n % 60) + _BODY for n in range(3_600)]


def measure(seconds: float) -> dict[str, list[float]]:
    """Return, for each layer, the seconds that one operation takes, several times over."""
    return {name: _costs(make(), seconds / _TRIES) for name, make in LAYERS.items()}


def _costs(repeat: Repeat, seconds: float) -> list[float]:
    # Enough to make up for what is done once, as opening a fetcher is.
    count = _LEAST
    while (cost := _timed(repeat, count)) < seconds / 10:
        count *= 4
    count = max(_LEAST, int(count * seconds / cost))
    return [_timed(repeat, count) / count for _ in range(_TRIES)]


def _timed(repeat: Repeat, count: int) -> float:
    begun = time.perf_counter()
    repeat(count)
    return time.perf_counter() - begun


def schedule_with(host_count: int) -> Callable[[], Repeat]:
    """Measure the way of a request through the schedule, with 100 in flight."""

    def make() -> Repeat:
        from asyncbatch._schedule import Job, Schedule
        from asyncbatch._schedule._hosts import Hosts
        from asyncbatch._values._outcome import Outcome

        hosts = Hosts(
            per_host=None,
            rate=None,
            total_rate=None,
            give_up_host_after=10,
            retry=None,
            random=lambda: 0.5,
        )
        schedule = Schedule(hosts)
        keys = [("http", f"host{n}", 80) for n in range(host_count)]
        outcome = Outcome(status_code=200)

        def start(index: int) -> Any:
            schedule.add(Job(_ORIGIN, index, hosts.get(keys[index % host_count])), 0.0)
            return schedule.next(0.0)

        # A host opens slowly, by one more for each answer.
        for index in range(100 * host_count):
            schedule.done(start(index), outcome, 0.0)

        def repeat(count: int) -> None:
            jobs = [start(index) for index in range(100)]
            for index in range(count):
                schedule.done(jobs[index % 100], outcome, 0.0)
                jobs[index % 100] = start(index)
            for job in jobs:
                schedule.done(job, outcome, 0.0)

        return repeat

    return make


def encoding() -> Repeat:
    """Measure the checks and the encoding of a request whose fields are encoded already."""
    from asyncbatch._engine.http11 import encode_fields, encode_request_line

    fields = encode_fields(httpx.AsyncClient(trust_env=False).headers.raw).block

    def repeat(count: int) -> None:
        for _ in range(count):
            encode_request_line(b"GET", b"/json?1") + fields

    return repeat


def encoding_fields() -> Repeat:
    """Measure the checks and the encoding of the fields that httpx sends by itself."""
    from asyncbatch._engine.http11 import encode_fields

    raw = httpx.AsyncClient(trust_env=False).headers.raw

    def repeat(count: int) -> None:
        for _ in range(count):
            encode_fields(raw)

    return repeat


def preparing() -> Repeat:
    """Measure the way from a URL to the bytes that the engine sends, in a relay."""
    from asyncbatch._lanes import OwnClient, binding_of
    from asyncbatch._lanes.request._encode import RequestEncoder
    from asyncbatch._values._timeouts import TimeLimits

    client = OwnClient(trust_env=False)
    encoder = RequestEncoder(client, binding_of(client), client.own_transport)
    limits = TimeLimits(total=30.0, connect=10.0)

    def repeat(count: int) -> None:
        for url in numbered(_ORIGIN + "/json", count):
            assert encoder.encode(url, url, limits) is not None

    return repeat


def parsing(responses: list[bytes]) -> Callable[[], Repeat]:
    """Measure the parsing of responses, each one delivered whole."""

    def make() -> Repeat:
        from asyncbatch._engine.http11 import ResponseProtocol

        protocol = ResponseProtocol()

        def repeat(count: int) -> None:
            for index in range(count):
                protocol.begin_response()
                protocol.receive(responses[index % len(responses)])
                protocol.take_body()

        return repeat

    return make


def decoding() -> Repeat:
    """Measure the decoding of a gzipped body within a limit."""
    from asyncbatch._decoding import decode

    encoded = RESOURCES["gzip"].encoded

    def repeat(count: int) -> None:
        for _ in range(count):
            decode("gzip", encoded, max_size=1_000_000)

    return repeat


def building_results() -> Repeat:
    """Measure the making of a result."""
    from asyncbatch._batch._make_result import result_of
    from asyncbatch._schedule import Job
    from asyncbatch._values._outcome import Outcome

    unused: Any = None  # the host and the lane, whom a success does not ask anything
    job = Job(_ORIGIN, 0, unused)
    outcome = Outcome(response=httpx.Response(200), status_code=200)

    def repeat(count: int) -> None:
        for _ in range(count):
            result_of(job, outcome, 1.0, unused, 0.0)

    return repeat


def building_responses() -> Repeat:
    """Measure the first look at an `httpx.Response` in the direct lane, preparing included."""
    from asyncbatch._engine.http11 import ResponseProtocol
    from asyncbatch._lanes import OwnClient, binding_of
    from asyncbatch._lanes.request._encode import RequestEncoder
    from asyncbatch._lanes.request._encoded_request import PreparedRequest
    from asyncbatch._lanes.response._response_builder import PreparedResponseBuilder, course_of
    from asyncbatch._values._timeouts import TimeLimits

    client = OwnClient(trust_env=False)
    binding = binding_of(client)
    encoder = RequestEncoder(client, binding, client.own_transport)
    limits = TimeLimits(total=30.0, connect=10.0)
    protocol = ResponseProtocol()
    protocol.begin_response()
    protocol.receive(_HEADS[0])
    exchange: Any = SimpleNamespace(
        head=protocol.head,
        connection=None,
        content=_BODY,
        begun_at=1.0,
        send_at=1.0,
        sent_at=1.0,
        first_byte_at=2.0,
        ended_at=2.0,
        dns=None,
        connect=None,
        tls=None,
    )

    def repeat(count: int) -> None:
        for url in numbered(_ORIGIN + "/json", count):
            encoded = encoder.encode(url, url, limits)
            assert encoded is not None
            prepared = PreparedRequest.of(encoded, limits)
            response_builder = PreparedResponseBuilder(binding.library, "utf-8", exchange, prepared)
            response_builder.build(url, _BODY, course_of(exchange))

    return repeat


def batching(*, streamed: bool) -> Callable[[], Repeat]:
    """Measure everything above the lanes, with a lane that answers at once."""

    def make() -> Repeat:
        return lambda count: asyncio.run(_batch(count, streamed=streamed))

    return make


async def _batch(count: int, *, streamed: bool) -> None:
    import asyncbatch

    async with asyncbatch.Fetcher(retry=None, trust_env=False) as fetcher:
        shared = fetcher._shared
        assert shared is not None
        attempter = attrs.evolve(shared.attempter, lane=_null_lane(fetcher))
        fetcher._shared = attrs.evolve(shared, attempter=attempter)
        urls: Iterator[str] = numbered(_ORIGIN, count)
        if not streamed:
            await fetcher.fetch_many(urls)
            return
        async with fetcher.stream(urls) as results:
            async for _ in results:
                pass


def relaying() -> Repeat:
    """Measure everything above the engine, with an engine that answers at once."""
    return lambda count: asyncio.run(_relay(count))


async def _relay(count: int) -> None:
    import asyncbatch

    async with asyncbatch.Fetcher(retry=None, trust_env=False) as fetcher:
        client: Any = fetcher.client
        client.own_transport.engine.begin = _null_engine(asyncio.get_running_loop())
        results = await fetcher.fetch_many(numbered(_ORIGIN + "/json", count))
        assert len(results.successes) == count


def _null_engine(loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    from asyncbatch._engine import Exchange
    from asyncbatch._engine.http11 import ResponseProtocol

    protocol = ResponseProtocol()
    protocol.begin_response()
    protocol.receive(_HEADS[0])

    connection: Any = SimpleNamespace(response_builder=None, is_closed=False)

    def begin(*request: Any, follow: Any) -> Exchange:
        *described, closes = request
        exchange = Exchange(loop.create_future(), *described, closes, time.monotonic())
        exchange.follow = follow
        loop.call_soon(answer, exchange)
        return exchange

    def answer(exchange: Exchange | None) -> None:
        for _ in range(300):
            if exchange is None:
                return
            exchange.head = protocol.head
            exchange.content = _BODY
            exchange.ended_at = time.monotonic()
            exchange.connection = connection
            exchange = exchange.follow(exchange)  # type: ignore[misc]  # has one
        loop.call_soon(answer, exchange)

    return begin


def _null_lane(fetcher: Any) -> Any:
    from asyncbatch._lanes import ClientLane, binding_of
    from asyncbatch._values._outcome import Outcome

    response = httpx.Response(200, content=_BODY, request=httpx.Request("GET", _ORIGIN))

    class NullLane(ClientLane):
        async def exchange(self, *_: Any) -> Outcome:
            return Outcome(response=response, status_code=200)

    client = fetcher.client
    return NullLane(
        client, binding_of(client), max_body=None, follow_redirects=True, max_redirects=20
    )


LAYERS: dict[str, Callable[[], Repeat]] = {
    "schedule: add, next, done, one host": schedule_with(1),
    "schedule: add, next, done, 1,000 hosts": schedule_with(1_000),
    "http11: encode a request line": encoding,
    "http11: encode five fields, once per origin": encoding_fields,
    "lane: prepare a plain GET": preparing,
    "http11: parse a response with the head of the last one": parsing(_HEADS[:1]),
    "http11: parse a response with another head": parsing(_HEADS),
    "decoding: gunzip JSON of 24 KB": decoding,
    "result: make a Success": building_results,
    "result: build its httpx.Request and httpx.Response": building_responses,
    "batch and lane: fetch_many by relay over an engine that answers at once": relaying,
    "batch: fetch_many over a lane that answers at once": batching(streamed=False),
    "batch: stream over a lane that answers at once": batching(streamed=True),
}
