"""The context of a span is sent to named hosts, and never over a field of the caller's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from asyncbatch import Fetcher, Request, Retry
from asyncbatch._lanes import DirectLane
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch.telemetry import OpenTelemetry
from asyncbatch.telemetry._spans import AttemptSpans
from asyncbatch.testing import LoopbackServer, Reply
from tests.traced import Traced

pytestmark = [pytest.mark.any_loop, pytest.mark.asyncio_only]

WAYS: dict[str, Callable[..., Any]] = {
    "text": lambda url, **_: url,
    "post": lambda url, **more: Request(url, "POST", json={}, **more),
    "large": lambda url, **more: Request(url, "POST", content=bytes(100_000), **more),
    "task": lambda url, **more: Request(url, max_body=1000, **more),
    "native": lambda url, **more: httpx.Request("GET", url, **more),
    "client lane": lambda url, **more: Request(url, extensions={"a": "b"}, **more),
}
ways = pytest.mark.parametrize("way", WAYS)
OWN = "00-11111111111111111111111111111111-2222222222222222-01"


def sent_to(server: LoopbackServer, name: str = "traceparent") -> list[list[str]]:
    return [request.headers.get_list(name) for request in server.requests]


def ids(traced: Traced) -> list[list[str]]:
    """Return what `traceparent` says of each span, but for the flags."""
    return [
        [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}"] for span in traced.spans
    ]


def without_flags(sent: list[list[str]]) -> list[list[str]]:
    return [[value.rpartition("-")[0] for value in values] for values in sent]


@ways
async def test_a_request_carries_its_own_span(
    server: LoopbackServer, traced: Traced, way: str
) -> None:
    """The result shows what was sent, and all else is sent as it is without."""
    for propagated in ((), ("*",)):
        async with Fetcher(telemetry=traced.option(*propagated)) as fetcher:
            results = await fetcher.fetch_many([WAYS[way](server.url("/a"))] * 3)

    bare, carrying = server.requests[:3], server.requests[3:]
    assert sorted(without_flags(sent_to(server)[3:])) == sorted(ids(traced)[3:])
    shown = [result.unwrap().request.headers["traceparent"] for result in results]
    assert sorted(shown) == sorted(request.headers["traceparent"] for request in carrying)
    for one, another in zip(bare, carrying, strict=True):
        assert "traceparent" not in one.headers
        fields = [field for field in another.headers.raw if field[0].lower() != b"traceparent"]
        assert fields == one.headers.raw
        assert another.body == one.body


@ways
@pytest.mark.parametrize(
    ("pattern", "reaches"),
    [
        ("127.0.0.1", True),
        ("*", True),
        ("127.0.0.1:1", False),
        ("*.example.org", False),
        ("localhost", False),
    ],
)
async def test_only_named_hosts_get_it(
    server: LoopbackServer, traced: Traced, way: str, pattern: str, reaches: bool
) -> None:
    """By the patterns of the option `hosts`."""
    async with Fetcher(telemetry=traced.option(pattern)) as fetcher:
        await fetcher.fetch_many([WAYS[way](server.url())])

    assert [bool(values) for values in sent_to(server)] == [reaches]


@ways
@pytest.mark.parametrize("first", [1, 2])
async def test_a_redirect_carries_it_to_named_hosts_only(
    traced: Traced, way: str, first: int
) -> None:
    """Away from one, and to one, with the span of its own hop."""
    async with LoopbackServer(hosts=2, default=Reply()) as server:
        second = 3 - first
        server.on("/a", Reply.redirect(server.url("/b", host=second), status=307))
        server.on("/b", Reply.redirect("/c", status=307))
        named = httpx.URL(server.url(host=1)).host
        async with Fetcher(telemetry=traced.option(named)) as fetcher:
            (result,) = await fetcher.fetch_many([WAYS[way](server.url("/a", host=first))])

        result.unwrap()
        sent = without_flags(sent_to(server))
    expected = ids(traced)
    assert len(expected) == 3
    hosts = [first, second, second]
    assert sent == [
        values if host == 1 else [] for values, host in zip(expected, hosts, strict=True)
    ]


@ways
async def test_each_try_carries_its_own_span(
    server: LoopbackServer, traced: Traced, way: str
) -> None:
    """A retry does not repeat the fields of the try before."""
    server.on("/", Reply(503), Reply(503), Reply())
    retry = Retry(backoff=0, methods=("GET", "POST"))
    async with Fetcher(telemetry=traced.option("*"), retry=retry) as fetcher:
        await fetcher.fetch_many([WAYS[way](server.url())])

    assert without_flags(sent_to(server)) == ids(traced)
    assert len(set(map(str, ids(traced)))) == 3


async def hook(request: httpx.Request) -> None:
    request.headers["traceparent"] = OWN


@pytest.mark.parametrize("whose", ["request", "fetcher", "hook"])
@pytest.mark.parametrize("way", ["post", "task", "native", "client lane"])
async def test_a_field_of_the_callers_is_left_as_it_is(
    server: LoopbackServer, traced: Traced, way: str, whose: str
) -> None:
    """It may be set in any way, and stays on redirects; no other field of a trace is added."""
    server.on("/a", Reply.redirect("/b", status=307))
    options: dict[str, Any] = {"telemetry": traced.option("*")}
    more = {}
    if whose == "request":
        more = {"headers": {"TraceParent": OWN}}
    elif whose == "fetcher":
        options["headers"] = {"traceparent": OWN}
    else:
        options["event_hooks"] = {"request": [hook]}
    if way == "native" and whose == "fetcher":
        more = {"headers": {"traceparent": OWN}}  # such a request has no fields of the client
    async with Fetcher(**options) as fetcher:
        with traced.parent():
            await fetcher.fetch_many([WAYS[way](server.url("/a"), **more)])

    assert sent_to(server) == [[OWN], [OWN]]
    assert sent_to(server, "tracestate") == [[], []]


async def test_a_state_and_a_baggage_travel_along(server: LoopbackServer, traced: Traced) -> None:
    """By the global propagator, each with the fields that it has."""
    state = TraceState([("vendor", "value")])
    parent = SpanContext(1, 2, True, TraceFlags(TraceFlags.SAMPLED), state)
    with_parent = set_span_in_context(NonRecordingSpan(parent))
    token = context.attach(baggage.set_baggage("user", "a b", with_parent))
    own = {"traceparent": OWN, "x-a": "b"}
    try:
        async with Fetcher(telemetry=traced.option("*"), concurrency=1) as fetcher:
            await fetcher.fetch_many([server.url(), Request(server.url(), headers=own)])
            await fetcher.fetch_many([Request(server.url(), headers={"baggage": "mine=1"})])
    finally:
        context.detach(token)

    assert sent_to(server, "tracestate") == [["vendor=value"], [], ["vendor=value"]]
    assert sent_to(server, "baggage") == [["user=a+b"], ["user=a+b"], ["mine=1"]]
    assert sent_to(server)[1] == [OWN]


async def test_without_a_provider_the_context_of_the_caller_travels_on(
    server: LoopbackServer,
) -> None:
    """As OpenTelemetry's API does where no SDK is installed."""
    parent = SpanContext(1, 2, True, TraceFlags(TraceFlags.SAMPLED))
    token = context.attach(set_span_in_context(NonRecordingSpan(parent)))
    try:
        async with Fetcher(telemetry=OpenTelemetry(propagate=("*",))) as fetcher:
            await fetcher.fetch_many([server.url()])
    finally:
        context.detach(token)
    async with Fetcher(telemetry=OpenTelemetry(propagate=("*",))) as fetcher:
        await fetcher.fetch_many([server.url()])

    assert sent_to(server) == [[f"00-{1:032x}-{2:016x}-01"], []]


class Strange(TextMapPropagator):
    """Sets fields that nobody should."""

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        raise NotImplementedError

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        carrier.update(
            {
                "x-good": "1",
                "x-split": "1\r\nX-Evil: 1",
                "x bad": "1",
                "Host": "evil.test",
                "Content-Length": "99",
                "x-wide": "\u20ac",
            }
        )

    @property
    def fields(self) -> set[str]:
        return set()


@pytest.mark.parametrize("way", ["text", "client lane"])
async def test_fields_that_would_break_a_request_are_not_sent(
    server: LoopbackServer, traced: Traced, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Neither invalid ones, nor those that say where a request goes or ends."""
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", Strange())
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        (result,) = await fetcher.fetch_many([WAYS[way](server.url())])

    result.unwrap()
    (request,) = server.requests
    assert request.headers["x-good"] == "1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    absent = ("x-split", "x-evil", "x bad", "content-length", "x-wide")
    assert not set(absent) & set(request.headers)


async def test_requests_that_carry_it_stay_on_the_fast_way(
    server: LoopbackServer, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain requests are relayed: none takes a task of its own for it, or the client lane."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("not relayed")

    monkeypatch.setattr(DirectLane, "exchange", refuse)
    async with Fetcher(telemetry=traced.option("*"), concurrency=3) as fetcher:
        results = await fetcher.fetch_many([server.url(f"/{n}") for n in range(40)])

    assert all(result.ok for result in results)
    assert sorted(without_flags(sent_to(server))) == sorted(ids(traced))


async def test_kept_results_keep_nothing_of_the_batch(
    server: LoopbackServer, traced: Traced
) -> None:
    """The objects that note requests are let go with the batch."""
    server.on("/r", Reply.redirect("/a", status=307))
    server.on("/bad", Reply(404))
    paths = ("/a", "/r", "/bad")
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        requests = [WAYS[way](server.url(path)) for way in WAYS for path in paths]
        results = await fetcher.fetch_many(requests)

    gc.collect()
    alive = [each for each in gc.get_objects() if type(each) is AttemptSpans]
    assert len(results) == len(requests)
    assert alive == []
    assert set(AttemptWatch.__annotations__) <= set(AttemptSpans.__slots__)
