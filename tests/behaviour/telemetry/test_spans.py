"""A span and a measurement for each request that is sent, by the conventions for HTTP clients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry.sdk.trace import sampling
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request, Retry, SyncFetcher
from asyncbatch.telemetry import OpenTelemetry
from asyncbatch.testing import End, FakeClock, LoopbackServer, Raw, Reply
from tests.proxies import Manner, ProxyServer
from tests.served import close_behind_first
from tests.traced import Traced

pytestmark = pytest.mark.any_loop

SECOND = 1_000_000_000
# Two clocks are read one after the other, and one of them may be set meanwhile.
SLACK = SECOND // 20

WAYS: dict[str, Callable[[str], Any]] = {
    "text": lambda url: url,
    "url": httpx.URL,
    "fields": lambda url: Request(url, headers={"x-a": "b"}),
    "post": lambda url: Request(url, "POST", json={}),
    "task": lambda url: Request(url, timeout=20),
    "client lane": lambda url: Request(url, extensions={"a": "b"}),
}
CLIENTS: dict[str, Callable[[], Any]] = {
    "ours": lambda: None,
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
}


@asynccontextmanager
async def fetching(client: str = "ours", **options: Any) -> AsyncIterator[Fetcher]:
    made = CLIENTS[client]()
    async with Fetcher(made, **options) as fetcher:
        yield fetcher
    if made is not None:
        await made.aclose()


def constants(module: Any) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and type(value) is str}


SEMCONV = set[str]().union(
    *map(
        constants,
        (
            error_attributes,
            http_attributes,
            network_attributes,
            server_attributes,
            url_attributes,
        ),
    )
)


@pytest.mark.parametrize(
    ("client", "way"),
    [(client, way) for client in CLIENTS for way in WAYS if (client, way) != ("httpx2", "url")],
)
async def test_a_request_has_a_span_by_the_conventions(
    server: LoopbackServer, traced: Traced, client: str, way: str
) -> None:
    """With all that is required or recommended, whatever lane it takes."""
    before = time.time_ns()
    async with fetching(client, telemetry=traced.option()) as fetcher:
        with traced.parent() as parent:
            (result,) = await fetcher.fetch_many([WAYS[way](server.url("/a"))])
    after = time.time_ns()

    result.unwrap()
    (span,) = traced.spans
    method = "POST" if way == "post" else "GET"
    assert span.attributes == {
        "http.request.method": method,
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.full": server.url("/a"),
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": server.port,
    }
    assert set(span.attributes) <= SEMCONV
    assert (span.name, span.kind, span.status.status_code) == (
        method,
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.parent is not None
    assert span.parent.span_id == parent.span_id
    assert span.start_time is not None
    assert span.end_time is not None
    assert before - SLACK <= span.start_time < span.end_time <= after + SLACK
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "asyncbatch"
    assert span.instrumentation_scope.version == asyncbatch.__version__


@pytest.mark.parametrize("client", CLIENTS)
async def test_durations_are_measured_by_the_conventions(
    server: LoopbackServer, traced: Traced, client: str
) -> None:
    """In seconds, with the boundaries that they advise, and without the URL."""
    server.on("/b", Reply(500))
    urls = [server.url("/a"), server.url("/b"), server.url("/a")]
    async with fetching(client, telemetry=traced.option(), retry=None) as fetcher:
        await fetcher.fetch_many(urls)

    (metric,) = traced.metrics()
    assert (metric.name, metric.unit) == (http_metrics.HTTP_CLIENT_REQUEST_DURATION, "s")
    common = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "network.protocol.version": "1.1",
    }
    points = {point.count: point for point in traced.points()}
    assert points[2].attributes == {**common, "http.response.status_code": 200}
    assert points[1].attributes == {
        **common,
        "http.response.status_code": 500,
        "error.type": "500",
    }
    assert points[1].explicit_bounds == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    )
    seconds = sum((span.end_time or 0) - (span.start_time or 0) for span in traced.spans) / SECOND
    assert sum(point.sum for point in points.values()) == pytest.approx(seconds, rel=1e-3)


async def test_a_span_takes_as_long_as_its_request(server: LoopbackServer, traced: Traced) -> None:
    """Its times are those of the engine, not those at which a callback noticed."""
    async with Fetcher(telemetry=traced.option()) as fetcher:
        results = await fetcher.fetch_many([server.url(f"/{n}") for n in range(50)])

    took = {str(each.url): each.unwrap().elapsed.total_seconds() for each in results}
    assert len(traced.spans) == 50
    for span in traced.spans:
        assert span.attributes is not None
        seconds = ((span.end_time or 0) - (span.start_time or 0)) / SECOND
        assert seconds == pytest.approx(took[str(span.attributes["url.full"])], abs=3e-6)


@pytest.mark.parametrize("propagate", [(), ("*",)])
@pytest.mark.parametrize("way", ["text", "fields", "task", "client lane"])
async def test_each_try_has_a_span_of_its_own(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...]
) -> None:
    """A retry is counted in `http.request.resend_count`, and a failed status is an error."""
    server.on("/", Reply(503), Reply(429), Reply())
    async with Fetcher(telemetry=traced.option(*propagate), retry=Retry(backoff=0)) as fetcher:
        result = await fetcher.fetch(WAYS[way](server.url()))

    assert result.attempts == 3
    assert traced.told("http.request.resend_count") == [None, 1, 2]
    assert traced.told("http.response.status_code") == [503, 429, 200]
    assert traced.told("error.type") == ["503", "429", None]
    statuses = [(span.status.status_code, span.status.description) for span in traced.spans]
    assert statuses == [(StatusCode.ERROR, None)] * 2 + [(StatusCode.UNSET, None)]


@pytest.mark.parametrize("propagate", [(), ("*",)])
@pytest.mark.parametrize("way", ["text", "post", "task", "client lane"])
async def test_each_hop_of_a_redirect_has_a_span_of_its_own(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...]
) -> None:
    """Redirects and retries are counted together; the spans do not overlap."""
    server.on("/a", Reply.redirect("/b", status=307))
    server.on("/b", Reply.redirect("/c", status=307))
    server.on("/c", Reply(503), Reply())
    retry = Retry(backoff=0, methods=("GET", "POST"))
    async with Fetcher(telemetry=traced.option(*propagate), retry=retry) as fetcher:
        results = await fetcher.fetch_many([WAYS[way](server.url("/a"))])

    results[0].unwrap()
    paths = [str(url)[-2:] for url in traced.told("url.full")]
    assert paths == ["/a", "/b", "/c"] * 2
    assert traced.told("http.request.resend_count") == [None, 1, 2, 3, 4, 5]
    assert traced.told("error.type") == [None, None, "503", None, None, None]
    times = [time for span in traced.spans for time in (span.start_time, span.end_time)]
    assert times == sorted(times, key=lambda each: each or 0)


async def test_a_hop_after_the_client_was_closed_has_one_span(
    server: LoopbackServer, traced: Traced
) -> None:
    """It has begun, and was not sent."""
    server.on("/a", Reply.redirect("/b"))
    async with Fetcher(telemetry=traced.option(), retry=None) as fetcher:
        client: Any = fetcher.client
        close_behind_first(client.own_transport.engine)
        result = await fetcher.fetch(server.url("/a"))

    assert isinstance(result.error, httpx.ReadError)
    assert [str(url)[-2:] for url in traced.told("url.full")] == ["/a", "/b"]
    assert traced.told("http.response.status_code") == [302, None]
    assert traced.told("error.type") == [None, "protocol"]


async def test_the_count_begins_anew_with_each_request(
    server: LoopbackServer, traced: Traced
) -> None:
    """Also where one takes the place of another that was redirected."""
    server.on("/a", Reply.redirect("/b"))
    async with Fetcher(telemetry=traced.option(), concurrency=1) as fetcher:
        await fetcher.fetch_many([server.url(path) for path in ("/a", "/c", "/a", "/d")])

    assert traced.told("http.request.resend_count") == [None, 1, None, None, 1, None]


async def test_a_redirect_that_leads_nowhere_is_an_error_of_its_hop(
    server: LoopbackServer, traced: Traced
) -> None:
    """There is no span for the request that was not sent."""
    server.on("/a", Reply.redirect("http://[/"))
    server.on("/b", Reply.redirect("/b"))
    async with Fetcher(telemetry=traced.option(), retry=None, max_redirects=1) as fetcher:
        results = await fetcher.fetch_many([server.url("/a"), server.url("/b")])

    assert [result.kind for result in results] == ["redirect"] * 2
    by_path = dict(zip(traced.told("url.full"), traced.told("error.type"), strict=True))
    assert by_path == {server.url("/a"): "redirect", server.url("/b"): "redirect"}
    assert len(traced.spans) == 3


async def test_a_challenge_has_a_span(server: LoopbackServer, traced: Traced) -> None:
    """The second request of a digest is a resending of the first."""
    challenge = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}
    server.on("/", Reply(401, headers=challenge), Reply())
    auth = httpx.DigestAuth("user", "secret")
    async with Fetcher(telemetry=traced.option("*"), auth=auth) as fetcher:
        (await fetcher.fetch(server.url())).unwrap()

    assert traced.told("http.response.status_code") == [401, 200]
    assert traced.told("error.type") == ["401", None]
    assert traced.told("http.request.resend_count") == [None, 1]
    sent = [request.headers.get_list("traceparent") for request in server.requests]
    spans = [f"{span.context.span_id:016x}" for span in traced.spans]
    assert [[value.split("-")[2] for value in values] for values in sent] == [[s] for s in spans]


async def test_a_method_that_is_not_known_is_another(
    server: LoopbackServer, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told by itself; the known ones may be named by the environment."""
    options = traced.option()
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "SPAWN, POST")
    named = traced.option()
    requests = [Request(server.url(), "SPAWN"), Request(server.url(), "get")]
    for option in (options, named):
        async with Fetcher(telemetry=option, concurrency=1) as fetcher:
            await fetcher.fetch_many(requests)

    assert traced.told("http.request.method") == ["_OTHER", "GET", "SPAWN", "_OTHER"]
    assert traced.told("http.request.method_original") == ["SPAWN", None, None, "GET"]
    assert [span.name for span in traced.spans] == ["HTTP", "GET", "SPAWN", "HTTP"]
    measured = [dict(point.attributes or {}) for point in traced.points()]
    assert all("http.request.method_original" not in each for each in measured)


@pytest.mark.parametrize("client", CLIENTS)
async def test_secrets_of_a_url_are_not_told(
    server: LoopbackServer, traced: Traced, client: str
) -> None:
    """As the conventions write it."""
    host = f"127.0.0.1:{server.port}"
    urls = [
        f"http://me:hunter2@{host}/a",
        f"http://{host}/a?sig=hunter2&b=c",
        f"http://{host}/a?access_token=hunter2#hunter",
    ]
    async with fetching(client, telemetry=traced.option(), concurrency=1) as fetcher:
        await fetcher.fetch_many(urls)

    told = traced.told("url.full")
    assert "hunter2" not in str(told)
    assert str(told[1]) == f"http://{host}/a?sig=REDACTED&b=c"
    assert str(told[2]).startswith(f"http://{host}/a?access_token=REDACTED")


async def failing(server: LoopbackServer, options: dict[str, Any], kind: FailureKind) -> Any:
    """Return a request that fails with a kind."""
    server.on("/truncated", Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", End.CLOSE))
    server.on("/decode", Reply(body=b"ab", headers={"content-encoding": "gzip"}))
    server.on("/protocol", Raw(b"nonsense\r\n\r\n", End.CLOSE))
    server.on("/too_large", Reply(body=5000))
    if kind is FailureKind.dns:
        return "http://host.invalid/"
    if kind is FailureKind.connect:
        return server.dead_url()
    if kind is FailureKind.blocked:
        options["addresses"] = "public"
    if kind is FailureKind.too_large:
        return Request(server.url("/too_large"), max_body=100)
    if kind is FailureKind.callback:
        options["event_hooks"] = {"response": [_raise]}
    return server.url(f"/{kind}")


async def _raise(response: httpx.Response) -> None:
    raise LookupError("the caller's own")


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("dns", None),
        ("connect", None),
        ("blocked", None),
        ("protocol", None),
        ("truncated", 200),
        ("decode", 200),
        ("too_large", 200),
        ("callback", 200),
    ],
)
@pytest.mark.parametrize("propagate", [(), ("*",)])
@pytest.mark.parametrize("in_client_lane", [False, True])
async def test_a_failure_is_told_by_its_kind(
    server: LoopbackServer,
    traced: Traced,
    kind: str,
    status: int | None,
    propagate: tuple[str, ...],
    in_client_lane: bool,
) -> None:
    """With its message, and with the status if there was one."""
    options: dict[str, Any] = {"telemetry": traced.option(*propagate), "retry": None}
    request = await failing(server, options, FailureKind(kind))
    if in_client_lane:
        url = request.url if isinstance(request, Request) else request
        most = request.max_body if isinstance(request, Request) else 100_000
        request = Request(url, extensions={"a": "b"}, max_body=most)
    async with Fetcher(**options) as fetcher:
        results = await fetcher.fetch_many([request])

    assert results[0].kind == kind
    (span,) = traced.spans
    assert traced.told("error.type") == [kind]
    assert traced.told("http.response.status_code") == [status]
    assert span.status.status_code is StatusCode.ERROR
    error = type(results[0].error).__name__
    assert (span.status.description or "").startswith(error)
    if kind == "callback":
        assert span.status.description == error


async def test_what_is_not_sent_has_no_span(
    server: LoopbackServer, traced: Traced, tmp_path: Path
) -> None:
    """An invalid request, a result of a journal, a file that is there."""
    journal, there = tmp_path / "run.db", tmp_path / "there"
    there.write_bytes(b"")
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        await fetcher.fetch_many([server.url("/a")], journal=journal)
        assert len(traced.spans) == 1
        results = [
            *await fetcher.fetch_many([server.url("/a")], journal=journal),
            *await fetcher.fetch_many(["gopher://a/", Request(server.url(), headers={"a": "\n"})]),
            await fetcher.fetch(server.url("/b"), to=there),
        ]

    assert results[0].from_journal
    kinds = [result.kind for result in results]
    assert kinds == [None, "invalid_request", "invalid_request", None]
    assert len(traced.spans) == 1


@pytest.mark.parametrize("auth", [None, ("user", "secret")])
async def test_a_body_that_goes_to_a_file_has_a_span(
    server: LoopbackServer, traced: Traced, tmp_path: Path, auth: Any
) -> None:
    """In either lane, with its redirect."""
    server.on("/a", Reply.redirect("/b"))
    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        results = await fetcher.fetch_many(
            [
                Request(server.url("/a"), to=tmp_path / "a", auth=auth),
                Request(server.url("/c"), to=tmp_path / "c", auth=auth),
            ]
        )

    assert [result.ok for result in results] == [True, True]
    assert sorted(traced.told("http.response.status_code")) == [200, 200, 302]
    assert all("traceparent" in request.headers for request in server.requests)


async def test_a_mock_has_spans(traced: Traced) -> None:
    """With what it says of itself."""
    mock = httpx.MockTransport(lambda _: httpx.Response(404))
    async with Fetcher(telemetry=traced.option(), transport=mock) as fetcher:
        await fetcher.fetch("https://example.org/a")

    assert traced.attributes == [
        {
            "http.request.method": "GET",
            "server.address": "example.org",
            "server.port": 443,
            "url.full": "https://example.org/a",
            "http.response.status_code": 404,
            "network.protocol.version": "1.1",
            "error.type": "404",
        }
    ]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_behind_a_proxy_the_server_is_the_target(
    server: LoopbackServer, traced: Traced, scheme: str
) -> None:
    """A proxy that fails is told by its kind."""
    with ProxyServer() as good, ProxyServer(Manner(dies="accepted")) as bad:
        for proxy in (good, bad):
            url = f"{scheme}://127.0.0.1:{proxy.port}"
            async with Fetcher(telemetry=traced.option(), proxy=url, retry=None) as fetcher:
                await fetcher.fetch_many([server.url("/a")])

        assert traced.told("network.peer.port")[0] == good.port

    assert traced.told("server.port") == [server.port] * 2
    assert traced.told("error.type") == [None, "proxy"]


async def test_the_parent_is_the_span_of_the_call(server: LoopbackServer, traced: Traced) -> None:
    """For each call, stream and single request, and not that of another batch."""
    parents = []
    async with Fetcher(telemetry=traced.option(), concurrency=1) as fetcher:
        for _ in range(3):
            with traced.parent() as parent:
                parents.append(parent.span_id)
                await fetcher.fetch(server.url())
        with traced.parent() as parent:
            parents.append(parent.span_id)
            async with fetcher.stream([server.url()]) as results:
                assert [result.ok async for result in results] == [True]
        await fetcher.fetch_many([server.url()])

    told = [span.parent and span.parent.span_id for span in traced.spans]
    assert told == [*parents, None]


@pytest.mark.may_block
def test_code_without_await_has_the_same_parents(traced: Traced) -> None:
    """Its loop runs in another thread."""
    parents = []
    with LoopbackServer().in_thread() as server:
        with traced.parent() as parent:
            parents.append(parent.span_id)
            asyncbatch.fetch_many_sync([server.url()], telemetry=traced.option())
        with SyncFetcher(telemetry=traced.option()) as fetcher:
            for call in (fetcher.fetch_many, fetcher.stream):
                with traced.parent() as parent:
                    parents.append(parent.span_id)
                    list(call([server.url()]))
            with traced.parent() as parent:
                parents.append(parent.span_id)
                fetcher.fetch(server.url())

    assert [span.parent and span.parent.span_id for span in traced.spans] == parents


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_virtual_time_begins_at_the_wall(anyio_backend: str, traced: Traced) -> None:
    """And goes on from there."""
    refused = httpx.Response(503, headers={"retry-after": "40"})
    mock = httpx.MockTransport(lambda _: refused)
    before = time.time_ns()
    with FakeClock():
        retry = Retry(attempts=2)
        async with Fetcher(telemetry=traced.option(), transport=mock, retry=retry) as fetcher:
            await fetcher.fetch("http://example.org/")

    first, second = (span.start_time or 0 for span in traced.spans)
    assert before - SLACK <= first <= time.time_ns() + SLACK
    assert second - first >= 40 * SECOND


async def test_spans_that_are_not_sampled_are_measured(server: LoopbackServer) -> None:
    """They carry their context, and make no span."""
    traced = Traced(sampling.ALWAYS_OFF)
    async with Fetcher(telemetry=traced.option("*"), retry=None) as fetcher:
        results = await fetcher.fetch_many([server.url("/a"), server.dead_url()])

    assert [result.ok for result in results] == [True, False]
    assert traced.spans == []
    assert [point.count for point in traced.points()] == [1, 1]
    (sent,) = (request.headers["traceparent"] for request in server.requests)
    assert sent.endswith(("-00", "-02"))


async def test_a_batch_of_many_has_as_many_spans(server: LoopbackServer, traced: Traced) -> None:
    """Each URL once, whichever worker sent it."""
    urls = [server.url(f"/{n}") for n in range(200)]
    async with Fetcher(telemetry=traced.option()) as fetcher:
        await fetcher.fetch_many(urls)

    assert sorted(map(str, traced.told("url.full"))) == sorted(urls)


async def test_one_option_serves_many_fetchers(server: LoopbackServer, traced: Traced) -> None:
    """It keeps no state of any of them."""
    option = traced.option()
    for _ in range(2):
        async with Fetcher(telemetry=option) as one, Fetcher(telemetry=option) as another:
            await one.fetch_many([server.url("/a")])
            await another.fetch_many([server.url("/b")])

    assert len(traced.spans) == 4
    assert isinstance(option, OpenTelemetry)
