"""The client lane: its timing and its time limits."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import Failure, FailureKind, Fetcher, HTTPTransport, Request
from asyncbatch._engine import Engine
from asyncbatch._lanes.response import _whole_body
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.any_loop

CHALLENGE = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'


async def fetch(client: Any, request: Any, **options: Any) -> asyncbatch.Result:
    async with Fetcher(client, retry=None, **options) as fetcher:
        return await fetcher.fetch(request)


def assert_sum_fits(result: asyncbatch.Result) -> None:
    """Check that the phases do not overlap."""
    assert sum(seconds for _, seconds in result.timing.phases()) <= result.elapsed + 1e-6
    assert all(seconds >= 0 for _, seconds in result.timing.phases())


async def test_each_phase_of_a_new_connection_is_timed(
    client: Any, tls_server: LoopbackServer
) -> None:
    """All but the resolution of the name, which cannot be told from connecting."""
    result = await fetch(client, tls_server.url())

    assert [name for name, _ in result.timing.phases()] == [
        "connect",
        "tls",
        "send",
        "wait",
        "receive",
    ]
    assert result.timing.dns is None
    assert_sum_fits(result)


async def test_a_connection_used_before_has_no_connect_phase(
    client: Any, server: LoopbackServer
) -> None:
    """`None` rather than zero, so that reuse shows."""
    await fetch(client, server.url())
    result = await fetch(client, server.url())

    assert result.timing.connect is None
    assert result.timing.tls is None
    assert result.timing.wait is not None
    assert_sum_fits(result)


async def test_the_phases_add_up_over_redirects_and_challenges(
    library: Any, server: LoopbackServer
) -> None:
    """Each hop counts, and so the sum is still within `elapsed`."""
    server.on("/", Reply.redirect("/login").delayed(0.02))
    challenge = Reply(401).with_header("www-authenticate", CHALLENGE).delayed(0.02)
    server.on("/login", challenge, Reply(body=b"in").delayed(0.02))
    server.on("/in", Reply(body=b"in"))
    async with library.AsyncClient(
        auth=library.DigestAuth("a", "b"), verify=TRUSTING, follow_redirects=True
    ) as client:
        result = await fetch(client, server.url())

    assert result.ok
    assert result.timing.wait is not None
    assert result.timing.wait >= 0.055
    assert_sum_fits(result)


@pytest.mark.parametrize(
    ("path", "phase"),
    [("silent", "connect"), ("/head", "wait"), ("/body", "receive")],
)
async def test_the_phase_in_which_the_time_ran_out_is_timed(
    client: Any, server: LoopbackServer, path: str, phase: str
) -> None:
    """So that a failure tells where the time went."""
    server.on("/head", Reply().hang())
    server.on("/body", Reply(body=99).hang(body=9))
    url = server.silent_url() if path == "silent" else server.url(path)

    # On a busy machine a phase before it may take all of a short time.
    for timeout in (0.1, 1, 10):
        result = await fetch(client, url, timeout=timeout)
        seconds = getattr(result.timing, phase)
        if seconds is not None and seconds >= timeout / 2:
            break

    assert not result.ok
    assert result.kind == FailureKind.timeout
    assert seconds is not None
    assert seconds >= timeout / 2
    assert_sum_fits(result)


async def test_the_callers_trace_is_called_too(client: Any, server: LoopbackServer) -> None:
    """With every event, and neither response nor request is left with ours."""
    seen: list[str] = []

    async def trace(event: str, _: Any) -> None:
        seen.append(event)

    server.on("/", Reply.redirect("/there"))
    given = Request(server.url(), extensions={"trace": trace})
    result = await fetch(client, given)

    assert "http11.receive_response_body.complete" in seen
    assert seen.count("http11.send_request_headers.started") == 2
    assert result.timing.wait is not None
    response = result.unwrap()
    assert response.request.extensions["trace"] is trace
    assert response.history[0].request.extensions["trace"] is trace


async def test_a_transport_that_tells_nothing_has_no_phases(library: Any) -> None:
    """A mock and an ASGI application."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    for transport in (
        library.MockTransport(lambda _: library.Response(200, text="ok")),
        library.ASGITransport(application),
    ):
        async with library.AsyncClient(transport=transport) as client:
            result = await fetch(client, "http://app.test/")

        assert result.text == "ok"
        assert list(result.timing.phases()) == []


async def test_a_requests_own_time_limit_stands(client: Any, server: LoopbackServer) -> None:
    """Over the fetcher's; and an httpx.Timeout sets the phases."""
    server.on("/", Reply().hang())
    phased = Request(server.url(), timeout=httpx.Timeout(20, read=0.05))

    plain = await fetch(client, Request(server.url(), timeout=0.05), timeout=20)
    result = await fetch(client, phased, timeout=20)

    assert not plain.ok
    assert isinstance(plain.error, asyncbatch.AttemptTimeout)
    assert not result.ok
    assert type(result.error).__name__ == "ReadTimeout"
    assert max(plain.elapsed, result.elapsed) < 15


async def test_a_clients_own_time_limits_stand(library: Any, server: LoopbackServer) -> None:
    """Where the fetcher has none of its own."""
    server.on("/", Reply().hang())
    async with library.AsyncClient(
        verify=TRUSTING, timeout=library.Timeout(20, read=0.05)
    ) as client:
        result = await fetch(client, server.url())

    assert not result.ok
    assert isinstance(result.error, library.ReadTimeout)


@pytest.mark.parametrize(
    ("size", "is_large"), [(100_000, False), (3_000_000, True)], ids=["small", "large"]
)
async def test_a_body_that_grows_large_is_decoded_in_a_thread(
    client: Any, server: LoopbackServer, size: int, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little of it comes over the wire; a small one on the spot."""
    threads = []
    original = _whole_body.decode

    def decode(*args: Any, **options: Any) -> bytes:
        threads.append(threading.current_thread())
        return original(*args, **options)

    monkeypatch.setattr(_whole_body, "decode", decode)
    server.on("/", Reply(body=size).gzipped())
    async with Fetcher(client, retry=None) as fetcher:
        result = await fetcher.fetch(server.url())

    assert len(result.content) == size
    assert (threads[-1] is not threading.current_thread()) == is_large


@pytest.mark.parametrize("limit", [10_000, 2_000_000])
async def test_a_body_beyond_its_limit_is_refused_wherever_it_is_decoded(
    client: Any, server: LoopbackServer, limit: int
) -> None:
    """On the spot and in a thread."""
    server.on("/", Reply(body=3_000_000).gzipped())
    server.on("/cut", Reply(body=3_000_000).gzipped().without_tail(5))
    async with Fetcher(client, retry=None, max_body=limit) as fetcher:
        too_long = await fetcher.fetch(server.url())
    async with Fetcher(client, retry=None) as fetcher:
        cut = await fetcher.fetch(server.url("/cut"))

    assert isinstance(too_long, Failure)
    assert too_long.kind == "too_large"
    assert isinstance(cut, Failure)
    assert cut.kind == "truncated"


@pytest.mark.parametrize("is_ours", [True, False])
async def test_the_engine_below_is_told_once_of_a_blocked_loop(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    """By the client lane if the client is the caller's, and by the direct lane if it is ours."""
    told: list[float] = []
    monkeypatch.setattr(Engine, "take_out", lambda _, seconds, __: told.append(seconds))
    transport = HTTPTransport()
    client = None if is_ours else httpx.AsyncClient(transport=transport, trust_env=False)
    options: dict[str, Any] = {"auth": httpx.DigestAuth("a", "b")} if is_ours else {}
    async with Fetcher(client, **options) as fetcher:
        await fetcher.fetch(server.url())
        shared = fetcher._shared
        assert shared is not None
        shared.stalls.take_out(3.0, 0.0)
        await fetcher.client.aclose()

    assert told == [3.0]
