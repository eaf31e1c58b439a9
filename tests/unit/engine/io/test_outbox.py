"""Requests that are sent together at the end of a turn, and what may happen until then."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator

import pytest

from asyncbatch._engine import Engine, Exchange
from asyncbatch._engine._errors import EngineClosed
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.http11 import ExchangeError
from asyncbatch._engine.io._outbox import WORTH_WAITING, Outbox
from asyncbatch._engine.io._readiness import LoopWatch, never
from tests import aio
from tests.engines import engine_for, get, head_of
from tests.raw_server import Peer, Server, serve

MANY = 2 * WORTH_WAITING
STRANGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


class Echo:
    """Answers each request with its target but those for `/held`, and keeps its connections."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.held: list[Peer] = []

    async def script(self, peer: Peer) -> None:
        self.peers.append(peer)
        while True:
            target = (await peer.read_request()).split()[1]
            if target == b"/held":
                self.held.append(peer)
                peer.server.changed.set()
                await peer.until_closed()
                return
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target)
            await peer.send(head + target)


async def fill(engine: Engine, server: Server) -> None:
    """Open `MANY` connections and leave them idle."""
    await aio.gather(*(get(engine, server, f"/first/{number}") for number in range(MANY)))
    assert engine.counts()["idle"] == MANY


async def begin_many(engine: Engine, server: Server) -> list[bytes]:
    """Begin `MANY` exchanges in one turn of the loop and return the bodies that come."""
    exchanges = [
        engine.begin(server.origin, b"GET", head_of("GET", f"/{number}")) for number in range(MANY)
    ]
    for exchange in exchanges:
        await exchange.future
    return [bytes(exchange.content) for exchange in exchanges]


TARGETS = [b"/%d" % number for number in range(MANY)]


@pytest.fixture(params=["together", "one by one"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for all connections of a pool at once, and for each alone, as without epoll."""
    if request.param == "one by one":
        monkeypatch.setattr(
            "asyncbatch._engine.pool._pool.watch_on", lambda loop, stall_detector: LoopWatch(loop)
        )


@pytest.fixture(autouse=True)
def _long_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait for the end of a turn, however busy this machine is."""
    monkeypatch.setattr("asyncbatch._engine.io._outbox.MAX_DELAY", 60.0)


def let_time_pass(engine: Engine) -> None:
    """Have the turn take so long that its requests do not wait for its end."""
    assert engine._pool is not None
    engine._pool.outbox.send_by = 0.0


@contextlib.asynccontextmanager
async def waiting_requests(
    engine: Engine, server: Server, echo: Echo, method: str, body: bytes | None = None
) -> AsyncIterator[list[Exchange]]:
    """Put requests into the outbox, on each idle connection but one, and send none of them yet."""
    await fill(engine, server)
    held = [
        engine.begin(server.origin, b"GET", head_of("GET", "/held")) for _ in range(WORTH_WAITING)
    ]
    await server.until(lambda: len(echo.held) == WORTH_WAITING)
    fields = [] if body is None else [("Content-Length", str(len(body)))]
    yield [
        engine.begin(server.origin, method.encode(), head_of(method, f"/{number}", fields), body)
        for number in range(MANY - WORTH_WAITING - 1)
    ]
    for exchange in held:
        engine.abandon(exchange)


@pytest.mark.usefixtures("watched")
async def test_an_answer_that_comes_while_the_request_waits_is_no_answer() -> None:
    """The connection was good when the request got it, and is looked at again before sending."""
    echo = Echo()
    async with (
        serve(echo.script) as server,
        engine_for() as engine,
        waiting_requests(engine, server, echo, "GET") as exchanges,
    ):
        for peer in set(echo.peers) - set(echo.held):
            os.write(peer.writer.get_extra_info("socket").fileno(), STRANGE)
        for exchange in exchanges:
            await exchange.future

    assert [bytes(exchange.content) for exchange in exchanges] == TARGETS[: len(exchanges)]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("body", [None, b"four"])
async def test_a_connection_that_ends_while_the_request_waits_is_replaced(
    body: bytes | None,
) -> None:
    """Nothing was sent on it, so that a POST goes another way too."""
    echo = Echo()
    async with (
        serve(echo.script) as server,
        engine_for() as engine,
        waiting_requests(engine, server, echo, "POST", body) as exchanges,
    ):
        assert not any(exchange.sent_at for exchange in exchanges)
        for peer in set(echo.peers) - set(echo.held):
            descriptor = os.dup(peer.writer.get_extra_info("socket").fileno())
            with socket.socket(fileno=descriptor) as end:
                end.shutdown(socket.SHUT_WR)
        for exchange in exchanges:
            await exchange.future

    assert [bytes(exchange.content) for exchange in exchanges] == TARGETS[: len(exchanges)]
    assert sum(request.startswith(b"POST") for request in server.requests) == len(exchanges)


async def test_each_gets_its_own_answer() -> None:
    """What is sent together is answered apart, and its times are in order."""
    echo = Echo()
    async with serve(echo.script) as server, engine_for() as engine:
        await fill(engine, server)
        assert await begin_many(engine, server) == TARGETS
        exchange = engine.begin(server.origin, b"GET", head_of("GET", "/last"))
        await exchange.future

    assert exchange.send_at <= exchange.sent_at <= exchange.first_byte_at <= exchange.ended_at
    assert server.connections == MANY


async def test_an_answer_that_came_before_the_request_was_sent_is_no_answer() -> None:
    """A connection is looked at before it is given to a request."""
    echo = Echo()
    async with serve(echo.script) as server, engine_for() as engine:
        await fill(engine, server)
        for peer in echo.peers:
            os.write(peer.writer.get_extra_info("socket").fileno(), STRANGE)
        bodies = await begin_many(engine, server)

    assert bodies == TARGETS
    assert server.connections == 2 * MANY


async def test_a_connection_that_ended_before_the_request_was_sent_is_replaced() -> None:
    """Nothing was sent, so whatever the method the exchange goes another way."""
    echo = Echo()
    async with serve(echo.script) as server, engine_for() as engine:
        await fill(engine, server)
        for peer in echo.peers:
            descriptor = os.dup(peer.writer.get_extra_info("socket").fileno())
            with socket.socket(fileno=descriptor) as end:
                end.shutdown(socket.SHUT_WR)
        exchanges = [
            engine.begin(server.origin, b"DELETE", head_of("DELETE", f"/{number}"))
            for number in range(MANY)
        ]
        for exchange in exchanges:
            await exchange.future

    assert [bytes(exchange.content) for exchange in exchanges] == TARGETS
    assert not any(exchange.has_resent for exchange in exchanges)
    assert sum(request.startswith(b"DELETE") for request in server.requests) == MANY


async def test_what_is_given_up_before_it_was_sent_is_never_sent() -> None:
    """Cancelled in the same turn, it leaves no trace in the pool; put off, none at the server."""
    echo = Echo()
    async with serve(echo.script) as server, engine_for() as engine:
        await fill(engine, server)
        exchanges = [
            engine.begin(server.origin, b"GET", head_of("GET", "/never")) for _ in range(MANY)
        ]
        for exchange in exchanges:
            engine.abandon(exchange)
        assert await begin_many(engine, server) == TARGETS
        assert engine.counts()["waiting"] == 0

    assert sum(b"/never" in request for request in server.requests) < WORTH_WAITING


async def test_what_ends_before_it_was_sent_has_nothing_of_the_answer_before_it() -> None:
    """Its connection still knows the head of the exchange that it served last."""
    echo = Echo()
    async with (
        serve(echo.script) as server,
        engine_for() as engine,
        waiting_requests(engine, server, echo, "GET") as exchanges,
    ):
        engine.close_nowait()

    assert all(isinstance(exchange.error, EngineClosed) for exchange in exchanges)
    assert all(exchange.head is None and not exchange.content for exchange in exchanges)


async def test_a_server_that_speaks_first_is_not_tried_without_end() -> None:
    """Its greeting is no answer, and connecting again would bring the same."""

    async def greet(peer: Peer) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n")
        await peer.until_closed()

    async with serve(greet) as server, engine_for() as engine:
        exchanges = [engine.begin(server.origin, b"GET", head_of("GET", "/")) for _ in range(MANY)]
        for exchange in exchanges:
            await exchange.future

    assert all(isinstance(exchange.error, ExchangeError) for exchange in exchanges)
    assert server.connections == MANY


@pytest.mark.usefixtures("watched")
async def test_a_request_does_not_wait_for_the_end_of_a_long_turn() -> None:
    """Others of the turn may take long to begin; what they have put is sent meanwhile."""
    echo = Echo()
    async with (
        serve(echo.script) as server,
        engine_for() as engine,
        waiting_requests(engine, server, echo, "GET") as exchanges,
    ):
        assert not any(exchange.sent_at for exchange in exchanges)
        let_time_pass(engine)
        late = engine.begin(server.origin, b"GET", head_of("GET", "/late"))
        assert all(exchange.sent_at for exchange in [*exchanges, late])
        for exchange in [*exchanges, late]:
            await exchange.future

    assert bytes(late.content) == b"/late"
    assert [bytes(exchange.content) for exchange in exchanges] == TARGETS[: len(exchanges)]


@pytest.mark.usefixtures("watched")
async def test_an_answer_before_the_request_is_none_in_a_long_turn_either() -> None:
    """A connection with bytes to read sends nothing, and its request goes elsewhere."""
    echo = Echo()
    async with (
        serve(echo.script) as server,
        engine_for() as engine,
        waiting_requests(engine, server, echo, "POST", b"four") as exchanges,
    ):
        for peer in set(echo.peers) - set(echo.held):
            os.write(peer.writer.get_extra_info("socket").fileno(), STRANGE)
        let_time_pass(engine)
        late = engine.begin(server.origin, b"GET", head_of("GET", "/late"))
        assert not any(exchange.sent_at for exchange in exchanges)
        for exchange in [*exchanges, late]:
            await exchange.future

    assert bytes(late.content) == b"/late"
    assert [bytes(exchange.content) for exchange in exchanges] == TARGETS[: len(exchanges)]
    assert sum(request.startswith(b"POST") for request in server.requests) == len(exchanges)


async def test_those_after_an_error_in_a_long_turn_are_sent_at_its_end() -> None:
    """The error is that of the call that found them overdue."""
    sent: list[str] = []

    class Sender:
        poll = staticmethod(never)

        def __init__(self, name: str) -> None:
            self.name = name

        def send_request(self) -> None:
            sent.append(self.name)
            if self.name == "broken":
                raise MemoryError

    outbox = Outbox(running_loop(), lambda: None)
    for name in ("first", "broken", "last"):
        outbox.put(Sender(name), 0.0)
    with pytest.raises(MemoryError):
        outbox.send_overdue(1.0)
    assert sent == ["first", "broken"]
    await aio.sleep(0)
    await aio.sleep(0)

    assert sent == ["first", "broken", "last"]
    assert not outbox.senders


async def test_one_that_cannot_send_does_not_stop_the_others() -> None:
    """An error of one sender is the event loop's to report."""
    sent: list[str] = []

    class Sender:
        poll = staticmethod(never)

        def __init__(self, name: str) -> None:
            self.name = name

        def send_request(self) -> None:
            sent.append(self.name)
            if self.name == "broken":
                raise RuntimeError("cannot send")

    loop = running_loop()
    now = loop.time()
    reported = aio.reports_of(loop)
    outbox = Outbox(loop, lambda: None)
    for name in ("first", "broken", "last"):
        outbox.put(Sender(name), now)
    await aio.sleep(0)
    await aio.sleep(0)
    aio.report_again(loop)

    assert sent == ["first", "broken", "last"]
    assert [str(error) for error in reported] == ["cannot send"]
