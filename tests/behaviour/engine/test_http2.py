"""How many connections HTTP/2 takes, when another one is opened, and what a fetcher sees of it."""

from __future__ import annotations

import importlib.util
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

import asyncbatch
from asyncbatch import Fetcher, HTTPTransport, Request
from asyncbatch._engine import Connector, ExchangeLimits, HandshakeFailed, Origin, TimedOut
from asyncbatch._engine.http11 import TruncatedResponse
from tests import aio, raw_server
from tests import http2_peer as wire
from tests.engines import get
from tests.http2_server import (
    Conversation,
    Http2Server,
    answer_all,
    client_context,
    http2_engine,
    serve_http2,
    server_context,
)
from tests.waiting import until

pytestmark = pytest.mark.once

LIMITS = ExchangeLimits(connect_timeout=20.0)


async def ask(engine: Any, server: Http2Server, count: int, **options: Any) -> list[bytes]:
    """Send so many requests at once, and return the bodies."""
    ones = await aio.gather(
        *[get(engine, server.origin, f"/{n}", limits=LIMITS, **options) for n in range(count)]
    )
    return [bytes(each.content) for each in ones]


def paths(count: int) -> list[bytes]:
    return [b"/%d" % n for n in range(count)]


# Connections.


async def test_a_hundred_requests_to_a_new_origin_open_one_connection() -> None:
    """None before it is known whether the server speaks HTTP/2, and then none is needed."""
    async with serve_http2() as server, http2_engine() as engine:
        assert await ask(engine, server, 100) == paths(100)
        assert await ask(engine, server, 100) == paths(100)

        assert server.connections == 1
        assert engine.counts() == {
            "connections": 1,
            "idle": 1,
            "connecting": 0,
            "waiting": 0,
            "origins": 1,
        }


async def test_they_open_as_many_as_http11_needs_with_a_server_of_that() -> None:
    """One for each, once the first handshake has told."""
    held = aio.Event()

    async def hold(raw: Any) -> None:
        await raw.read_request()
        await held.wait()
        await raw.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        raw_server.serve(hold, tls=server_context("http/1.1")) as raw,
        http2_engine() as engine,
    ):
        server = Http2Server(raw)
        asking = aio.ensure_future(ask(engine, server, 20))
        await server.until(lambda: len(raw.requests) == 20)
        held.set()
        assert await asking == [b"ok"] * 20

    assert server.connections == 20


@pytest.mark.parametrize("streams", [1, 3, 16])
async def test_the_server_says_how_many_are_on_a_connection(streams: int) -> None:
    """Another one is opened when one is full, and not before."""
    most: dict[int, int] = {}
    held: list[tuple[Conversation, int]] = []

    def hold(conversation: Conversation, stream: int) -> None:
        held.append((conversation, stream))
        now = sum(each is conversation for each, _ in held)
        most[conversation.number] = max(most.get(conversation.number, 0), now)

    async with serve_http2(hold, max_streams=streams) as server, http2_engine() as engine:
        asking = aio.ensure_future(ask(engine, server, 16))
        served = 0
        while served < 16:
            await server.until(lambda: bool(held))
            conversation, stream = held.pop(0)
            answer_all(conversation, stream)
            served += 1
        assert await asking == paths(16)

    assert max(most.values()) <= streams
    assert server.connections <= -(-16 // streams)


async def test_a_change_of_that_number_is_followed() -> None:
    """Also if it becomes nothing: the requests go elsewhere."""
    changed = False

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal changed
        answer_all(conversation, stream)
        if not changed:
            changed = True
            conversation.send(wire.settings({3: 0}))

    async with serve_http2(answer) as server, http2_engine() as engine:
        await get(engine, server.origin)
        await until(lambda: engine.counts()["connections"] == 0)
        assert await ask(engine, server, 50) == paths(50)

    assert server.connections == 2


async def test_a_request_waits_if_no_connection_may_be_opened() -> None:
    """In the order in which they came, and for no longer than it may."""
    order: list[str] = []
    held: list[tuple[Conversation, int]] = []

    def hold(conversation: Conversation, stream: int) -> None:
        order.append(conversation.path(stream))
        held.append((conversation, stream))

    async with (
        serve_http2(hold, max_streams=2) as server,
        http2_engine(max_connections=1) as engine,
    ):
        first = aio.ensure_future(get(engine, server.origin, "/0"))
        await server.until(lambda: len(held) == 1)
        await until(lambda: not engine._pool.waiters.everyone)  # type: ignore[union-attr]
        others = [first]
        for n in range(1, 4):
            others.append(aio.ensure_future(get(engine, server.origin, f"/{n}")))
            await aio.sleep(0)
        await server.until(lambda: len(held) == 2)
        limits = ExchangeLimits(pool_timeout=0.02)
        with pytest.raises(TimedOut) as caught:
            await get(engine, server.origin, "/late", limits=limits)
        while order != ["/0", "/1", "/2", "/3"]:
            answer_all(*held.pop(0))
            await server.until(lambda: bool(held))
        while held:
            answer_all(*held.pop(0))
        await aio.gather(*others)

    assert caught.value.phase == "pool"
    assert server.connections == 1


async def test_a_place_goes_to_who_has_waited_longest_and_the_connection_to_its_origin() -> None:
    """The connection stays idle for those of its origin, and serves them together later."""
    held: dict[str, tuple[Conversation, int]] = {}

    def hold(conversation: Conversation, stream: int) -> None:
        held[conversation.path(stream)] = conversation, stream

    async with (
        serve_http2(hold, max_streams=1) as one,
        serve_http2(hold) as two,
        http2_engine(max_connections=10, max_in_use=1, max_idle=9) as engine,
    ):
        asking = [aio.ensure_future(get(engine, one.origin, "/0"))]
        await until(lambda: "/0" in held)
        for waiting, server in enumerate([two, one, one]):
            asking.append(aio.ensure_future(get(engine, server.origin, f"/{waiting + 1}")))
            # trio begins tasks in any order.
            await until(lambda n=waiting: engine.counts()["waiting"] == n + 1)  # type: ignore[misc]
        conversation, stream = held.pop("/0")
        conversation.peer.h2.update_settings({3: 2})
        answer_all(conversation, stream)
        await until(lambda: bool(held))
        first = set(held)
        answer_all(*held.pop("/1"))
        await until(lambda: {"/2", "/3"} <= held.keys())
        for path in ("/2", "/3"):
            answer_all(*held[path])
        ones = [await each for each in asking]

    assert first == {"/1"}
    assert [each.content for each in ones] == paths(4)
    assert (one.connections, two.connections) == (1, 1)


async def test_who_hopes_for_a_connection_that_ends_at_once_gets_another() -> None:
    """Its server has not even said how many requests it takes."""

    async def script(raw: raw_server.Peer) -> None:
        peer = wire.Peer()
        if raw.number > 1:
            await Conversation(raw, peer).run(answer_all)
        while raw.number == 1 and not peer.requests:
            peer.receive(await raw.reader.read(65_536))

    async with (
        raw_server.serve(script, tls=server_context("h2")) as raw,
        http2_engine() as engine,
    ):
        origin = Http2Server(raw).origin
        asking = [aio.ensure_future(get(engine, origin, f"/{n}")) for n in range(3)]
        ends = await aio.gather(*asking, return_exceptions=True)

    failed = [isinstance(end, TruncatedResponse) for end in ends]
    assert sorted(failed) == [False, False, True]
    assert raw.connections == 2


async def test_who_waits_for_another_ones_connection_fails_as_it_does() -> None:
    """Each by a try of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with http2_engine() as engine:
        origin = Origin(True, "127.0.0.1", port)
        errors = await aio.gather(*[get(engine, origin) for _ in range(10)], return_exceptions=True)

    assert {type(error).__name__ for error in errors} == {"ConnectFailed"}
    assert len({id(error) for error in errors}) == 10


async def test_who_waits_for_another_ones_connection_waits_no_longer_than_for_its_own() -> None:
    """The limit on the connect holds for all of them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin(True, "127.0.0.1", listener.getsockname()[1])
        limits = ExchangeLimits(connect_timeout=0.1)
        async with http2_engine() as engine:
            errors = await aio.gather(
                *[get(engine, origin, limits=limits) for _ in range(10)], return_exceptions=True
            )
            counts = engine.counts()

    assert {getattr(error, "phase", error) for error in errors} == {"connect"}
    assert (counts["connecting"], counts["waiting"]) == (0, 0)


async def test_the_connection_of_a_cancelled_request_serves_those_that_wait_for_it() -> None:
    """It is not cancelled with it."""
    async with serve_http2() as server, http2_engine() as engine:
        first = aio.ensure_future(get(engine, server.origin, "/first"))
        await until(lambda: engine.counts().get("connecting") == 1)
        others = [aio.ensure_future(get(engine, server.origin, f"/{n}")) for n in range(5)]
        await until(lambda: engine.counts()["waiting"] == 6)
        first.cancel()
        await aio.gather(first, return_exceptions=True)
        ones = [await each for each in others]

    assert [each.content for each in ones] == paths(5)
    assert server.connections == 1


async def test_a_certificate_that_is_not_trusted_fails_all() -> None:
    """As over HTTP/1.1."""
    connector = Connector(ssl.create_default_context, http2=True)
    async with serve_http2() as server, http2_engine(connector=connector) as engine:
        errors = await aio.gather(
            *[get(engine, server.origin) for _ in range(5)], return_exceptions=True
        )

    assert {type(error) for error in errors} == {HandshakeFailed}


async def test_an_idle_connection_expires() -> None:
    """As any other."""
    async with serve_http2() as server, http2_engine(idle_expiry=0.02) as engine:
        await ask(engine, server, 10)
        await until(lambda: engine.counts()["connections"] == 0)
        await ask(engine, server, 10)

    assert server.connections == 2


async def test_contexts_may_be_shared_with_clients_of_http11() -> None:
    """What is offered is set for each connection."""
    context = client_context()
    plain = Connector(lambda: context)
    async with (
        serve_http2() as server,
        http2_engine(connector=Connector(lambda: context, http2=True)) as both,
        http2_engine(connector=plain) as old,
    ):
        for _ in range(2):
            new = await get(both, server.origin)
            one = await get(old, server.origin)
            assert new.head is not None
            assert one.head is not None
            assert (new.head.version, one.head.version) == (b"HTTP/2", b"HTTP/1.1")


# What a fetcher sees.


def fetcher(**options: Any) -> Fetcher:
    return Fetcher(
        **{"http2": True, "verify": client_context(), "trust_env": False, "retry": None, **options}
    )


async def test_a_batch_takes_the_relay_over_one_connection() -> None:
    """With the results of HTTP/1.1."""

    def answer(conversation: Conversation, stream: int) -> None:
        path = conversation.path(stream)
        conversation.respond(stream, path.encode(), ("content-type", "text/plain"))

    async with serve_http2(answer) as server, fetcher() as fetching:
        results = await fetching.fetch_many([f"{server.url}{n}" for n in range(150)])
        statistics = fetching.statistics()

    assert [result.text for result in results] == [f"/{n}" for n in range(150)]
    assert {result.response.http_version for result in results.successes} == {"HTTP/2"}
    assert {result.reason_phrase for result in results} == {"OK"}
    assert server.connections == 1
    assert sum(result.timing.connect is not None for result in results) == 1
    assert statistics is not None


async def test_everything_of_a_response_is_there() -> None:
    """Headers in lower case, cookies, encodings, the network."""
    import gzip

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) == "/seen":
            fields = dict(conversation.peer.requests[stream])
            conversation.respond(stream, fields.get("cookie", "none").encode())
            return
        conversation.respond(
            stream,
            gzip.compress(b"decoded"),
            ("content-encoding", "gzip"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            status="201",
        )

    async with serve_http2(answer) as server, fetcher() as fetching:
        one = await fetching.fetch(server.url)
        seen = await fetching.fetch(f"{server.url}seen")
        response = one.unwrap()
        stream = response.extensions["network_stream"]

        assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.raw.port)
    assert (one.status_code, one.text, one.reason_phrase) == (201, "decoded", "Created")
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers.raw[0][0] == b"content-encoding"
    assert sorted(seen.text.split("; ")) == ["a=1", "b=2"]


async def test_redirects_uploads_and_files(tmp_path: Path) -> None:
    """Every lane goes over it."""

    def answer(conversation: Conversation, stream: int) -> None:
        path = conversation.path(stream)
        if path == "/away":
            conversation.respond(stream, b"", ("location", "/there"), status="302")
        elif path == "/long":
            conversation.respond(stream, b"f" * 2_500_000)
        else:
            body = conversation.peer.bodies[stream]
            conversation.respond(stream, b"%b %d" % (path.encode(), len(body)))

    async def produced() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"p" * 50_000

    async with serve_http2(answer) as server, fetcher() as fetching:
        redirected = await fetching.fetch(f"{server.url}away")
        post = Request(f"{server.url}post", "POST", content=b"c" * 100_000)
        stream = Request(f"{server.url}stream", "POST", content=produced())
        form = Request(f"{server.url}form", "POST", files={"a": ("a.txt", b"file", "text/plain")})
        bodies = await fetching.fetch_many([post, stream, form])
        saved = await fetching.fetch(Request(f"{server.url}long", to=tmp_path / "long"))

    assert all(result.ok for result in (redirected, *bodies)), bodies.failures
    assert (redirected.text, len(redirected.history)) == ("/there 0", 0)
    assert [result.text.split()[0] for result in bodies] == ["/post", "/stream", "/form"]
    assert [result.text.split()[1] for result in bodies][:2] == ["100000", "200000"]
    assert (tmp_path / "long").stat().st_size == 2_500_000
    assert saved.ok
    assert server.connections == 1


async def test_failures_are_those_of_http11() -> None:
    """Their kinds, and how often they were tried."""

    def answer(conversation: Conversation, stream: int) -> None:
        path = conversation.path(stream)
        if path == "/reset":
            conversation.peer.h2.reset_stream(stream, 2)
        elif path == "/cut":
            conversation.peer.h2.send_headers(stream, [(":status", "200")])
            conversation.peer.h2.reset_stream(stream, 2)
        elif path == "/bad":
            conversation.send(wire.head(stream, ("Upper", "1"), end=True))
        elif path == "/503":
            conversation.respond(stream, b"busy", status="503")
        elif path == "/large":
            conversation.respond(stream, b"x" * 2_000_000)
        elif path != "/hang":
            answer_all(conversation, stream)

    kinds = {
        "": None,
        "reset": "protocol",
        "cut": "truncated",
        "bad": "protocol",
        "503": "status",
        "large": "too_large",
        "hang": "timeout",
    }
    async with serve_http2(answer) as server, fetcher(max_body=1_000_000) as fetching:
        await fetching.fetch(server.url)
        limits = {path: 0.4 if path == "hang" else 30 for path in kinds}
        requests = [Request(f"{server.url}{path}", timeout=limits[path]) for path in kinds]
        results = await fetching.fetch_many(requests)
        after = await fetching.fetch(server.url)

    assert {path: result.kind for path, result in zip(kinds, results, strict=True)} == kinds
    assert after.ok
    assert server.connections == 1


async def test_a_refused_post_is_tried_again_by_the_policy() -> None:
    """After it was sent again silently: nothing has been processed."""
    asked = 0

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal asked
        asked += 1
        if asked <= 15:
            conversation.peer.h2.reset_stream(stream, 7)
        else:
            answer_all(conversation, stream)

    retry = asyncbatch.Retry(attempts=3, backoff=0.001)
    async with serve_http2(answer) as server, fetcher(retry=retry) as fetching:
        result = await fetching.fetch(Request(f"{server.url}a", "POST", content=b"x"))

    assert (result.ok, result.attempts) == (True, 2)


async def test_a_cancelled_batch_leaves_the_connection_in_use() -> None:
    """And nothing behind it is lost."""

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) != "/hang":
            answer_all(conversation, stream)

    async with serve_http2(answer, max_streams=10) as server, fetcher() as fetching:
        await fetching.fetch(server.url)
        for _ in range(5):
            with anyio.move_on_after(0.02):
                await fetching.fetch_many([f"{server.url}hang"] * 8)
        results = await fetching.fetch_many([f"{server.url}{n}" for n in range(10)])

    assert [result.content for result in results] == paths(10)
    assert server.connections <= 2


async def test_hooks_and_traces_see_http2() -> None:
    """Under the names that httpcore has for it."""
    events: list[str] = []
    versions: list[str] = []

    async def trace(name: str, info: Any) -> None:
        events.append(name)

    async def hook(response: Any) -> None:
        versions.append(response.http_version)

    async with serve_http2() as server, fetcher(event_hooks={"response": [hook]}) as fetching:
        await fetching.fetch(server.url)
        await fetching.fetch(Request(server.url, extensions={"trace": trace}))

    assert versions == ["HTTP/2", "HTTP/2"]
    assert "http2.send_request_headers.complete" in events
    assert "http2.receive_response_body.complete" in events
    assert not any(name.startswith("http11") for name in events)


@pytest.mark.may_block  # httpx2 is imported here
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_the_transport_speaks_it_in_any_client(name: str) -> None:
    """With streams, and without the package that httpx's own transport needs."""
    library = pytest.importorskip(name)
    transport = HTTPTransport.for_library(library)(verify=client_context(), http2=True)
    async with serve_http2() as server, library.AsyncClient(transport=transport) as client:
        response = await client.get(f"{server.url}a")
        async with client.stream("POST", f"{server.url}b", content=b"x") as streamed:
            body = await streamed.aread()

    assert (response.http_version, response.text) == ("HTTP/2", "/a")
    assert body == b"/b"


@pytest.mark.parametrize("make", [Fetcher, HTTPTransport])
def test_without_the_extra_it_is_an_error_at_once(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which names it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match=r"asyncbatch\[http2\]"):
        make(http2=True)
    make(http2=False)
