"""
What telemetry costs each request: `python -m benchmarks.telemetry [--count N] [--rounds N]`.

Small keep-alive requests, 100 at a time, to a server in a process of its own. Each figure is the
processor time of this process per request, the thread of the exporter included, less that of the
same batch without telemetry. The kinds take turns, and the median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from asyncbatch import Fetcher, Request
from asyncbatch.telemetry import OpenTelemetry
from asyncbatch.testing import LoopbackServer, Reply

AS_TASKS = {"x-own": "1"}
"""Makes a request more than a plain GET."""

TRACED = "SDK, spans and a batch exporter"


class Dropping(SpanExporter):
    """Takes spans and does nothing with them: what a real exporter costs is its own."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def serve(urls: Any, stop: Any) -> None:
    """Run the server, in a process of its own."""
    with LoopbackServer(record=0).in_thread() as server:
        server.on("/*", Reply(body=b'{"message":"Hi"}\n'))
        urls.put(server.url("/"))
        stop.wait()


def kinds() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the kinds of telemetry: a name, and what makes the option."""
    yield "without the option", lambda: None
    yield "no provider", OpenTelemetry
    yield "SDK, spans that are not sampled", lambda: OpenTelemetry(TracerProvider(ALWAYS_OFF))
    yield "SDK, the histogram alone", lambda: OpenTelemetry(None, _metered())
    yield TRACED, lambda: OpenTelemetry(_traced())
    yield "SDK, spans and the histogram", lambda: OpenTelemetry(_traced(), _metered())
    yield "the same, sent to the host", lambda: OpenTelemetry(_traced(), _metered(), ("*",))


def _traced() -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Dropping(), max_queue_size=100_000))
    return provider


def _metered() -> MeterProvider:
    return MeterProvider([InMemoryMetricReader()])


async def fetch(requests: list[Any], telemetry: Any) -> float:
    """Return the processor time of a batch, in µs per request."""
    async with Fetcher(retry=None, telemetry=telemetry) as fetcher:
        await fetcher.fetch_many(requests[:200])
        gc.collect()
        begun = time.process_time()
        results = await fetcher.fetch_many(requests)
        provider = getattr(telemetry, "_tracer_provider", None)
        if provider is not None:
            provider.force_flush()
        took = time.process_time() - begun
    assert len(results.successes) == len(requests)
    return took / len(requests) * 1e6


def measure(title: str, requests: list[Any], rounds: int) -> dict[str, float]:
    """Measure all kinds of telemetry with one kind of requests, and return what each costs."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make in kinds():
            telemetry = make()
            found.setdefault(name, []).append(asyncio.run(fetch(requests, telemetry)))
            for part in ("_tracer_provider", "_meter_provider"):
                if (provider := getattr(telemetry, part, None)) is not None:
                    provider.shutdown()
    (name, bare), *others = found.items()
    print(f"{title}\n  {name:<38}{statistics.median(bare):>8.1f} µs a request")
    medians = {}
    for name, each in others:
        more = [cost - base for cost, base in zip(each, bare, strict=True)]
        medians[name] = statistics.median(more)
        print(f"  {name:<38}{medians[name]:>+8.1f}  (least {min(more):+.1f})")
    return medians


def measure_sdk(count: int, rounds: int) -> float:
    """Measure the calls of the SDK that a span and a measurement need; return that of a span."""
    attributes = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": 8080,
    }
    provider = _traced()
    tracer = provider.get_tracer("bench")
    histogram = _metered().get_meter("bench").create_histogram("duration")
    costs: dict[str, list[float]] = {"a span": [], "a measurement": []}
    for _ in range(rounds):
        begun = time.process_time()
        for number in range(count):
            given = {**attributes, "url.full": f"http://127.0.0.1:8080/{number}"}
            tracer.start_span("GET", kind=SpanKind.CLIENT, attributes=given, start_time=1).end(2)
        provider.force_flush()
        between = time.process_time()
        for _ in range(count):
            histogram.record(0.01, attributes)
        ended = time.process_time()
        for name, took in zip(costs, (between - begun, ended - between), strict=True):
            costs[name].append(took / count * 1e6)
    provider.shutdown()
    print("the SDK alone")
    for name, each in costs.items():
        print(f"  {name:<38}{statistics.median(each):>8.1f} µs")
    return statistics.median(costs["a span"])


def measure_instrumented(requests: list[Any], rounds: int) -> None:
    """Measure what instrumenting httpx costs instead, which takes requests to the client lane."""
    provider = _traced()
    HTTPXClientInstrumentor().instrument(tracer_provider=provider, meter_provider=_metered())
    try:
        costs = [asyncio.run(fetch(requests, None)) for _ in range(rounds)]
    finally:
        HTTPXClientInstrumentor().uninstrument()
        provider.shutdown()
    print(f"httpx instrumented, no option\n  {'in all':<38}{statistics.median(costs):>8.1f} µs")


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Yield the URL of the server."""
    context = multiprocessing.get_context("spawn")
    urls, stop = context.Queue(), context.Event()
    process = context.Process(target=serve, args=(urls, stop))
    process.start()
    try:
        yield urls.get()
    finally:
        stop.set()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count, rounds = arguments.count, arguments.rounds
    with serving() as url:
        plain = [f"{url}{number}" for number in range(count)]
        costs = measure("plain URLs", plain, rounds)
        posts = [Request(each, "POST", json={"a": 1}) for each in plain[: count // 2]]
        measure("POSTs of JSON", posts, rounds)
        few = plain[: count // 4]
        tasks = [Request(each, headers=AS_TASKS, timeout=httpx.Timeout(9)) for each in few]
        measure("requests with a timeout of their own, one task each", tasks, rounds)
        measure_instrumented(plain[: count // 10], 3)
        span = measure_sdk(count, rounds)
        ratio = costs[TRACED] / span
        print(f"spans of plain URLs ÷ the same spans of the SDK alone: {ratio:.2f}")


if __name__ == "__main__":
    main()
