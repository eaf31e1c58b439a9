"""The direct lane: redirects, failures as in the client lane, exact times."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, HTTPTransport, Request
from asyncbatch.testing import LoopbackServer, Raw, Reply
from tests.served import close_behind_first, lanes_of
from tests.unit.lanes.conftest import TRUSTING, fetch
from tests.unit.lanes.failures.test_of_client import ANSWERS
from tests.virtual_time import virtual_time


@pytest.fixture
async def on_engine() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of the caller's on our transport: the client lane above the engine."""
    transport = HTTPTransport(verify=TRUSTING, trust_env=False)
    async with httpx.AsyncClient(
        transport=transport, trust_env=False, follow_redirects=True, timeout=10
    ) as client:
        yield client


# Failures

# Of a reset behind some bytes, `test_direct_sockets` asks more.
RESETS = {"reset in the head", "reset body"}


def told(result: Any) -> dict[str, Any]:
    """Return what a failure tells, but for the words."""
    error = result.error
    return {
        "kind": result.kind,
        "type": type(error),
        "url": result.url,
        "status": result.status_code,
        "request": getattr(error, "_request", None) and (error.request.method, error.request.url),
        "attempts": result.attempts,
    }


@pytest.mark.parametrize("case", [case for case in ANSWERS if case not in RESETS])
async def test_both_lanes_say_the_same_of_an_answer(
    server: LoopbackServer, on_engine: httpx.AsyncClient, case: str
) -> None:
    """Kind, type, request, URL and number of tries; nothing is held by frames."""
    answer, kind, _ = ANSWERS[case]
    server.on("/", answer)
    retry = asyncbatch.Retry(attempts=2, backoff=0)

    async with Fetcher(max_body=1000, retry=retry, max_redirects=5, timeout=3) as fetcher:
        direct = await fetcher.fetch(server.url())
    async with Fetcher(on_engine, max_body=1000, retry=retry, max_redirects=5) as fetcher:
        by_client = await fetcher.fetch(server.url())

    assert not direct.ok
    assert not by_client.ok
    assert direct.kind == kind
    assert told(direct) == told(by_client)
    assert direct.error.__traceback__ is None


@pytest.mark.usefixtures("short_outages")
@pytest.mark.parametrize("place", ["dead", "silent", "no TLS", "untrusted", "wrong name"])
async def test_both_lanes_say_the_same_of_a_connection_that_is_not_made(
    server: LoopbackServer, tls_server: LoopbackServer, place: str
) -> None:
    """And hold it against the host, unless it is behind a redirect."""
    urls = {
        "dead": server.dead_url(),
        "silent": server.silent_url(),
        "no TLS": server.url().replace("http:", "https:"),
        "untrusted": tls_server.url(),
        "wrong name": tls_server.url(host=2),
    }
    verify = ssl.create_default_context() if place == "untrusted" else TRUSTING
    server.on("/go", Reply.redirect(urls[place]))
    # On a busy machine the others need their time.
    limit = 0.05 if place == "silent" else 9
    options: dict[str, Any] = {"retry": None, "give_up_host_after": 1, "connect_timeout": limit}
    seen = []
    for own in (True, False):
        transport = HTTPTransport(verify=verify, trust_env=False)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            fetcher = (
                Fetcher(verify=verify, **options) if own else Fetcher(client, timeout=9, **options)
            )
            async with fetcher:
                results = [
                    await fetcher.fetch(url) for url in (server.url("/go"), *[urls[place]] * 2)
                ]
        assert not any(result.ok for result in results)
        seen.append([told(result) for result in results[:2]])
        assert results[2].kind == FailureKind.host_down  # type: ignore[union-attr]
        assert results[0].kind != FailureKind.host_down  # type: ignore[union-attr]

    assert seen[0] == seen[1]


async def test_a_client_certificate_that_is_asked_for_is_of_kind_tls() -> None:
    """TLS 1.3 servers say so only once the handshake is over."""
    from tests.unit.lanes.conftest import AUTHORITY

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with LoopbackServer(ssl_context=context) as server:
        result = await fetch(server.url())

    assert not result.ok
    assert result.kind == FailureKind.tls


@pytest.mark.parametrize("size", [100, 5000, 70_000])
async def test_a_redirect_is_followed_however_long_its_own_body(
    server: LoopbackServer, size: int
) -> None:
    """The limit is for what the caller gets."""
    server.on("/", Reply(302, b"x" * size, {"location": "/there"}))
    server.on("/there", Reply(body=b"there"))

    # What has been left out of it is for the client to say.
    lanes = ("direct", "direct" if size < 1000 else "client")
    result = await fetch(server.url(), lanes=lanes, max_body=1000)

    assert result.text == "there"
    assert [response.status_code for response in result.unwrap().history] == [302]
    assert [request.target for request in server.requests] == ["/", "/there"]


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize(
    ("size", "max_body", "kept"),
    [(60_000, None, True), (70_000, None, False), (900, 1000, True), (5000, 1000, False)],
)
async def test_the_own_body_of_a_redirect_is_read_alike_in_both_lanes(
    server: LoopbackServer,
    on_engine: httpx.AsyncClient,
    framing: Any,
    size: int,
    max_body: int | None,
    kept: bool,
) -> None:
    """Up to 64 KiB, or `max_body` where that is less."""
    server.on("/", Reply(302, b"x" * size, {"location": "/there"}, framing=framing))

    for client in (None, on_engine):
        async with Fetcher(client, max_body=max_body, retry=None) as fetcher:
            result = await fetcher.fetch(server.url())

        assert result.ok
        assert len(result.unwrap().history[0].content) == (size if kept else 0)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_the_own_body_of_a_redirect_is_left_where_it_is_long(
    server: LoopbackServer, framing: Any
) -> None:
    """Its connection goes with it; the rest is not waited for."""
    endless = Reply(302, 10_000_000, {"location": "/there"}, framing=framing)
    server.on("/", endless.paced(100_000, every=0.1))

    result = await fetch(server.url(), lanes=("direct", "client"), timeout=5)

    assert result.ok
    assert result.unwrap().history[0].content == b""


@pytest.mark.parametrize("size", [300_000, 1_200_000])
async def test_a_redirect_that_is_not_followed_may_be_as_long_as_any_response(
    server: LoopbackServer, size: int
) -> None:
    """It is the answer, then: by the option or by the request."""
    reply = Reply(302, b"x" * size, {"location": "/there"}, framing="chunked")
    server.on("/", reply)

    by_option = await fetch(server.url(), follow_redirects=False)
    by_request = await fetch(Request(server.url(), follow_redirects=False))

    assert [len(each.content) for each in (by_option, by_request)] == [size, size]


@pytest.mark.any_loop
@pytest.mark.asyncio_only
async def test_the_time_limit_is_for_all_hops_together(server: LoopbackServer) -> None:
    """The error tells the whole of it, not what was left for the last hop."""
    server.on("/", Reply.redirect("/slow").delayed(50))
    server.on("/slow", Reply().hang())

    with virtual_time():
        result = await fetch(server.url(), lanes=("direct", "direct"), timeout=150)

    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert result.error.timeout == 150
    assert result.elapsed == pytest.approx(150, abs=5)


# Times


def phases(result: Any) -> list[str]:
    """Name the phases that occurred, and check that they do not overlap."""
    timed = list(result.timing.phases())
    assert all(seconds >= 0 for _, seconds in timed)
    assert sum(seconds for _, seconds in timed) <= result.elapsed + 1e-6
    return [name for name, _ in timed]


async def test_each_phase_of_a_connection_is_timed_once(server: LoopbackServer) -> None:
    """No look-up for an address, and nothing of it on reuse."""
    async with Fetcher(retry=None) as fetcher:
        first, again = [await fetcher.fetch(server.url()) for _ in range(2)]
        named = await fetcher.fetch(server.url().replace("127.0.0.1", "localhost"))

    assert phases(first) == ["connect", "send", "wait", "receive"]
    assert phases(again) == ["send", "wait", "receive"]
    assert phases(named) == ["dns", "connect", "send", "wait", "receive"]


@pytest.mark.any_loop
@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("reply", "phase"),
    [
        (Reply(body=b"ok").delayed(50), "wait"),
        (Reply(body=b"x" * 60).paced(10, every=10), "receive"),
    ],
)
async def test_a_server_that_takes_its_time_is_seen_in_the_right_phase(
    server: LoopbackServer, reply: Reply, phase: str
) -> None:
    """Waiting for the head, or receiving the body."""
    server.on("/", reply)

    with virtual_time():
        result = await fetch(server.url(), timeout=500)

    assert getattr(result.timing, phase) >= 40
    assert sum(seconds for name, seconds in result.timing.phases() if name != phase) < 10
    assert phases(result)[-1] == "receive"


async def test_the_phases_of_all_hops_add_up(server: LoopbackServer) -> None:
    """The first hop included, and counted once."""
    server.on("/", Reply.redirect("/b").delayed(0.03))
    server.on("/b", Reply.redirect("/c").delayed(0.03))
    server.on("/c", Reply(body=b"c").delayed(0.03))

    result = await fetch(server.url(), lanes=("direct",) * 3)

    assert phases(result) == ["connect", "send", "wait", "receive"]
    assert result.timing.wait >= 0.085
    assert len(result.unwrap().history) == 2
    assert all(hop.elapsed.total_seconds() >= 0 for hop in result.unwrap().history)


async def test_each_try_has_its_own_times(server: LoopbackServer) -> None:
    """The result has the last one's, the history those before."""
    server.on("/", Reply(503).delayed(0.05), Reply(body=99).cut(body=9), Reply(body=b"well"))
    retry = asyncbatch.Retry(attempts=3, backoff=0)

    result = await fetch(server.url(), lanes=("direct",) * 3, retry=retry)

    assert result.ok
    assert result.attempts == 3
    assert [attempt.status_code for attempt in result.history] == [503, None]
    waits = [attempt.timing.wait for attempt in result.history]
    assert waits[0] is not None
    assert waits[0] >= 0.045
    assert waits[1] is not None
    assert result.timing.wait is not None
    assert phases(result)[-1] == "receive"


async def test_the_phase_in_which_a_try_failed_is_timed(server: LoopbackServer) -> None:
    """And none behind it."""
    server.on("/head", Reply().hang())
    server.on("/body", Reply(body=99).hang(body=9))

    urls = {
        "wait": server.url("/head"),
        "receive": server.url("/body"),
        "connect": server.silent_url(),
    }

    for last, url in urls.items():
        # On a busy machine a phase before it may take all of a short time.
        for timeout in (0.1, 1, 10):
            result = await fetch(url, timeout=timeout)
            if (getattr(result.timing, last) or 0) >= timeout / 2:
                break

        assert getattr(result.timing, last) >= timeout / 2
        passed = ["connect", "send", "wait", "receive"]
        assert phases(result) == passed[: passed.index(last) + 1]


@pytest.mark.parametrize("value", ["\xe9", "\u2603", "a\x85b", "\xff"])
async def test_a_cookie_that_could_not_be_sent_is_not_kept(
    server: LoopbackServer, value: str
) -> None:
    """It would fail every later request to the server that set it, and to its neighbours."""
    cookies = f"Set-Cookie: good=1\r\nSet-Cookie: bad={value}\r\nSet-Cookie: {value}=bad\r\n"
    head = f"HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n"
    server.on("/", Raw(head.encode()))

    async with Fetcher(retry=None, trust_env=False) as fetcher:
        results = [await fetcher.fetch(server.url(path)) for path in ("/", "/next")]

    assert [result.ok for result in results] == [True, True]
    assert server.requests[-1].headers["cookie"].startswith("good=1")
    assert server.requests[-1].headers["cookie"].isascii()


async def test_a_tls_connection_is_timed_and_used_again(tls_server: LoopbackServer) -> None:
    """The handshake once, and then as without TLS."""
    async with Fetcher(retry=None, verify=TRUSTING) as fetcher:
        first, again = [await fetcher.fetch(tls_server.url()) for _ in range(2)]

    phases = [[name for name, _ in result.timing.phases()] for result in (first, again)]
    assert phases == [["connect", "tls", "send", "wait", "receive"], ["send", "wait", "receive"]]
    assert tls_server.statistics().connections == 1


@pytest.mark.parametrize(
    ("where", "kind"), [("head", FailureKind.protocol), ("body", FailureKind.truncated)]
)
async def test_a_reset_behind_some_bytes_is_told_at_once(
    server: LoopbackServer, where: str, kind: FailureKind
) -> None:
    """Not when the time is up."""
    places: dict[str, Any] = {where: 9}
    server.on("/", Reply(body=500).reset(**places))

    async with Fetcher(retry=None, timeout=3) as fetcher:
        result = await fetcher.fetch(server.url())

    assert not result.ok
    assert result.kind == kind


async def test_cookies_of_the_headers_and_of_the_jar_are_sent_as_by_httpx(
    server: LoopbackServer,
) -> None:
    """The known head of an origin is for the headers alone."""
    server.on("/set", Reply(headers={"set-cookie": "jar=1; path=/"}))
    paths, headers = ("/set", "/next", "/next"), {"cookie": "own=1"}

    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
        for path in paths:
            await client.get(server.url(path))
    async with Fetcher(retry=None, headers=headers, trust_env=False) as fetcher:
        lanes = lanes_of(fetcher)
        for path in paths:
            await fetcher.fetch(server.url(path))

    sent = [request.headers["cookie"] for request in server.requests]
    assert sent[:3] == sent[3:]
    assert lanes == ["direct"] * 3


async def test_a_hop_after_the_client_was_closed_fails_as_in_the_client(
    server: LoopbackServer, on_engine: httpx.AsyncClient
) -> None:
    """Between a redirect and the request that it leads to: that is not sent."""
    server.on("/", Reply.redirect("/there"))
    # With a limit of its own: a relay does not take it.
    request = Request(server.url(), max_body=1000)

    async with Fetcher(retry=None) as fetcher:
        client: Any = fetcher.client
        close_behind_first(client.own_transport.engine)
        direct = await fetcher.fetch(request)
    async with Fetcher(on_engine, retry=None) as fetcher:
        transport: Any = on_engine._transport
        close_behind_first(transport.engine)
        by_client = await fetcher.fetch(request)

    assert isinstance(direct.error, httpx.ReadError)
    assert str(direct.error) == str(by_client.error) == "the engine is closed"
    assert told(direct) == told(by_client)
    assert [each.target for each in server.requests] == ["/", "/"]
