"""Event hooks on the engine: what they see and may do, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply, echo
from tests.served import lanes_of

pytestmark = pytest.mark.asyncio_only


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    async with LoopbackServer(default=Reply(body=b"ok")) as server:
        server.on("/echo", echo)
        yield server


async def test_hooks_are_called_in_order_around_each_exchange(server: LoopbackServer) -> None:
    """With the same request, and the response that the result has."""
    seen: list[Any] = []

    def noting(name: str) -> Any:
        async def hook(given: Any) -> None:
            seen.append((name, given))

        return hook

    hooks = {"request": [noting("a"), noting("b")], "response": [noting("c"), noting("d")]}
    async with Fetcher(retry=None, event_hooks=hooks) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url())

    assert lanes == ["direct"]
    assert result.ok
    response = result.response
    assert [name for name, _ in seen] == ["a", "b", "c", "d"]
    assert all(given is response.request for _, given in seen[:2])
    assert all(given is response for _, given in seen[2:])
    assert (response.content, response.num_bytes_downloaded) == (b"ok", 2)
    assert response.is_closed
    assert response.is_stream_consumed
    assert response.elapsed.total_seconds() > 0


async def test_a_hook_sees_the_head_before_the_body_has_come(server: LoopbackServer) -> None:
    """And may refuse it, so that the rest is neither waited for nor read."""
    server.on("/", Reply(body=1_000_000).hang(body=9))

    async def refuse(response: httpx.Response) -> None:
        assert not response.is_stream_consumed
        assert response.num_bytes_downloaded == 0
        raise ValueError(response.headers["content-length"])

    async with Fetcher(retry=None, event_hooks={"response": [refuse]}, timeout=30) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.kind is FailureKind.callback
    assert isinstance(result.error, ValueError)
    assert str(result.error) == "1000000"
    assert str(result.url) == server.url()
    assert result.elapsed < 20


async def test_a_hook_may_read_a_body_that_comes_in_pieces(server: LoopbackServer) -> None:
    """It has all of it; and what it has read is not read again."""
    server.on("/slow", Reply(body=b"x" * 30, framing="chunked", chunk=10).paced(10, every=0.02))
    read: list[bytes] = []

    async def reading(response: httpx.Response) -> None:
        read.append(await response.aread())

    async with Fetcher(retry=None, event_hooks={"response": [reading]}) as fetcher:
        result = await fetcher.fetch(server.url("/slow"))

    assert read == [b"x" * 30]
    assert result.content == b"x" * 30
    assert len(server.requests) == 1


async def test_what_comes_behind_the_hooks_is_read_within_all_limits(
    server: LoopbackServer,
) -> None:
    """The size of the body, its end, and the time for all of it."""
    server.on("/long", Reply(body=b"x" * 5000))
    server.on("/gzip", Reply(body=b"y" * 5000).gzipped())
    server.on("/cut", Reply(body=b"x" * 500).cut(body=100))
    server.on("/hang", Reply(body=b"x" * 500).hang(body=100))

    async def hook(response: httpx.Response) -> None:
        response.headers["x-seen"] = "1"

    options: dict[str, Any] = {"max_body": 1000, "timeout": 0.5}
    async with Fetcher(retry=None, event_hooks={"response": [hook]}, **options) as fetcher:
        lanes = lanes_of(fetcher)
        paths = ["/long", "/gzip", "/cut", "/hang"]
        results = [await fetcher.fetch(server.url(path)) for path in paths]

    assert set(lanes) == {"direct"}
    assert [result.kind for result in results] == [
        FailureKind.too_large,
        FailureKind.too_large,
        FailureKind.truncated,
        FailureKind.timeout,
    ]
    assert isinstance(results[3].error, asyncbatch.AttemptTimeout)


@pytest.mark.parametrize("moment", ["request", "response"])
async def test_a_hook_that_takes_the_time_is_cut_off(server: LoopbackServer, moment: str) -> None:
    """The attempt's limit is for it too; the server is not blamed for what it did not do."""

    async def wait(_: Any) -> None:
        await anyio.sleep_forever()

    async with Fetcher(retry=None, event_hooks={moment: [wait]}, timeout=0.2) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 12)
        down = fetcher.statistics().by_host

    assert {result.kind for result in results} == {FailureKind.timeout}
    assert {type(result.error) for result in results} == {asyncbatch.AttemptTimeout}
    assert not any(host.given_up for host in down.values())


@pytest.mark.parametrize("moment", ["request", "response"])
async def test_a_hook_may_have_limits_of_its_own(server: LoopbackServer, moment: str) -> None:
    """The attempt's limit goes around them, and ends what waits behind them."""
    seen: list[bool] = []

    async def hook(_: Any) -> None:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        seen.append(scope.cancelled_caught)
        await anyio.sleep_forever()

    async with Fetcher(retry=None, event_hooks={moment: [hook]}, timeout=0.3) as fetcher:
        result = await fetcher.fetch(server.url())

    assert seen == [True]
    assert result.kind == FailureKind.timeout


async def test_a_body_that_a_hook_reads_is_within_the_limit_of_the_attempt(
    server: LoopbackServer,
) -> None:
    """A hook that waits for the rest of it is cut off as any other."""
    server.on("/", Reply(body=b"x" * 500).hang(body=100))
    raised: list[str] = []

    async def read(response: httpx.Response) -> None:
        try:
            await response.aread()
        except BaseException as error:
            raised.append(type(error).__name__)
            raise

    async with Fetcher(retry=None, event_hooks={"response": [read]}, timeout=0.3) as fetcher:
        result = await fetcher.fetch(server.url())

    assert raised == ["CancelledError"]
    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert result.error.timeout == 0.3


async def test_a_hook_that_another_has_added_has_the_limit_of_the_attempt(
    server: LoopbackServer,
) -> None:
    """It is called for the same response, as in httpx, and may wait where the other could not."""
    called: list[int] = []

    async def wait(response: httpx.Response) -> None:
        called.append(response.status_code)
        await anyio.sleep_forever()

    async def add(_: httpx.Response) -> None:
        fetcher.client.event_hooks["response"].append(wait)

    async with Fetcher(retry=None, event_hooks={"response": [add]}, timeout=0.3) as fetcher:
        result = await fetcher.fetch(server.url())

    assert called == [200]
    assert isinstance(result.error, asyncbatch.AttemptTimeout)


@pytest.mark.parametrize("status", [204, 302])
async def test_a_hook_may_set_any_status(server: LoopbackServer, status: Any) -> None:
    """Only the server's decides what is done with the response."""

    async def change(response: httpx.Response) -> None:
        response.status_code = status

    async with Fetcher(retry=None, event_hooks={"response": [change]}) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.response is not None
    assert result.response.status_code == status


async def test_each_of_many_has_its_own_request_response_and_result(
    server: LoopbackServer,
) -> None:
    """A worker goes on to the next one without entering it, which must not show."""
    seen: dict[str, Any] = {}

    async def hook(response: httpx.Response) -> None:
        seen[str(response.url)] = response
        if len(seen) % 3 == 0:
            await anyio.lowlevel.checkpoint()

    items = [Request(server.url(f"/echo?{n}"), tag=n, headers={"x-n": str(n)}) for n in range(60)]
    items[20:40] = [server.url(f"/echo?{n}") for n in range(20, 40)]  # type: ignore[list-item]
    hooks = {"response": [hook]}
    async with Fetcher(retry=None, concurrency=4, event_hooks=hooks, deadline=60) as fetcher:
        results = await fetcher.fetch_many(iter(items))

    assert [result.index for result in results] == list(range(60))
    assert [result.attempts for result in results] == [1] * 60
    assert [result.request.tag for result in results] == [
        *range(20),
        *[None] * 20,
        *range(40, 60),
    ]
    for number, result in enumerate(results):
        assert result.ok
        assert str(result.url).endswith(f"?{number}")
        assert result.response is seen[str(result.url)]
        assert sum(seconds for _, seconds in result.timing.phases()) <= result.elapsed + 1e-6


async def test_hooks_that_are_removed_in_the_middle_are_called_no_more(
    server: LoopbackServer,
) -> None:
    """And those that are added are called from then on."""
    calls = 0

    async def hook(_: httpx.Response) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            fetcher.client.event_hooks = {"response": []}

    def urls() -> Any:
        for number in range(20):
            if number == 12:
                fetcher.client.event_hooks = {"response": [hook]}
            yield server.url(f"/echo?{number}")

    hooks = {"response": [hook]}
    async with Fetcher(retry=None, concurrency=1, event_hooks=hooks) as fetcher:
        results = await fetcher.fetch_many(urls())

    assert len(results.successes) == 20
    assert calls == 5 + 8


@pytest.mark.once
@pytest.mark.may_block
async def test_a_hook_that_blocks_the_loop_costs_no_request_its_time(
    server: LoopbackServer,
) -> None:
    """It is the caller's: limits are put off for that long."""

    async def block(_: Any) -> None:
        time.sleep(0.3)  # noqa: ASYNC251  # what is shown here

    # Less than the hooks take together, and much more than a busy machine takes for an answer.
    async with Fetcher(retry=None, event_hooks={"response": [block]}, timeout=2.0) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 8)

    assert all(result.ok for result in results)


async def test_a_changed_request_is_sent_as_it_has_become(server: LoopbackServer) -> None:
    """Once, with the hooks called once for each hop."""
    calls: list[str] = []

    async def sign(request: httpx.Request) -> None:
        calls.append(request.url.path)
        request.headers["x-signature"] = request.url.path

    async def note(response: httpx.Response) -> None:
        calls.append(f"{response.status_code}")

    server.on("/go", Reply.redirect("/sent"))
    server.on(
        "/sent", lambda request: Reply(body=request.headers["x-signature"], headers={"x-a": "b"})
    )

    hooks = {"request": [sign], "response": [note]}
    async with Fetcher(retry=None, event_hooks=hooks) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url("/go"))

    assert lanes == ["direct", "client"]  # a redirect goes on by the client
    assert result.text == "/sent"
    assert calls == ["/go", "302", "/sent", "200"]
    assert [request.headers["x-signature"] for request in server.requests] == ["/go", "/sent"]


async def test_a_refusal_in_httpxs_own_words_is_the_servers(server: LoopbackServer) -> None:
    """`raise_for_status` in a hook makes a failure of kind `status`, which is tried again."""
    answers = [Reply(503), Reply(503), Reply(body=b"at last")]

    def answer(_: RecordedRequest) -> Reply:
        return answers.pop(0)

    async def refuse(response: httpx.Response) -> None:
        response.raise_for_status()

    server.on("/", answer)
    retry = asyncbatch.Retry(attempts=3, backoff=0.001, pause_hosts=False)
    async with Fetcher(retry=retry, event_hooks={"response": [refuse]}) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.text == "at last"
    assert [attempt.status_code for attempt in result.history] == [503, 503]


async def test_a_cancelled_task_of_a_hooks_fails_its_request_alone(
    server: LoopbackServer,
) -> None:
    """It would end the whole batch otherwise."""
    lost = asyncio.ensure_future(asyncio.sleep(100))
    lost.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await lost

    async def wait_for_it(request: httpx.Request) -> None:
        if request.url.path == "/lost":
            await lost

    async with Fetcher(retry=None, event_hooks={"request": [wait_for_it]}) as fetcher:
        results = await fetcher.fetch_many([server.url("/lost"), server.url("/kept")])

    assert [result.kind for result in results] == [FailureKind.callback, None]


async def test_cancelling_leaves_no_connection_in_use(server: LoopbackServer) -> None:
    """Whether a hook waits, or the server does."""
    server.on("/hang", Reply().hang())

    async def wait(response: httpx.Response) -> None:
        await anyio.sleep_forever()

    async with Fetcher(retry=None, event_hooks={"response": [wait]}) as fetcher:
        with anyio.move_on_after(0.2):
            await fetcher.fetch_many([server.url("/hang"), server.url()] * 3)
        client: Any = fetcher.client
        counts = client.own_transport.engine.counts()

    assert counts["waiting"] == 0
    assert counts["connections"] == counts["idle"]


async def test_a_hooked_exchange_is_logged_once(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In httpx's words, between the hooks of its request and of its response."""

    async def note(given: Any) -> None:
        logging.getLogger("httpx").info("hook")

    hooks = {"request": [note], "response": [note]}
    with caplog.at_level(logging.INFO, "httpx"):
        async with Fetcher(retry=None, event_hooks=hooks) as fetcher:
            await fetcher.fetch(server.url())

    assert caplog.messages == [
        "hook",
        f'HTTP Request: GET {server.url()} "HTTP/1.1 200 OK"',
        "hook",
    ]


async def test_hooks_see_requests_of_every_kind(server: LoopbackServer) -> None:
    """Put together or built, with cookies and authentication in them."""
    seen: list[httpx.Request] = []

    async def see(request: httpx.Request) -> None:
        seen.append(request)

    async with Fetcher(
        retry=None, event_hooks={"request": [see]}, auth=("a", "b"), cookies={"c": "1"}
    ) as fetcher:
        lanes = lanes_of(fetcher)
        url = server.url("/echo")
        requests = [
            url,
            Request(url, method="POST", json={"a": 1}),
            Request(url, cookies={"d": "2"}),
        ]
        results = [await fetcher.fetch(each) for each in requests]

    assert set(lanes) == {"direct"}
    for request, result, arrived in zip(seen, results, server.requests, strict=True):
        assert result.unwrap().request is request
        assert sorted(request.headers.raw) == sorted(arrived.raw_headers)
        assert request.content == arrived.body
        assert "c=1" in request.headers["cookie"]
        assert request.headers["authorization"].startswith("Basic ")


def without_coding(response: Any) -> None:
    response.headers.pop("content-encoding", None)


def with_coding(response: Any) -> None:
    response.headers["Content-Encoding"] = "gzip"


def with_field(response: Any) -> None:
    response.headers["x-seen"] = "1"


def with_new_headers(response: Any) -> None:
    response.headers = httpx.Headers({"x-new": "1"})


@pytest.mark.parametrize(
    "change", [without_coding, with_coding, with_field, with_new_headers], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("coded", [False, True])
async def test_a_body_is_decoded_by_the_fields_that_a_hook_leaves(
    server: LoopbackServer, change: Callable[[Any], None], coded: bool
) -> None:
    """As httpx does, which reads them after the hooks."""
    reply = Reply(body=b"y" * 99)
    server.on("/", reply.gzipped() if coded else reply)

    async def hook(response: Any) -> None:
        change(response)

    hooks = {"response": [hook]}
    expected: Any
    async with httpx.AsyncClient(event_hooks=hooks, trust_env=False) as client:
        try:
            response = await client.get(server.url())
            expected = response.content, response.headers.raw[-1]
        except httpx.DecodingError:
            expected = None
    async with Fetcher(event_hooks=hooks, retry=None) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url())

    assert lanes == ["direct"]
    if expected is None:
        assert result.kind is FailureKind.decode
    else:
        response = result.unwrap()
        assert (result.content, response.headers.raw[-1]) == expected
        assert response.content == result.content


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("named", [{}, {"to": "body.bin"}])
async def test_a_hook_that_takes_the_pieces_is_named_for_what_it_leaves(
    named: dict[str, Any], piece: int | None, server: LoopbackServer, tmp_path: Path
) -> None:
    """The body is gone, which is neither the request's fault nor the server's."""

    async def take(response: httpx.Response) -> None:
        async for _ in response.aiter_bytes(piece):
            if piece:
                break

    server.on("/", Reply(body=b"abc", framing="chunked", chunk=1))
    target = {name: tmp_path / value for name, value in named.items()}
    async with Fetcher(retry=None, event_hooks={"response": [take]}) as fetcher:
        result = await fetcher.fetch(Request(server.url(), **target))

    assert result.kind == "callback"
    assert type(result.error) is httpx.StreamConsumed


@pytest.mark.parametrize("owns_client", [True, False])
async def test_a_body_that_breaks_off_while_a_hook_reads_it_is_fetched_again(
    owns_client: bool, server: LoopbackServer
) -> None:
    """The server has failed, and not the hook."""

    async def read(response: httpx.Response) -> None:
        await response.aread()

    server.on("/", Reply(body=b"abc" * 10).cut(body=20), Reply(body=b"whole"))
    hooks: dict[str, Any] = {"response": [read]}
    retry = asyncbatch.Retry(backoff=0.001)
    async with httpx.AsyncClient(event_hooks=hooks, trust_env=False) as client:
        own: dict[str, Any] = {"event_hooks": hooks, "trust_env": False}
        options = own if owns_client else {"client": client}
        async with Fetcher(retry=retry, **options) as fetcher:
            result = await fetcher.fetch(server.url())

    assert result.ok
    assert result.content == b"whole"
    assert [type(attempt.error) for attempt in result.history] == [asyncbatch.TruncatedBody]


async def test_a_failure_of_a_hooks_own_request_is_the_hooks(server: LoopbackServer) -> None:
    """Although it is of the same kind, and from the same library."""

    async def ask(_: httpx.Response) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(server.url("/cut"))

    server.on("/cut", Reply(body=b"abc" * 10).cut(body=20))
    async with Fetcher(event_hooks={"response": [ask]}, trust_env=False) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.kind == "callback"
    assert type(result.error) is httpx.RemoteProtocolError


async def test_a_client_that_a_hook_closes_sends_nothing(server: LoopbackServer) -> None:
    """And says why; no server has failed."""

    async def close(_: httpx.Request) -> None:
        await fetcher.client.aclose()

    async with Fetcher(retry=None, event_hooks={"request": [close]}) as fetcher:
        result = await fetcher.fetch(server.url())

        given_up = [host.given_up for host in fetcher.statistics().by_host.values()]

    assert isinstance(result.error, httpx.ReadError)
    assert "the engine is closed" in str(result.error)
    assert not server.requests
    assert not any(given_up)


async def test_fields_that_a_hook_replaces_by_no_headers_fail_the_request_alone(
    server: LoopbackServer,
) -> None:
    """Httpx does not know what to do with them either, and raises where the body is read."""

    async def replace(response: Any) -> None:
        if response.url.path == "/bad":
            response.headers = {"x-a": "1"}

    hooks: dict[str, Any] = {"response": [replace]}
    async with Fetcher(retry=None, event_hooks=hooks) as fetcher:
        bad, good = await fetcher.fetch_many([server.url("/bad"), server.url()])

    assert isinstance(bad.error, AttributeError)
    assert good.ok


FIELDS: dict[str, dict[str, str]] = {
    "another protocol": {"connection": "upgrade", "upgrade": "echo"},
    "a body in chunks": {"transfer-encoding": "chunked"},
    "a line break": {"x-a": "1\nx-b: 2"},
}


@pytest.mark.parametrize("case", FIELDS)
async def test_fields_of_a_hook_that_say_more_are_the_clients(
    server: LoopbackServer, case: str
) -> None:
    """It sends them as httpx does, or refuses them in its words."""
    server.on("/", Reply(body=b"ok", close=True))

    async def add(request: httpx.Request) -> None:
        request.headers.update(FIELDS[case])

    hooks: dict[str, Any] = {"request": [add]}
    expected: Any
    async with httpx.AsyncClient(event_hooks=hooks, trust_env=False) as client:
        try:
            await client.get(server.url())
            expected = None
        except httpx.LocalProtocolError as error:
            expected = type(error)
    async with Fetcher(event_hooks=hooks, retry=None, trust_env=False) as fetcher:
        lanes = lanes_of(fetcher)
        result = await fetcher.fetch(server.url())

    assert (None if result.ok else type(result.error)) is expected
    assert "direct" not in lanes
    seen = [request.headers.get("upgrade") for request in server.requests]
    assert seen == ([] if expected else [FIELDS[case].get("upgrade")] * 2)


async def test_hooks_may_wait_where_there_is_no_limit(server: LoopbackServer) -> None:
    """As long as they like."""

    async def wait(_: Any) -> None:
        await anyio.lowlevel.checkpoint()

    hooks: dict[str, Any] = {"request": [wait], "response": [wait]}
    async with Fetcher(retry=None, event_hooks=hooks, timeout=None) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.ok
