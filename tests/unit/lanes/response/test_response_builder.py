"""Responses that are built when somebody asks: when that is, and that nobody can tell."""

from __future__ import annotations

import contextlib
import datetime
import gc
import logging
import pickle
import weakref
from time import monotonic
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Retry, Success
from asyncbatch._engine.http11._head import parse_head
from asyncbatch._lanes import DirectLane, OwnClient, binding_of
from asyncbatch._lanes.response._head_fields import coding_in
from asyncbatch._lanes.response._response_builder import (
    PlainResponseBuilder,
    ResponseBuilder,
    peer_of,
)
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch.testing import LoopbackServer, Reply
from tests.served import lanes_of
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.once


async def fetch(request: Any, **settings: Any) -> asyncbatch.Result:
    """Fetch through the direct lane."""
    async with Fetcher(retry=None, **settings) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(request)
        assert lanes == ["direct"]
    return result


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that gets the name of each kind of object that httpx builds."""
    built: list[str] = []
    for kind in (httpx.Response, httpx.Request):
        real = kind.__init__

        def noting(self: Any, *args: Any, _real: Any = real, **kwargs: Any) -> None:
            built.append(type(self).__name__)
            _real(self, *args, **kwargs)

        monkeypatch.setattr(kind, "__init__", noting)
    return built


async def test_who_asks_for_status_and_content_has_nothing_built(
    server: LoopbackServer, built: list[str]
) -> None:
    """Neither a response nor a request; the response is built once, when it is asked for."""
    server.on("/", Reply.json({"a": 1}))

    async with Fetcher(retry=None) as fetcher:
        first = await fetcher.fetch(server.url())
        # Builds the request that all others have in common, and what is compared once a process.
        assert first.response is not None
        built.clear()
        results = await fetcher.fetch_many([server.url()] * 3)

    assert [(result.ok, result.status_code, result.json()) for result in results] == [
        (True, 200, {"a": 1})
    ] * 3
    assert results[0].content == b'{"a": 1}'
    assert built == []
    assert results[0].unwrap() is results[0].unwrap() is results[0].response
    assert sorted(built) == ["Request", "Response"]
    assert results[0].content is results[0].unwrap().content


async def test_a_failed_status_is_an_error_when_somebody_asks(
    server: LoopbackServer, built: list[str]
) -> None:
    """Once, with its response; kind, status and content are known before."""
    server.on("/", Reply(503, b"no", headers={"Retry-After": "7"}))

    async with Fetcher(retry=None) as fetcher:
        first = await fetcher.fetch(server.url())
        assert first.response is not None  # as above
        built.clear()
        (failure,) = (await fetcher.fetch_many([server.url()])).failures

    assert (failure.kind, failure.status_code, failure.content) == ("status", 503, b"no")
    assert built == []
    assert isinstance(failure.error, httpx.HTTPStatusError)
    assert failure.error is failure.error
    assert failure.error.response is failure.response
    assert sorted(built) == ["Request", "Response"]
    assert str(failure.url) == server.url()
    again: Any = pickle.loads(pickle.dumps(failure))
    assert str(again.error) == str(failure.error)


@pytest.mark.parametrize("name", ["retry-after", "Retry-After"])
async def test_retry_after_is_read_as_httpx_reads_it(server: LoopbackServer, name: str) -> None:
    """Whatever stands around it, and however it is written."""
    server.on("/", Reply(429, headers={"x": "y", name: "  9999  ", "z": ""}))

    async with Fetcher(retry=Retry(attempts=2)) as fetcher:
        failure: Any = await fetcher.fetch(server.url())

    assert failure.kind == "retry_after"
    assert failure.error.retry_after == 9999
    assert failure.error.response is failure.response


async def test_a_retry_after_date_counts_from_the_responses_own_date(
    server: LoopbackServer,
) -> None:
    """And from its `Age`: the time of the machine that we run on does not matter."""
    dates = {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "age": "100",
        "retry-after": "Sun, 06 Nov 1994 11:36:17 GMT",
    }
    server.on("/", Reply(503, headers=dates))

    async with Fetcher(retry=Retry(attempts=2)) as fetcher:
        failure: Any = await fetcher.fetch(server.url())

    assert failure.kind == "retry_after"
    assert failure.error.retry_after == 9900


async def test_the_built_response_is_read_and_closed(server: LoopbackServer) -> None:
    """As after httpx's own `aread()`."""
    server.on("/", Reply(body="Zürich", headers={"content-type": "text/plain; charset=utf-8"}))

    response = (await fetch(server.url("/"))).unwrap()

    assert response.is_closed
    assert response.is_stream_consumed
    assert response.read() == "Zürich".encode()
    assert await response.aread() == response.content
    assert response.text == "Zürich"
    assert [chunk async for chunk in response.aiter_bytes()] == [response.content]
    assert response.num_bytes_downloaded == 7
    assert isinstance(response.elapsed, datetime.timedelta)
    assert response.raise_for_status() is response


async def test_elapsed_is_the_time_of_the_exchange(server: LoopbackServer) -> None:
    """To the end of the body, and within the result's own."""
    server.on("/", Reply(body=b"ok").delayed(0.05))

    result = await fetch(server.url())

    assert 0.045 <= result.unwrap().elapsed.total_seconds() <= result.elapsed


async def test_the_default_encoding_of_the_client_counts(server: LoopbackServer) -> None:
    """As text or as a function, for a body that does not say."""
    server.on("/", Reply(body="ü".encode("latin-1"), headers={"content-type": "text/plain"}))

    for encoding in ("latin-1", lambda _: "latin-1"):
        result = await fetch(server.url(), default_encoding=encoding)

        assert result.text == "ü"
        assert result.unwrap().default_encoding == encoding


async def test_the_connection_can_be_asked_for_its_addresses(server: LoopbackServer) -> None:
    """Under the names of httpcore; what is not known is None."""
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(server.url())
        stream = result.unwrap().extensions["network_stream"]

        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.1"
        assert stream.get_extra_info("ssl_object") is None
        assert stream.get_extra_info("nonsense") is None


async def test_the_connection_can_be_asked_for_its_certificate(tls_server: LoopbackServer) -> None:
    """Of the peer, in the ssl module's form."""
    async with Fetcher(retry=None, verify=TRUSTING) as fetcher:
        result = await fetcher.fetch(tls_server.url())
        stream = result.unwrap().extensions["network_stream"]

        assert stream.get_extra_info("ssl_object").getpeercert()["subjectAltName"]


@pytest.mark.parametrize("asked", [False, True])
async def test_a_result_can_be_sent_to_another_process(server: LoopbackServer, asked: bool) -> None:
    """Built or not, with what httpx's responses keep when they are pickled."""
    server.on("/", Reply(body=b"ok", headers={"x-a": "1"}))
    result = await fetch(server.url())
    if asked:
        result.unwrap()

    copy = pickle.loads(pickle.dumps(result))

    assert isinstance(copy, Success)
    assert (copy.status_code, copy.content, copy.headers["x-a"]) == (200, b"ok", "1")
    assert copy.url == result.url
    assert copy.timing == result.timing
    assert copy.unwrap().request.method == "GET"


async def test_a_later_change_of_the_client_does_not_change_what_was_sent(
    server: LoopbackServer,
) -> None:
    """`response.request` tells what went out."""
    async with Fetcher(retry=None, headers={"x-a": "1"}) as fetcher:
        result = await fetcher.fetch(server.url())
        fetcher.client.headers["x-a"] = "2"
        fetcher.client.cookies.set("a", "1")

        request = result.unwrap().request

    assert request.headers["x-a"] == "1"
    assert "cookie" not in request.headers
    assert request.read() == b""


# httpx leaves the generators of a body that it cannot decode to the collector, of which trio warns.
@pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)[.]:ResourceWarning")
@pytest.mark.parametrize("path", ["/", "/404", "/go", "/cut", "/corrupt", "/cookie"])
async def test_the_log_has_httpxs_lines_word_for_word(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """One for each head that came, whatever became of the body."""
    server.on("/", Reply(body=b"ok"))
    server.on("/404", Reply(404, b"x", reason="Not Here"))
    server.on("/go", Reply.redirect("/"))
    server.on("/cut", Reply(body=99).cut(body=9))
    server.on("/corrupt", Reply(body=b"text", headers={"content-encoding": "gzip"}))
    server.on("/cookie", Reply(body=b"ok", headers={"set-cookie": "a=1"}))
    url = server.url(path) + "?a=b"

    def lines() -> list[tuple[str, int, str]]:
        found = [each for each in caplog.record_tuples if each[0] == "httpx"]
        caplog.clear()
        return found

    with caplog.at_level(logging.INFO, logger="httpx"):
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.DecodingError):
                await client.get(url)
            gc.collect()
        theirs = lines()
        async with Fetcher(retry=None) as fetcher:
            lanes = lanes_of(fetcher)
            await fetcher.fetch(url)
        ours = lines()

    assert ours == theirs
    assert len(ours) == (2 if path == "/go" else 1)
    assert lanes[0] == "direct"


async def test_the_log_costs_nothing_when_nobody_reads_it(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written below the level that is asked for."""
    with caplog.at_level(logging.WARNING, logger="httpx"):
        await fetch(server.url())

    assert caplog.record_tuples == []


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("path", ["/", "/gzip", "/cut", "/close"])
async def test_an_outcome_is_freed_without_the_garbage_collector(
    server: LoopbackServer, path: str, asked: bool
) -> None:
    """Neither responses nor errors refer back to themselves."""
    server.on("/gzip", Reply(body=b"x" * 1000).gzipped())
    server.on("/cut", Reply(body=99).cut(body=9))
    server.on("/close", Reply(body=b"x", close=True))
    async with OwnClient(trust_env=False) as client:
        lane = DirectLane(
            client, binding_of(client), max_body=9999, follow_redirects=True, max_redirects=5
        )
        lane.begin_batch(monotonic)
        limits = TimeLimits(total=5, connect=5)
        gc.disable()
        try:
            url = server.url(path)
            encoded = lane.encode(url, limits)
            outcome = await lane.exchange(url, encoded, limits, 5.0, monotonic)
            answer: Any = outcome.error
            if asked and outcome.response is not None:
                answer = outcome.response.build(None, outcome.content, outcome.timing)
            gone = [weakref.ref(each) for each in (outcome, answer) if each is not None]
            del outcome, answer
            left = [ref() for ref in gone if ref() is not None]
        finally:
            gc.enable()

    assert left == []


@pytest.mark.parametrize(
    ("items", "is_told"),
    [
        (["http://a.test/1", " http://a.test/2\t", "http://a.test/x y", "http://\xe4.test/"], True),
        (["http://a.test/1", "http://a.test:8080/2"], False),
        (["http://a.test/1", "https://a.test:443/2"], False),
        (["http://a.test/1", httpx.URL("http://a.test/2")], False),
        (["http://a.test/1", asyncbatch.Request("http://a.test/2", tag=1)], False),
    ],
)
def test_final_urls_at_once_are_those_one_by_one(items: list[Any], is_told: bool) -> None:
    """They are not told at once if httpx may change one of them, or if one is not a text."""
    builder = PlainResponseBuilder.__new__(PlainResponseBuilder)
    builder._library = httpx
    one_by_one = [builder.final_url(item) for item in items]

    assert PlainResponseBuilder.final_urls(items) == (one_by_one if is_told else None)


@pytest.mark.parametrize(
    ("lines", "coding"),
    [
        ("Content-Type: a/b\r\n", None),
        ("CONTENT-encoding:gzip\r\n", "gzip"),
        ("Content-Encoding: gzip\r\nContent-Encoding: br\r\n", "gzip,br"),
        ("Content-Encoding:\r\n", None),
        ("X-Content-Encoding: gzip\r\n", None),
    ],
)
def test_a_coding_is_read_of_a_head_that_names_one(lines: str, coding: str | None) -> None:
    """However it is spelled; other heads are not searched."""
    head = parse_head(f"HTTP/1.1 200 OK\r\n{lines}".encode())

    assert ResponseBuilder(httpx, "utf-8", head, None).coding == coding == coding_in(head.block)


def test_a_connection_that_has_been_cut_has_no_peer() -> None:
    """The system does not know it any more."""

    class Connection:
        def get_extra_info(self, name: str) -> object:
            raise OSError(name)

    assert peer_of(Connection()) is None
