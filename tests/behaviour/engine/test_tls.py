"""TLS: verified names, told apart in time and kind, and cuts that are seen."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trustme

from asyncbatch._engine import (
    Connector,
    EngineClosed,
    ExchangeLimits,
    HandshakeFailed,
    Origin,
    TimedOut,
)
from asyncbatch._engine.http11 import TruncatedResponse
from asyncbatch._engine.io._tls_transport import TLSTransport
from asyncbatch.testing import LoopbackServer
from tests import aio
from tests.engines import engine_for, get, head_of
from tests.raw_server import CLOSING, OK, Peer, Server, answer_all, answers, serve
from tests.waiting import until

AUTHORITY = trustme.CA()


def server_context(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def origin_of(server: Server, host: str = "127.0.0.1", name: str | None = None) -> Origin:
    return Origin(is_tls=True, host=host, port=server.port, server_name=name)


async def test_a_handshake_is_a_phase_of_its_own() -> None:
    """And happens once for a kept connection."""
    tls = server_context("127.0.0.1")
    connector = Connector(client_context)
    async with serve(answer_all, tls=tls) as server, engine_for(connector=connector) as engine:
        first = await get(engine, origin_of(server))
        second = await get(engine, origin_of(server))

        assert server.connections == 1
    assert first.tls is not None
    assert first.connect is not None
    assert first.tls + first.connect <= first.send_at - first.begun_at
    assert second.tls is None
    assert bytes(second.content) == b"ok"


async def test_a_large_body_arrives_whole() -> None:
    """Many records, one body; and the connection is kept."""
    body = bytes(range(251)) * 8192
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def script(peer: Peer) -> None:
        for response in (answer, OK, answer):
            await peer.read_request()
            await peer.send(response)

    connector = Connector(client_context)
    tls = server_context("127.0.0.1")
    async with serve(script, tls=tls) as server, engine_for(connector=connector) as engine:
        exchanges = [await get(engine, origin_of(server)) for _ in range(3)]

        assert server.connections == 1
    assert [bytes(exchange.content) for exchange in exchanges] == [body, b"ok", body]


async def test_the_context_is_made_once() -> None:
    """For however many connections at a time."""
    made = 0

    def make() -> ssl.SSLContext:
        nonlocal made
        made += 1
        return client_context()

    tls = server_context("127.0.0.1")
    connector = Connector(make)
    async with serve(answer_all, tls=tls) as server, engine_for(connector=connector) as engine:
        await aio.gather(*[get(engine, origin_of(server)) for _ in range(10)])

    assert made == 1


class ResetListener:
    """Resets each connection before the client can say anything on it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))

    @property
    def origin(self) -> Origin:
        """Where it listens."""
        return Origin(is_tls=True, host="127.0.0.1", port=self._socket.getsockname()[1])

    def reset_next(self) -> None:
        """Accept a connection that has been made, and reset it."""
        accepted, _ = self._socket.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class DoomedConnector(Connector):
    """Has each connection reset between its opening and its handshake."""

    def __init__(self, listener: ResetListener) -> None:
        super().__init__(client_context)
        self._listener = listener

    async def _open_socket(self, *args: Any, **options: Any) -> socket.socket:
        opened = await super()._open_socket(*args, **options)
        self._listener.reset_next()
        return opened


@pytest.mark.may_block
async def test_a_reset_in_the_handshake_closes_one_descriptor_once() -> None:
    """The garbage collector does not close its number again: another file may have it by then."""
    listener = ResetListener()
    others: list[socket.socket] = []
    async with engine_for(connector=DoomedConnector(listener)) as engine:
        for _ in range(20):
            with pytest.raises(HandshakeFailed):
                await get(engine, listener.origin)
            others += socket.socketpair()
            gc.collect(1)

        inodes = {os.fstat(other.fileno()).st_ino for other in others}
        assert len(inodes) == len(others)
    for closable in (listener, *others):
        closable.close()


@pytest.mark.parametrize(
    ("names", "make"),
    [
        (["other.example"], client_context),
        (["127.0.0.1"], ssl.create_default_context),
    ],
    ids=["another name", "an unknown authority"],
)
async def test_a_certificate_that_is_not_trusted_is_refused(
    names: list[str], make: Callable[[], ssl.SSLContext]
) -> None:
    """Before a byte of the request is sent."""
    async with (
        serve(answer_all, tls=server_context(*names)) as server,
        engine_for(connector=Connector(make)) as engine,
    ):
        with pytest.raises(HandshakeFailed):
            await get(engine, origin_of(server))

        assert engine.counts()["connections"] == 0
    assert not server.requests


async def test_the_name_asked_for_is_the_name_verified() -> None:
    """`server_name` goes into SNI and against the certificate."""
    asked: list[str | None] = []
    tls = server_context("name.example")
    tls.sni_callback = lambda _sock, name, _context: asked.append(name)
    connector = Connector(client_context)
    async with serve(answer_all, tls=tls) as server, engine_for(connector=connector) as engine:
        await get(engine, origin_of(server, name="name.example"))
        with pytest.raises(HandshakeFailed):
            await get(engine, origin_of(server, name="else.example"))

    assert asked == ["name.example", "else.example"]


async def test_only_http11_is_offered() -> None:
    """A server that could speak HTTP/2 is not led to."""
    tls = server_context("127.0.0.1")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    connector = Connector(client_context)
    async with serve(answer_all, tls=tls) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, origin_of(server))
        assert exchange.connection is not None
        ssl_object = exchange.connection.get_extra_info("ssl_object")

    assert isinstance(ssl_object, ssl.SSLObject)
    assert ssl_object.selected_alpn_protocol() == "http/1.1"


async def test_a_peer_that_does_not_speak_tls_is_a_failed_handshake() -> None:
    """Plain HTTP behind an https URL."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        serve(script) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        with pytest.raises(HandshakeFailed):
            await get(engine, origin_of(server))


async def test_a_peer_that_hangs_up_in_the_handshake_is_a_failed_handshake() -> None:
    """An end instead of a certificate."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(100)

    async with (
        serve(script) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        with pytest.raises(HandshakeFailed):
            await get(engine, origin_of(server))


async def test_an_orderly_end_completes_a_body_without_length() -> None:
    """The closing alert says that nothing was cut."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        peer.writer.close()
        await peer.writer.wait_closed()

    tls = server_context("127.0.0.1")
    connector = Connector(client_context)
    async with serve(script, tls=tls) as server, engine_for(connector=connector) as engine:
        exchange = await get(engine, origin_of(server))

    assert bytes(exchange.content) == b"hello"


@pytest.mark.parametrize("options", [0, ssl.OP_IGNORE_UNEXPECTED_EOF], ids=["", "lenient"])
async def test_a_cut_without_the_closing_alert_is_truncated(options: int) -> None:
    """Anybody in between could have made it (RFC 9112 §9.8), whatever the Python at hand sets."""

    def make_context() -> ssl.SSLContext:
        context = client_context()
        context.options |= options
        return context

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await aio.sleep(0.01)
        peer.writer.transport.abort()

    tls = server_context("127.0.0.1")
    connector = Connector(make_context)
    async with serve(script, tls=tls) as server, engine_for(connector=connector) as engine:
        with pytest.raises(TruncatedResponse):
            await get(engine, origin_of(server))


async def test_the_certificate_can_be_seen_after_the_connection() -> None:
    """A program looks at it when the batch is over."""
    tls = server_context("127.0.0.1")
    connector = Connector(client_context)
    async with (
        serve(answers(CLOSING), tls=tls) as server,
        engine_for(connector=connector) as engine,
    ):
        exchange = await get(engine, origin_of(server))

    assert exchange.connection is not None
    assert exchange.connection.is_closed
    ssl_object = exchange.connection.get_extra_info("ssl_object")
    assert isinstance(ssl_object, ssl.SSLObject)
    assert ssl_object.getpeercert()


async def test_a_byte_on_an_idle_tls_connection_closes_it() -> None:
    """The same as without TLS."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        if peer.number == 1:
            await aio.sleep(0.01)
            await peer.send(OK.replace(b"ok", b"NO"))
        await peer.until_closed()

    tls = server_context("127.0.0.1")
    connector = Connector(client_context)
    async with serve(script, tls=tls) as server, engine_for(connector=connector) as engine:
        await get(engine, origin_of(server))
        await until(lambda: not engine.counts()["connections"])

        assert bytes((await get(engine, origin_of(server))).content) == b"ok"


async def test_many_tls_connections_are_closed_in_time() -> None:
    """Closing waits for no closing alert of the peer."""
    tls = server_context("127.0.0.1")
    connector = Connector(client_context)
    async with serve(answer_all, tls=tls) as server, engine_for(connector=connector) as engine:
        await aio.gather(*[get(engine, origin_of(server)) for _ in range(20)])
        async with aio.timeout(20):
            await engine.aclose()


async def _say_nothing(peer: Peer) -> None:
    await peer.until_closed()


async def test_a_handshake_that_hangs_ends_with_the_connect_limit() -> None:
    """A peer that takes the greeting and says nothing; no socket is left."""
    async with (
        serve(_say_nothing) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        with pytest.raises(TimedOut) as caught:
            await get(engine, origin_of(server), limits=ExchangeLimits(connect_timeout=0.05))
        await until(lambda: not engine.counts()["connecting"])
        await server.until(lambda: server.open == 0)

    assert caught.value.phase == "connect"


async def test_a_handshake_ends_when_it_is_cancelled() -> None:
    """At whatever point it is."""
    async with (
        serve(_say_nothing) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        for rounds in range(12):
            task = aio.ensure_future(get(engine, origin_of(server)))
            for _ in range(rounds):
                await aio.sleep(0.001)
            task.cancel()
            with pytest.raises(aio.CancelledError):
                await task
        await until(lambda: not engine.counts()["connecting"])
        await server.until(lambda: server.open == 0)


async def test_closing_does_not_wait_for_a_handshake() -> None:
    """Nor for the exchange behind it."""
    async with (
        serve(_say_nothing) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        task = aio.ensure_future(get(engine, origin_of(server)))
        await server.until(lambda: server.open == 1)
        async with aio.timeout(20):
            await engine.aclose()
        with pytest.raises(EngineClosed):
            await task
        await server.until(lambda: server.open == 0)


async def test_a_record_that_has_come_in_part_is_no_answer_to_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its rest comes behind the request, and was sent before it."""
    context = server_context("127.0.0.1")
    received = 0
    sent = 0
    original = TLSTransport.received

    def note(self: TLSTransport, content: bytes | memoryview) -> None:
        nonlocal received
        received += len(content)
        original(self, content)

    async def script(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        async def send(content: bytes) -> None:
            nonlocal sent
            sent += len(content)
            await peer.send(content)

        async def take(step: Callable[..., Any], *args: Any) -> None:
            while True:
                try:
                    step(*args)
                except ssl.SSLWantReadError:
                    await send(outgoing.read())
                    incoming.write(await peer.reader.read(65536))
                else:
                    return

        await take(tls.do_handshake)
        await take(tls.read, 65536)
        tls.write(OK)
        answer = outgoing.read()
        tls.write(OK.replace(b"ok", b"no"))
        record = outgoing.read()
        await send(answer + record[:9])
        await peer.reader.read(65536)  # the next request, or the end
        await peer.send(record[9:])

    monkeypatch.setattr(TLSTransport, "received", note)
    connector = Connector(client_context)
    async with serve(script) as server, engine_for(connector=connector) as engine:
        first = await get(engine, origin_of(server))
        await until(lambda: received == sent)
        second = await get(engine, origin_of(server))

    assert [bytes(exchange.content) for exchange in (first, second)] == [b"ok", b"ok"]
    assert server.connections == 2


async def test_a_spare_connection_is_used_though_its_tickets_have_not_been_read() -> None:
    """A TLS 1.3 server sends them after the handshake, whether there is a request or not."""
    context = server_context("127.0.0.1")
    peers: list[Peer] = []
    tickets: list[bytes] = []
    requests = 0
    may_answer = may_shake_hands = False

    async def script(peer: Peer) -> None:
        nonlocal requests
        peers.append(peer)
        is_spare = len(peers) == 2
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        async def take(step: Callable[..., Any], *args: Any) -> bytes:
            while True:
                try:
                    result = step(*args)
                except ssl.SSLWantReadError:
                    if content := outgoing.read():
                        await peer.send(content)
                    if not (content := await peer.reader.read(65536)):
                        return b""
                    incoming.write(content)
                else:
                    return result or b""

        await until(lambda: may_shake_hands or not is_spare)
        await take(tls.do_handshake)
        if is_spare:
            tickets.append(outgoing.read())
        while await take(tls.read, 65536):
            requests += 1
            await until(lambda: may_answer)
            tls.write(OK)
            await peer.send(outgoing.read())

    connector = Connector(client_context)
    async with serve(script) as server, engine_for(connector=connector) as engine:
        origin = origin_of(server)
        pair = [engine.begin(origin, b"GET", head_of()) for _ in range(2)]
        await until(lambda: len(peers) == 2 and requests == 1)
        may_answer = True  # the first connection serves both
        for exchange in pair:
            await exchange.future
        may_shake_hands = True
        await until(lambda: bool(tickets) and engine.counts()["idle"] == 2)
        os.write(peers[1].writer.get_extra_info("socket").fileno(), tickets[0])
        pair = [engine.begin(origin, b"GET", head_of()) for _ in range(2)]
        for exchange in pair:
            await exchange.future

    assert [bytes(exchange.content) for exchange in pair] == [b"ok", b"ok"]
    assert server.connections == 2


@pytest.mark.parametrize("is_late", [False, True], ids=["soon", "late"])
async def test_an_alert_after_the_handshake_is_read_before_the_failure_is_named(
    is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TLS 1.3 server refuses a client late, and may have closed before the request is sent."""
    verified = TLSTransport.wait_until_verified

    async def wait(transport: TLSTransport) -> None:
        await verified(transport)
        await until(lambda: transport._lower is None)

    if is_late:
        monkeypatch.setattr(TLSTransport, "wait_until_verified", wait)
    tls = server_context("127.0.0.1")
    AUTHORITY.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with (
        LoopbackServer(ssl_context=tls) as server,
        engine_for(connector=Connector(client_context)) as engine,
    ):
        port = httpx.URL(server.url()).port
        assert port is not None
        with pytest.raises(TruncatedResponse) as caught:
            await get(engine, Origin(is_tls=True, host="127.0.0.1", port=port))

    cause = caught.value.__cause__
    assert isinstance(cause, ssl.SSLError)
    assert "ALERT_CERTIFICATE_REQUIRED" in str(cause.reason)
