"""Several exchanges on one connection: how they end, and what becomes of the connection."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from asyncbatch._engine import (
    BodyStream,
    Connector,
    EngineClosed,
    Exchange,
    ExchangeLimits,
    Origin,
    RequestRefused,
    TimedOut,
    Upload,
)
from asyncbatch._engine.connect._protocols import Protocols
from asyncbatch._engine.connection import _multiplexed, _signs_of_life
from asyncbatch._engine.connection._multiplexed import MultiplexedConnection
from asyncbatch._engine.connection._resend import MAX_REFUSALS
from asyncbatch._engine.http11 import (
    InvalidRequest,
    ProtocolError,
    ResponseTooLarge,
    TruncatedResponse,
)
from asyncbatch._engine.io._tls_transport import TLSTransport
from asyncbatch._engine.pool._pool import Pool
from tests import aio, raw_server
from tests import http2_peer as wire
from tests.engines import STREAMS, engine_for, get, head_of, read_all, send_request
from tests.http2_server import Conversation, answer_all, client_context, http2_engine, serve_http2
from tests.waiting import until

pytestmark = pytest.mark.once

LONG = b"x" * 2_200_000


class Held:
    """Requests that the test answers itself, in any order."""

    def __init__(self) -> None:
        self.streams: dict[str, tuple[Conversation, int]] = {}

    def __call__(self, conversation: Conversation, stream: int) -> None:
        self.streams[conversation.path(stream)] = conversation, stream

    def answer(self, path: str, body: bytes = b"ok", *fields: tuple[str, str]) -> None:
        conversation, stream = self.streams.pop(path)
        conversation.respond(stream, body, *fields)


def hang(conversation: Conversation, stream: int) -> None:
    """Answer all but what begins with `/hang`."""
    if not conversation.path(stream).startswith("/hang"):
        answer_all(conversation, stream)


async def test_answers_come_in_any_order() -> None:
    """Each to its own request."""
    held = Held()
    async with serve_http2(held) as server, http2_engine() as engine:
        asking = [aio.ensure_future(get(engine, server.origin, f"/{n}")) for n in range(5)]
        await server.until(lambda: len(held.streams) == 5)
        for n in (3, 1, 4, 0, 2):
            held.answer(f"/{n}", b"answer %d" % n)
        exchanges = [await each for each in asking]

    assert [each.content for each in exchanges] == [b"answer %d" % n for n in range(5)]
    assert server.connections == 1
    assert sorted(each.is_reused for each in exchanges) == [False, True, True, True, True]


async def test_an_exchange_reads_as_one_of_http11() -> None:
    """Head, body, trailers, times."""

    def answer(conversation: Conversation, stream: int) -> None:
        h2 = conversation.peer.h2
        h2.send_headers(stream, [(":status", "103"), ("link", "</a>")])
        h2.send_headers(stream, [(":status", "203"), ("x-a", "1"), ("set-cookie", "a=b")])
        h2.send_data(stream, b"body")
        h2.send_headers(stream, [("x-sum", "9")], end_stream=True)

    async with serve_http2(answer) as server, http2_engine() as engine:
        one = await get(engine, server.origin)

    assert one.head is not None
    assert (one.head.version, one.head.status) == (b"HTTP/2", 203)
    assert one.head.reason == b"Non-Authoritative Information"
    assert one.head.fields == ((b"x-a", b"1"), (b"set-cookie", b"a=b"))
    assert (one.content, one.trailers) == (b"body", ((b"x-sum", b"9"),))
    assert one.begun_at <= one.send_at <= one.sent_at <= one.first_byte_at <= one.ended_at
    assert one.connect is not None
    assert one.tls is not None


async def test_the_request_is_translated() -> None:
    """Its host becomes the authority, and fields about the connection are left out."""
    async with serve_http2() as server, http2_engine() as engine:
        payload = head_of("DELETE", "/x?y", [("X-Upper", "A b"), ("Connection", "close")])
        await send_request(engine, server.origin, b"DELETE", payload, closes=True)
        (conversation,) = server.conversations

    assert conversation.peer.requests[1] == [
        (":method", "DELETE"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", "/x?y"),
        ("x-upper", "A b"),
    ]


async def test_a_request_that_http2_cannot_carry_fails_alone() -> None:
    """And the connection is used by the next."""
    async with serve_http2() as server, http2_engine() as engine:
        payload = head_of(fields=[("TE", "gzip")])
        with pytest.raises(InvalidRequest):
            await send_request(engine, server.origin, b"GET", payload)
        one = await get(engine, server.origin)

    assert one.content == b"/"
    assert server.connections == 1


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_a_response_without_a_body_ends_with_its_head(method: str) -> None:
    """HEAD with a length, and 204."""

    def answer(conversation: Conversation, stream: int) -> None:
        fields = [("content-length", "99")] if method == "HEAD" else []
        conversation.respond(stream, b"", *fields, status="200" if fields else "204")

    async with serve_http2(answer) as server, http2_engine() as engine:
        one = await get(engine, server.origin, method=method)

    assert one.content == b""
    assert one.is_over


@pytest.mark.parametrize("size", [1, 16_000, 70_000, 400_000])
async def test_a_body_in_memory_is_sent_as_the_windows_allow(size: int) -> None:
    """Short ones come with the head; the windows of h2 are 64 KiB at first."""
    async with serve_http2() as server, http2_engine() as engine:
        body = b"z" * size
        head = head_of("POST", "/", [("Content-Length", str(size))])
        short = size < 20_000
        one = await send_request(
            engine, server.origin, b"POST", head + (body if short else b""), None if short else body
        )
        (conversation,) = server.conversations

        assert conversation.peer.bodies[1] == body
    assert one.send_at <= one.sent_at <= one.ended_at


@pytest.mark.parametrize("length", [None, 500_000])
async def test_a_body_is_produced_while_it_is_sent(length: int | None) -> None:
    """Framed by HTTP/2, not by chunks."""
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield b"y" * 50_000
            yield b""

    how = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    async with serve_http2() as server, http2_engine() as engine:
        head = head_of("POST", "/", [how])
        one = await send_request(engine, server.origin, b"POST", head, Upload(pieces(), length))
        (conversation,) = server.conversations

    assert one.content == b"/"
    assert conversation.peer.bodies[1] == b"y" * 500_000
    assert taken == 10
    assert (":method", "POST") in conversation.peer.requests[1]
    assert not any(name == "transfer-encoding" for name, _ in conversation.peer.requests[1])


async def test_an_upload_waits_for_the_windows() -> None:
    """No more is taken from its iterable than a piece that waits."""
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield b"y" * 40_000

    async with serve_http2() as server, http2_engine() as engine:
        await get(engine, server.origin)
        (conversation,) = server.conversations
        conversation.peer.takes_bodies = False
        head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
        asking = aio.ensure_future(
            send_request(engine, server.origin, b"POST", head, Upload(pieces(), None))
        )
        await server.until(lambda: len(conversation.peer.bodies.get(3, b"")) >= 65_535)
        for _ in range(5):
            await aio.sleep(0.001)
        assert taken == 2

        conversation.peer.takes_bodies = True
        conversation.peer.h2.acknowledge_received_data(65_535, 3)
        conversation.flush()
        await asking

    assert len(conversation.peer.bodies[3]) == 400_000


async def test_an_iterable_that_raises_fails_its_exchange_only() -> None:
    """With its own error; the server hears that the request is given up."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("mine")

    async with serve_http2() as server, http2_engine() as engine:
        head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
        with pytest.raises(KeyError):
            await send_request(engine, server.origin, b"POST", head, Upload(pieces(), None))
        await get(engine, server.origin)

    assert server.connections == 1


async def test_an_early_answer_ends_the_upload() -> None:
    """The rest is neither produced nor sent."""
    produced = 0

    def answer(conversation: Conversation, stream: int) -> None:
        raise AssertionError("the request must not come whole")

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal produced
        while True:
            produced += 1
            yield b"p" * 1000
            await server.until(
                lambda: bool(server.conversations and server.conversations[0].peer.bodies)
            )
            if produced == 5:
                server.conversations[0].respond(1, b"enough", status="413")
            await aio.sleep(0.001)

    async with serve_http2(answer) as server, http2_engine() as engine:
        head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
        one = await send_request(engine, server.origin, b"POST", head, Upload(pieces(), None))

    assert one.head is not None
    assert (one.head.status, one.content) == (413, b"enough")
    assert produced < 1000


async def test_a_timeout_ends_its_stream_and_not_the_connection() -> None:
    """The server hears of it, and others go on."""
    held = Held()
    async with serve_http2(held) as server, http2_engine() as engine:
        slow = aio.ensure_future(get(engine, server.origin, "/slow"))
        await server.until(lambda: "/slow" in held.streams)
        with pytest.raises(TimedOut) as caught:
            await get(engine, server.origin, "/hang", limits=ExchangeLimits(read_timeout=0.05))
        await server.until(lambda: _has_reset(server.conversations[0]))
        held.answer("/slow")
        one = await slow

        assert caught.value.phase == "read"
        assert one.content == b"ok"
        assert engine.counts()["connections"] == 1
    assert server.connections == 1


def _has_reset(conversation: Conversation) -> bool:
    return any("StreamReset" in type(event).__name__ for event in conversation.peer.events)


async def test_a_cancelled_exchange_gives_its_window_back() -> None:
    """However much of its body has come."""
    async with serve_http2(lambda c, s: c.respond(s, LONG)) as server, http2_engine() as engine:
        for _ in range(5):
            exchange = await get(engine, server.origin, limits=STREAMS)
            body = BodyStream(engine, exchange)
            await anext(body)
            await body.aclose()
        one = await get(engine, server.origin)

        assert one.content == LONG or bytes(one.content) == LONG
    assert server.connections == 1


async def test_a_body_that_is_too_large_ends_its_stream() -> None:
    """By its head, or while it comes."""

    def answer(conversation: Conversation, stream: int) -> None:
        told = [("content-length", str(len(LONG)))] if conversation.path(stream) == "/told" else []
        conversation.respond(stream, LONG, *told)

    limits = ExchangeLimits(max_body=100_000)
    async with serve_http2(answer) as server, http2_engine() as engine:
        for path in ("/told", "/silent"):
            with pytest.raises(ResponseTooLarge, match="100000"):
                await get(engine, server.origin, path, limits=limits)

        assert len(bytes((await get(engine, server.origin)).content)) == len(LONG)
    assert server.connections == 1


async def test_a_body_is_read_as_fast_as_its_reader_is() -> None:
    """A reader that waits holds up the stream, not the connection."""
    async with serve_http2(lambda c, s: c.respond(s, LONG)) as server, http2_engine() as engine:
        exchange = await get(engine, server.origin, limits=STREAMS)
        (conversation,) = server.conversations
        await server.until(lambda: len(conversation.left.get(1, b"")) < len(LONG) - 1_000_000)
        for _ in range(3):
            other = await get(engine, server.origin, "/other")
            assert len(bytes(other.content)) == len(LONG)
        assert len(conversation.left[1]) >= len(LONG) - 1_100_000

        assert await read_all(BodyStream(engine, exchange)) == LONG


async def test_a_reset_by_the_server_is_named() -> None:
    """Before the head, and inside a body."""

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) == "/body":
            conversation.peer.h2.send_headers(stream, [(":status", "200")])
            conversation.peer.h2.send_data(stream, b"begun")
        conversation.peer.h2.reset_stream(stream, 2)

    async with serve_http2(answer) as server, http2_engine() as engine:
        with pytest.raises(TruncatedResponse, match="reset the stream: INTERNAL_ERROR") as first:
            await get(engine, server.origin)
        with pytest.raises(TruncatedResponse, match="inside the body: INTERNAL_ERROR"):
            await get(engine, server.origin, "/body")

    assert first.value.received
    assert server.connections == 1


async def test_a_response_that_is_not_valid_fails_alone() -> None:
    """As a fault of the server."""

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) == "/bad":
            conversation.send(wire.head(stream, ("Upper", "1"), end=True))
        else:
            answer_all(conversation, stream)

    async with serve_http2(answer) as server, http2_engine() as engine:
        await get(engine, server.origin)
        with pytest.raises(ProtocolError, match="malformed HTTP/2 response"):
            await get(engine, server.origin, "/bad")
        await get(engine, server.origin)

    assert server.connections == 1


async def test_a_server_that_breaks_the_rules_loses_its_connection() -> None:
    """Each of its exchanges fails with an error of its own, and hears why."""

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) == "/bad":
            conversation.send(wire.data(0, b"x"))

    async with serve_http2(answer) as server, http2_engine() as engine:
        asking = [aio.ensure_future(get(engine, server.origin))]
        await server.until(lambda: server.paths == ["/"])
        asking.append(aio.ensure_future(get(engine, server.origin, "/bad")))
        errors = await aio.gather(*asking, return_exceptions=True)
        counts = engine.counts()

    assert {type(error) for error in errors} == {ProtocolError}
    assert errors[0] is not errors[1]
    assert "PROTOCOL_ERROR" in str(errors[0])
    assert counts["connections"] == 0


async def test_a_server_that_speaks_http11_without_being_asked_is_no_http2_server() -> None:
    """Where HTTP/2 is spoken by prior knowledge."""
    connector = Connector(ssl.create_default_context, http1=False, http2=True)
    async with (
        raw_server.serve(raw_server.answers(raw_server.OK)) as server,
        http2_engine(connector=connector) as engine,
    ):
        with pytest.raises((ProtocolError, TruncatedResponse)):
            await get(engine, server)


async def test_without_tls_it_is_spoken_by_prior_knowledge_only() -> None:
    """RFC 9113 §3.3."""

    async def script(raw: raw_server.Peer) -> None:
        await Conversation(raw, wire.Peer()).run(answer_all)

    connector = Connector(ssl.create_default_context, http1=False, http2=True)
    async with (
        raw_server.serve(script) as server,
        http2_engine(connector=connector) as engine,
    ):
        ones = await aio.gather(*[get(engine, server, f"/{n}") for n in range(20)])

        assert [each.content for each in ones] == [b"/%d" % n for n in range(20)]
        assert server.connections == 1


class Leaving:
    """A server that leaves after some requests, answers these, and none of the others."""

    def __init__(self, lasts: int) -> None:
        self.lasts = lasts
        self.served: dict[int, int] = {}
        self.answered: list[str] = []

    def __call__(self, conversation: Conversation, stream: int) -> None:
        number = conversation.number
        served = self.served[number] = self.served.get(number, 0) + 1
        if served > self.lasts:
            return
        self.answered.append(conversation.path(stream))
        answer_all(conversation, stream)
        if served == self.lasts:
            conversation.send(conversation.peer.take() + wire.goaway(stream))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_server_that_leaves_loses_nothing(method: str) -> None:
    """What it has not processed is sent again, whatever the method; nothing is processed twice."""
    leaving = Leaving(lasts=7)
    async with serve_http2(leaving) as server, http2_engine() as engine:
        ones = await aio.gather(
            *[get(engine, server.origin, f"/{n}", method=method) for n in range(30)]
        )

        assert [each.content for each in ones] == [b"/%d" % n for n in range(30)]
        assert sorted(leaving.answered) == sorted(f"/{n}" for n in range(30))
        assert server.connections >= 5


async def test_a_server_that_leaves_finishes_what_it_has_begun() -> None:
    """New requests go to another connection meanwhile."""
    held = Held()
    async with serve_http2(held) as server, http2_engine() as engine:
        slow = aio.ensure_future(get(engine, server.origin, "/slow"))
        await server.until(lambda: "/slow" in held.streams)
        conversation, _ = held.streams["/slow"]
        conversation.send(wire.goaway(2**31 - 1))
        await until(lambda: _leaves(engine))
        other = aio.ensure_future(get(engine, server.origin, "/other"))
        await server.until(lambda: "/other" in held.streams)
        held.answer("/other")
        held.answer("/slow", b"late")
        await other
        one = await slow
        await until(lambda: engine.counts()["connections"] == 1)

    assert one.content == b"late"
    assert server.connections == 2


def _leaves(engine: Any) -> bool:
    return any(connection._limit.is_leaving for connection in engine._pool.in_use)


@pytest.mark.parametrize("meanwhile", ["nothing", "lost", "abandoned"])
async def test_a_request_that_waits_to_be_written_while_the_server_leaves_goes_elsewhere(
    meanwhile: str,
) -> None:
    """At once, whatever its method, and not only when more bytes come."""
    held = Held()
    async with serve_http2(held) as server, http2_engine() as engine:
        slow = aio.ensure_future(get(engine, server.origin, "/slow"))
        await server.until(lambda: "/slow" in held.streams)
        (connection,) = engine._pool.in_use  # type: ignore[union-attr]
        connection.pause_writing()
        other = engine.begin(server.origin, b"POST", head_of("POST", "/other"))
        conversation, stream = held.streams["/slow"]
        conversation.send(wire.goaway(stream))
        await until(lambda: _leaves(engine))
        connection.resume_writing()
        if meanwhile == "lost":
            connection.connection_lost(ConnectionResetError())
        elif meanwhile == "abandoned":
            engine.abandon(other)
            other = engine.begin(server.origin, b"POST", head_of("POST", "/third"))
        path = "/third" if meanwhile == "abandoned" else "/other"
        await server.until(lambda: path in held.streams)
        held.answer(path)
        await other.future
        slow.cancel()
        await aio.gather(slow, return_exceptions=True)

    assert other.content == b"ok"
    assert server.paths == ["/slow", path]


async def test_a_refused_request_is_sent_again() -> None:
    """The server has not processed it."""
    refused: list[str] = []

    def answer(conversation: Conversation, stream: int) -> None:
        path = conversation.path(stream)
        if len(refused) < 3:
            refused.append(path)
            conversation.peer.h2.reset_stream(stream, 7)
        else:
            answer_all(conversation, stream)

    async with serve_http2(answer) as server, http2_engine() as engine:
        one = await get(engine, server.origin, "/a", method="POST")

    assert one.content == b"/a"
    assert refused == ["/a"] * 3


async def test_a_server_that_refuses_forever_fails_the_exchange() -> None:
    """After some times."""
    asked = 0

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal asked
        asked += 1
        conversation.peer.h2.reset_stream(stream, 7)

    async with serve_http2(answer) as server, http2_engine() as engine:
        with pytest.raises(RequestRefused):
            await get(engine, server.origin)

    assert asked == MAX_REFUSALS + 1


HTTP_1_1_REQUIRED = 13


def require_http11(conversation: Conversation, stream: int) -> None:
    """Answer no request over HTTP/2."""
    conversation.peer.h2.reset_stream(stream, HTTP_1_1_REQUIRED)


async def test_an_origin_that_requires_http11_gets_it_from_then_on() -> None:
    """RFC 9113 §7: the request is sent again, and later ones are not tried over HTTP/2."""
    async with (
        serve_http2(require_http11) as server,
        serve_http2() as neighbour,
        http2_engine() as engine,
    ):
        await get(engine, neighbour.origin)
        ones = [await get(engine, server.origin, f"/{n}") for n in range(3)]
        more = await aio.gather(*[get(engine, server.origin, f"/m{n}") for n in range(5)])
        still = await get(engine, neighbour.origin)

    versions = {each.head.version for each in (*ones, *more) if each.head is not None}
    assert versions == {b"HTTP/1.1"}
    assert {each.content for each in (*ones, *more)} == {b"ok"}
    assert len(server.conversations) == 1
    assert still.head is not None
    assert still.head.version == b"HTTP/2"
    assert neighbour.connections == 1


async def test_an_unsafe_request_is_not_sent_again_over_http11() -> None:
    """RFC 9113 §8.7: the code does not say that nothing was done; the next one is HTTP/1.1."""
    async with serve_http2(require_http11) as server, http2_engine() as engine:
        with pytest.raises(TruncatedResponse, match="HTTP_1_1_REQUIRED"):
            await get(engine, server.origin, method="POST")
        one = await get(engine, server.origin, method="POST")

    assert one.content == b"ok"
    assert len(server.conversations) == 1


async def test_what_a_leaving_server_has_not_begun_is_sent_again_over_http11() -> None:
    """Whatever its method, since `GOAWAY` names the last stream that was."""

    def leave(conversation: Conversation, stream: int) -> None:
        conversation.send(wire.goaway(0, HTTP_1_1_REQUIRED))

    async with serve_http2(leave) as server, http2_engine() as engine:
        one = await get(engine, server.origin, method="POST")

    assert one.content == b"ok"
    assert len(server.conversations) == 1


async def test_all_that_wait_go_over_http11_once_the_origin_requires_it() -> None:
    """And what has been begun over HTTP/2 is answered there."""
    held = Held()
    async with (
        serve_http2(held, max_streams=2) as server,
        http2_engine(max_connections=1) as engine,
    ):
        slow = aio.ensure_future(get(engine, server.origin, "/slow"))
        await server.until(lambda: "/slow" in held.streams)
        refused = aio.ensure_future(get(engine, server.origin, "/refused"))
        await server.until(lambda: "/refused" in held.streams)
        others = [aio.ensure_future(get(engine, server.origin, f"/{n}")) for n in range(3)]
        await until(lambda: engine.counts()["waiting"] == 3)
        conversation, stream = held.streams["/refused"]
        require_http11(conversation, stream)
        conversation.flush()
        await until(lambda: engine.counts()["waiting"] == 4)
        held.answer("/slow", b"late")
        late = await slow
        ones = [await each for each in (refused, *others)]

    assert late.content == b"late"
    assert {each.content for each in ones} == {b"ok"}
    assert {each.head.version for each in ones if each.head is not None} == {b"HTTP/1.1"}
    assert len(server.conversations) == 1


class Late(Protocols):
    """Learns that an origin requires HTTP/1.1 only when a connection to it was opened."""

    is_late = True
    spoke_http2 = False

    def speaks_http2(self, transport: Any, origin: Origin) -> bool:
        speaks = super().speaks_http2(transport, origin)
        if self.is_late:
            self.spoke_http2 = speaks
            self.require_http11(origin)
        return speaks


async def test_a_connection_that_is_opened_meanwhile_is_not_used() -> None:
    """Its server has chosen HTTP/2 before it was known that the origin requires HTTP/1.1."""
    connector = Connector(client_context, http2=True)
    connector.protocols = Late(http1=True, http2=True)
    async with serve_http2() as server, http2_engine(connector=connector) as engine:
        ones = await aio.gather(*[get(engine, server.origin, f"/{n}") for n in range(5)])

    assert {each.content for each in ones} == {b"ok"}
    assert {each.head.version for each in ones if each.head is not None} == {b"HTTP/1.1"}
    assert all(not each.peer.requests for each in server.conversations)


async def test_nor_if_the_request_that_it_was_opened_for_was_served_meanwhile() -> None:
    """By the connection that it waited for too."""
    connector = Connector(client_context, http2=True)
    connector.protocols = late = Late(http1=True, http2=True)
    late.is_late = False
    original, going = connector.connect, aio.Event()

    async def slow(*args: Any) -> Any:
        await going.wait()
        return await original(*args)

    held = Held()
    async with (
        serve_http2(held, max_streams=1) as server,
        http2_engine(connector=connector) as engine,
    ):
        first = aio.ensure_future(get(engine, server.origin, "/first"))
        await server.until(lambda: "/first" in held.streams)
        connector.connect = slow  # type: ignore[method-assign]
        second = aio.ensure_future(get(engine, server.origin, "/second"))
        await until(lambda: engine.counts()["connecting"] == 1)
        held.answer("/first")
        await server.until(lambda: "/second" in held.streams)
        late.is_late = True
        going.set()
        await until(lambda: not engine.counts()["connecting"])
        assert engine.counts()["connections"] == 1
        held.answer("/second", b"served")
        ones = [await each for each in (first, second)]

    assert [each.content for each in ones] == [b"ok", b"served"]
    assert late.spoke_http2
    assert server.conversations[0].path(3) == "/second"


async def test_a_server_that_leaves_before_it_is_asked_fails_one_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its `GOAWAY` came before the connection was the pool's; the next one gets a new one."""
    original = Pool.connection_on

    def connection_on(pool: Pool, transport: Any, origin_pool: Any) -> Any:
        connection = original(pool, transport, origin_pool)
        connection.received(wire.settings() + wire.goaway(0))  # type: ignore[attr-defined]
        return connection

    async with serve_http2() as server, http2_engine() as engine:
        with monkeypatch.context() as leaving:
            leaving.setattr(Pool, "connection_on", connection_on)
            with pytest.raises(TruncatedResponse, match="at once"):
                await get(engine, server.origin)
        one = await get(engine, server.origin)

    assert one.content == b"/"
    assert server.paths == ["/"]


@pytest.mark.parametrize(
    ("cause", "error", "attempts"),
    [
        (MemoryError(), MemoryError, 1),
        (ssl.SSLError(1, "cannot encrypt"), RequestRefused, MAX_REFUSALS + 1),
    ],
)
async def test_a_first_request_that_cannot_be_written_fails_and_is_not_tried_forever(
    cause: Exception, error: type[Exception], attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection is closed with it, and the next request opens another."""
    original, refused = TLSTransport.write, 0

    def write(transport: Any, content: bytes) -> None:
        nonlocal refused
        if transport._owner.origin_pool is None:  # what the server's settings are answered with
            original(transport, content)
        else:
            refused += 1
            transport._report_end(cause)

    async with serve_http2() as server, http2_engine() as engine:
        with monkeypatch.context() as failing:
            failing.setattr(TLSTransport, "write", write)
            with pytest.raises(error):
                await get(engine, server.origin)
        assert engine.counts()["connections"] == 0
        one = await get(engine, server.origin)

    assert one.content == b"/"
    assert refused == attempts


async def test_without_http11_the_failure_says_what_is_required() -> None:
    """By prior knowledge there is nothing to fall back to."""
    connector = Connector(client_context, http1=False, http2=True)
    async with (
        serve_http2(require_http11) as server,
        http2_engine(connector=connector) as engine,
    ):
        with pytest.raises(TruncatedResponse, match="HTTP_1_1_REQUIRED"):
            await get(engine, server.origin)


async def test_an_upload_that_was_refused_is_not_sent_again() -> None:
    """Its pieces are gone; the error says that nothing was processed."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"once"

    def answer(conversation: Conversation, stream: int) -> None:
        conversation.peer.h2.reset_stream(stream, 7)

    async with serve_http2(answer) as server, http2_engine() as engine:
        head = head_of("POST", "/", [("Transfer-Encoding", "chunked")])
        with pytest.raises(RequestRefused):
            await send_request(engine, server.origin, b"POST", head, Upload(pieces(), None))


async def test_a_server_that_refuses_some_is_asked_for_fewer() -> None:
    """Though it says that it takes more."""
    active: set[int] = set()
    refused = 0

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal refused
        if len(active) >= 4:
            refused += 1
            conversation.peer.h2.reset_stream(stream, 7)
            return
        active.add(stream)

    async def serve_slowly() -> None:
        while True:
            await aio.sleep(0.001)
            for stream in sorted(active):
                active.discard(stream)
                answer_all(server.conversations[0], stream)

    async with serve_http2(answer) as server, http2_engine(max_connections=1) as engine:
        serving = aio.ensure_future(serve_slowly())
        ones = await aio.gather(*[get(engine, server.origin, f"/{n}") for n in range(40)])
        serving.cancel()
        await aio.gather(serving, return_exceptions=True)

    assert [each.content for each in ones] == [b"/%d" % n for n in range(40)]
    assert refused < 400


async def test_a_connection_that_ends_fails_what_it_had() -> None:
    """Inside a body, and without an answer; a POST is not sent again."""

    def answer(conversation: Conversation, stream: int) -> None:
        if conversation.path(stream) == "/body":
            conversation.peer.h2.send_headers(stream, [(":status", "200")])
            conversation.peer.h2.send_data(stream, b"begun")
        elif conversation.path(stream) == "/end":
            conversation.flush()
            conversation.is_over = True

    async with serve_http2(answer) as server, http2_engine() as engine:
        body = aio.ensure_future(get(engine, server.origin, "/body", limits=STREAMS))
        reading = BodyStream(engine, await body)
        post = aio.ensure_future(get(engine, server.origin, "/post", method="POST"))
        await server.until(lambda: "/post" in server.paths)
        with pytest.raises(TruncatedResponse, match="without a response"):
            await get(engine, server.origin, "/end", method="POST")
        with pytest.raises(TruncatedResponse, match="without a response"):
            await post
        begun = bytearray()
        with pytest.raises(TruncatedResponse, match="inside the body"):
            await read_all(reading, begun)

    assert begun == b"begun"


async def test_an_idle_connection_that_ends_costs_nothing() -> None:
    """The next request opens another one."""

    def answer(conversation: Conversation, stream: int) -> None:
        answer_all(conversation, stream)
        conversation.is_over = True

    async with serve_http2(answer) as server, http2_engine() as engine:
        for _ in range(3):
            assert (await get(engine, server.origin, method="POST")).content == b"/"
            await until(lambda: engine.counts()["connections"] == 0)

    assert server.connections == 3


async def test_a_silent_connection_is_asked_for_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it gives none, it is used no more; if it does, it is."""
    monkeypatch.setattr(_signs_of_life, "SILENCE", 0.0)
    monkeypatch.setattr(_signs_of_life, "DOUBT", 0.05)
    limits = ExchangeLimits(read_timeout=0.02)
    async with serve_http2(hang) as server, http2_engine() as engine:
        await get(engine, server.origin)  # all bytes that open the connection have come
        with pytest.raises(TimedOut):
            await get(engine, server.origin, "/hang", limits=limits)
        await until(lambda: engine.counts()["idle"] == 1)
        await get(engine, server.origin)
        assert server.connections == 1

        server.conversations[0].is_deaf = True
        with pytest.raises(TimedOut):
            await get(engine, server.origin, "/lost", limits=limits)
        await get(engine, server.origin, "/found")
        assert server.connections == 2
        await until(lambda: engine.counts()["connections"] == 1)


async def test_a_closed_engine_ends_all_exchanges() -> None:
    """Each with an error of its own."""
    async with serve_http2(hang) as server, http2_engine() as engine:
        asking = [aio.ensure_future(get(engine, server.origin, f"/hang{n}")) for n in range(3)]
        await server.until(lambda: len(server.paths) == 3)
        await engine.aclose()
        errors = await aio.gather(*asking, return_exceptions=True)

    assert {type(error) for error in errors} == {EngineClosed}
    assert len({id(error) for error in errors}) == 3


async def test_an_old_connection_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a change of the name's addresses is seen."""
    monkeypatch.setattr(_multiplexed, "MAX_AGE", 0.0)
    async with serve_http2() as server, http2_engine() as engine:
        await get(engine, server.origin)
        await get(engine, server.origin)

    assert server.connections == 2


async def test_a_flood_that_is_not_read_is_not_answered_without_bound() -> None:
    """A server that sends PINGs and reads nothing is left."""

    async def script(raw: raw_server.Peer) -> None:
        raw.writer.write(wire.settings())
        await raw.reader.readexactly(24)
        ping = wire.frame(wire.PING, 0, 0, b"12345678") * 1000
        while True:
            await raw.send(ping)

    connector = Connector(ssl.create_default_context, http1=False, http2=True)
    async with raw_server.serve(script) as server, engine_for(connector=connector) as engine:
        with pytest.raises((ProtocolError, TruncatedResponse)):
            await get(engine, server)


async def test_a_follower_is_started_on_the_same_connection() -> None:
    """In the callback that ends the one before, as by a relay."""
    count = 0

    def follow(exchange: Exchange) -> Exchange | None:
        nonlocal count
        count += 1
        assert exchange.active_connection is None
        assert exchange.connection is not None
        if count == 12:
            exchange.future.set_result(None)
            return None
        exchange.renew(
            exchange.origin, b"GET", head_of("GET", f"/{count}"), 1e12, exchange.ended_at
        )
        return exchange

    async with serve_http2() as server, http2_engine() as engine:
        begun = engine.begin(server.origin, b"GET", head_of("GET", "/0"), follow=follow)
        await begun.future

    assert server.paths == [f"/{n}" for n in range(12)]
    assert server.connections == 1


async def test_what_an_exchange_refers_to_after_its_end_is_the_connection() -> None:
    """It tells of the network, also after its end."""
    async with serve_http2() as server, http2_engine() as engine:
        one = await get(engine, server.origin)
        connection = one.connection
        assert connection is not None
        tls = connection.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert tls.selected_alpn_protocol() == "h2"
        assert connection.get_extra_info("peername") == ("127.0.0.1", server.raw.port)
        await get(engine, server.origin)

    assert connection.is_closed
    assert connection.get_extra_info("ssl_object") is tls
    assert connection.get_extra_info("peername") is None
    assert server.connections == 1


async def connected(engine: Any, server: Any) -> Any:
    """Return the connection of a server that has been asked once."""
    await get(engine, server.origin)
    (connection,) = engine._pool.idle.members
    return connection


async def test_nothing_is_written_while_the_kernel_has_no_room() -> None:
    """What waits is written when it has some again."""
    async with serve_http2() as server, http2_engine() as engine:
        connection = await connected(engine, server)
        connection.pause_writing()
        asking = aio.ensure_future(get(engine, server.origin, "/later"))
        for _ in range(10):
            await aio.sleep(0)
        assert server.paths == ["/"]
        connection.resume_writing()
        one = await asking

    assert one.content == b"/later"
    assert server.connections == 1


async def test_what_was_not_written_is_sent_on_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server cannot have seen it, so that any method may be sent again."""
    monkeypatch.setattr(_multiplexed, "WORTH_WAITING", 0)
    async with serve_http2() as server, http2_engine() as engine:
        connection = await connected(engine, server)
        one = engine.begin(server.origin, b"POST", head_of("POST", "/again"))
        connection.connection_lost(ConnectionResetError())
        await one.future

    assert one.content == b"/again"
    assert server.connections == 2


async def test_no_memory_for_the_first_bytes_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server's settings may come with the handshake, before the pool knows the connection."""
    deliver_to = TLSTransport.deliver_to

    def settings_changed(_: object) -> None:
        raise MemoryError("injected")

    def deliver_with_settings(transport: TLSTransport, owner: Any) -> None:
        deliver_to(transport, owner)
        monkeypatch.setattr(TLSTransport, "deliver_to", deliver_to)
        with monkeypatch.context() as patch:
            patch.setattr(MultiplexedConnection, "settings_changed", settings_changed)
            owner.received(b"\0\0\0\x04\0\0\0\0\0")

    monkeypatch.setattr(TLSTransport, "deliver_to", deliver_with_settings)
    async with serve_http2() as server, http2_engine() as engine:
        with pytest.raises(MemoryError, match="injected"):
            await get(engine, server.origin)
        assert engine.counts()["connections"] == 0
        one = await get(engine, server.origin, "/again")

    assert one.content == b"/again"


async def test_no_memory_for_what_came_is_not_the_servers_fault() -> None:
    """The exchanges fail with that, and are not sent again."""
    error = MemoryError()
    async with serve_http2(Held()) as server, http2_engine() as engine:
        asking = [aio.ensure_future(get(engine, server.origin, f"/{n}")) for n in range(2)]
        await server.until(lambda: len(server.paths) == 2)
        (connection,) = engine._pool.in_use  # type: ignore[union-attr]
        connection.connection_lost(error)
        failures = await aio.gather(*asking, return_exceptions=True)

    assert failures == [error, error]
    assert server.connections == 1


async def test_a_closed_connection_can_be_closed_and_failed_again() -> None:
    """Several of its parts may find the end of one connection."""
    async with serve_http2() as server, http2_engine() as engine:
        connection = await connected(engine, server)
        for _ in range(2):
            connection.close()
            connection.fail(EngineClosed("again"))
        await get(engine, server.origin)

        assert engine.counts()["connections"] == 1
    assert server.connections == 2
