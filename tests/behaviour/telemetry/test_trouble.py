"""Telemetry that fails fails no request, and says once that it does."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from opentelemetry import context, metrics, propagate, trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

import asyncbatch
from asyncbatch import Fetcher, Request
from asyncbatch.telemetry import OpenTelemetry
from asyncbatch.testing import LoopbackServer
from tests.traced import Traced

pytestmark = [pytest.mark.any_loop, pytest.mark.asyncio_only]

SECRET = "hunter2"


class Broken:
    """Raises at whatever is asked of it but what it is told to bear."""

    def __init__(self, *bears: str) -> None:
        self._bears = bears

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._bears:
            return lambda *_, **__: self
        return _fail


def _fail(*_: object, **__: object) -> Any:
    raise LookupError(SECRET)


class FailingProcessor(SpanProcessor):
    def __init__(self, *steps: str) -> None:
        for step in steps:
            setattr(self, step, _fail)


class FailingExporter(SpanExporter):
    def export(self, spans: Any) -> Any:
        raise LookupError(SECRET)


class FailingSampler(sampling.Sampler):
    def should_sample(self, *_: Any, **__: Any) -> Any:
        raise LookupError(SECRET)

    def get_description(self) -> str:
        return ""


def provider(processor: SpanProcessor | None = None, sampler: Any = None) -> TracerProvider:
    made = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    if processor is not None:
        made.add_span_processor(processor)
    return made


def troubles() -> dict[str, OpenTelemetry]:
    """Return options of which each has one thing that raises."""
    broken: dict[str, tuple[Any, Any]] = {
        "tracer provider": (Broken(), None),
        "tracer": (Broken("get_tracer"), None),
        "span": (Broken("get_tracer", "start_span"), None),
        "meter provider": (None, Broken()),
        "meter": (None, Broken("get_meter")),
        "histogram": (None, Broken("get_meter", "create_histogram")),
        "sampler": (provider(sampler=FailingSampler()), None),
        "start": (provider(FailingProcessor("on_start")), None),
        "end": (provider(FailingProcessor("on_end")), None),
    }
    return {name: OpenTelemetry(*each, ("*",)) for name, each in broken.items()}


@pytest.mark.parametrize("trouble", troubles())
async def test_no_request_fails_of_it(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """Whatever raises, in either lane; it is logged once, without the text of the error."""
    caplog.set_level(logging.DEBUG)
    requests = [
        *(server.url(f"/{n}") for n in range(5)),
        Request(server.url(), "POST", json={}),
        Request(server.url(), extensions={"a": "b"}),
    ]
    async with Fetcher(telemetry=troubles()[trouble], retry=None) as fetcher:
        results = await fetcher.fetch_many(requests)

    assert all(result.ok for result in results)
    told = [record for record in caplog.records if record.name == "asyncbatch"]
    assert [record.levelname for record in told] == ["WARNING"]
    assert "LookupError" in told[0].getMessage()
    assert SECRET not in caplog.text


async def test_an_exporter_that_raises_fails_no_request(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK catches its error itself."""
    option = OpenTelemetry(provider(SimpleSpanProcessor(FailingExporter())))
    async with Fetcher(telemetry=option) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 3)

    assert all(result.ok for result in results)


async def test_a_propagator_that_raises_fails_no_request(
    server: LoopbackServer, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is sent without its fields, and has its span."""
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", Broken())
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        results = await fetcher.fetch_many(
            [server.url(), Request(server.url(), extensions={"a": 1})]
        )

    assert all(result.ok for result in results)
    assert traced.told("http.response.status_code") == [200, 200]


async def test_the_histogram_does_not_wait_for_the_tracer(server: LoopbackServer) -> None:
    """If spans cannot be made, durations are measured all the same."""
    traced = Traced()
    option = OpenTelemetry(provider(FailingProcessor("on_start")), traced.meter_provider)
    async with Fetcher(telemetry=option) as fetcher:
        await fetcher.fetch_many([server.url()] * 3)

    assert [point.count for point in traced.points()] == [3]


async def test_the_histogram_does_not_need_the_other_provider(server: LoopbackServer) -> None:
    """If that of spans fails, durations are measured, and the other way round."""
    traced = Traced()
    for option in (
        OpenTelemetry(Broken(), traced.meter_provider),
        OpenTelemetry(traced.tracer_provider, Broken()),
    ):
        async with Fetcher(telemetry=option) as fetcher:
            await fetcher.fetch_many([server.url()] * 3)

    assert [point.count for point in traced.points()] == [3]
    assert len(traced.spans) == 3


async def test_a_status_that_cannot_be_set_leaves_no_span_open(server: LoopbackServer) -> None:
    """It ends all the same."""
    ended = []

    class Stubborn(Broken):
        def end(self, *_: Any) -> None:
            ended.append(self)

        def is_recording(self) -> bool:
            return True

    tracer: Any = Broken("get_tracer")
    tracer.start_span = lambda *_, **__: Stubborn("get_span_context")
    tracer.get_tracer = lambda *_, **__: tracer
    async with Fetcher(telemetry=OpenTelemetry(tracer, None, ("*",)), retry=None) as fetcher:
        await fetcher.fetch_many([server.dead_url()] * 2)

    assert len(ended) == 2


async def test_secrets_are_in_no_message(server: LoopbackServer, traced: Traced) -> None:
    """Neither in a description of a status, nor in an attribute."""
    urls = [
        f"http://user:{SECRET}@host.invalid/?token={SECRET}",
        f"http://127.0.0.1:{server.port}/?api_key={SECRET}",
        server.dead_url() + f"?sig={SECRET}",
    ]

    async def fail(request: httpx.Request) -> None:
        raise ValueError(SECRET)

    async with Fetcher(telemetry=traced.option("*"), retry=None) as fetcher:
        await fetcher.fetch_many(urls)
    hooks = {"request": [fail]}
    async with Fetcher(telemetry=traced.option("*"), retry=None, event_hooks=hooks) as fetcher:
        await fetcher.fetch_many(urls[1:])

    told = [(span.name, span.attributes, span.status.description) for span in traced.spans]
    assert len(told) >= 3
    assert SECRET not in str([(name, dict(each or {}), text) for name, each, text in told])
    assert SECRET not in str([point.attributes for point in traced.points()])


async def test_a_provider_is_found_when_it_is_set(
    server: LoopbackServer, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch looks for the global ones; before, nothing is noted."""
    async with Fetcher(telemetry=OpenTelemetry()) as fetcher:
        await fetcher.fetch_many([server.url("/a")])
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", traced.tracer_provider)
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: traced.meter_provider)
        await fetcher.fetch_many([server.url("/b")])
        monkeypatch.undo()
        await fetcher.fetch(server.url("/c"))

    assert traced.told("url.full") == [server.url("/b")]
    assert [point.count for point in traced.points()] == [1]


@pytest.mark.parametrize(
    "key", ["_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"]
)
async def test_nothing_is_noted_where_instruments_are_silenced(
    server: LoopbackServer, traced: Traced, key: str
) -> None:
    """As exporters do for what they send themselves."""
    token = context.attach(context.set_value(getattr(context, key), True))
    try:
        async with Fetcher(telemetry=traced.option("*")) as fetcher:
            await fetcher.fetch_many([server.url(), Request(server.url(), extensions={"a": 1})])
    finally:
        context.detach(token)

    assert traced.spans == []
    assert traced.points() == []
    assert all("traceparent" not in request.headers for request in server.requests)


async def test_one_fetcher_may_be_silent_and_then_speak(
    server: LoopbackServer, traced: Traced
) -> None:
    """Each call has the context that it is made in."""
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        for is_silent in (True, False, True, False):
            value = context.set_value(context._SUPPRESS_HTTP_INSTRUMENTATION_KEY, is_silent)
            token = context.attach(value)
            try:
                await fetcher.fetch(server.url())
            finally:
                context.detach(token)

    assert len(traced.spans) == 2
    assert ["traceparent" in request.headers for request in server.requests] == [False, True] * 2


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"propagate": "*"}, TypeError, "propagate must be several patterns of hosts"),
        ({"propagate": 7}, TypeError, "propagate must be several patterns of hosts"),
        ({"propagate": ["https://a.test/"]}, ValueError, "a pattern of propagate must be a host"),
        ({"propagate": ["a.*"]}, ValueError, "give '\\*'"),
        ({"propagate": [7]}, TypeError, "a pattern of propagate must be a str"),
        ({"tracer_provider": 7}, TypeError, "tracer_provider must be a TracerProvider, not 7"),
        ({"meter_provider": "x"}, TypeError, "meter_provider must be a MeterProvider, not 'x'"),
    ],
)
def test_a_wrong_argument_is_refused(given: Any, error: type[Exception], message: str) -> None:
    """With what to give instead."""
    with pytest.raises(error, match=message):
        OpenTelemetry(**given)


@pytest.mark.parametrize("value", [OpenTelemetry, True, "otel", provider()])
async def test_an_option_that_is_none_is_refused(value: Any) -> None:
    """By each entry point."""
    for call in (Fetcher, asyncbatch.SyncFetcher, lambda **o: asyncbatch.fetch_many_sync([], **o)):
        with pytest.raises(TypeError, match=r"telemetry must be an asyncbatch\.telemetry\.OpenT"):
            call(telemetry=value)
