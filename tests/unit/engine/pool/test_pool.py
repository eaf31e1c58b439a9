"""Who gets which connection, and when one is closed."""

from __future__ import annotations

import asyncio
import errno
import gc
import select
import socket
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine import (
    ConnectFailed,
    EngineClosed,
    Exchange,
    ExchangeLimits,
    Origin,
    TimedOut,
)
from asyncbatch._engine.connect import _sockets
from asyncbatch._engine.http11 import ResponseProtocol
from asyncbatch._engine.io import _attach, _readiness
from asyncbatch._engine.io._socket_transport import LITTLE
from tests import aio
from tests.engines import engine_for, get, head_of
from tests.machines import OtherLoop
from tests.raw_server import CLOSING, OK, Peer, answer_all, answers, serve
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("tasks_in_order")


class Gate:
    """Answers held back until the test lets them go, one by one."""

    def __init__(self) -> None:
        self.held: dict[bytes, aio.Event] = {}

    async def script(self, peer: Peer) -> None:
        while True:
            target = (await peer.read_request()).split()[1]
            await self.held.setdefault(target, aio.Event()).wait()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target)
            )

    def open(self, target: str) -> None:
        self.held.setdefault(target.encode(), aio.Event()).set()


def nothing_begun(*_: object) -> None:
    """Begin nothing, as if the server were far away."""


async def test_the_connection_used_last_is_used_next() -> None:
    """Last in, first out: the others may expire."""
    gate = Gate()
    peers: dict[bytes, int] = {}

    async def script(peer: Peer) -> None:
        while True:
            target = (await peer.read_request()).split()[1]
            peers[target] = peer.number
            await gate.held.setdefault(target, aio.Event()).wait()
            await peer.send(OK)

    async with serve(script) as server, engine_for() as engine:
        first = aio.ensure_future(get(engine, server, "/1"))
        second = aio.ensure_future(get(engine, server, "/2"))
        await server.until(lambda: len(peers) == 2)
        gate.open("/2")
        await second
        gate.open("/1")
        await first
        gate.open("/3")
        await get(engine, server, "/3")

    assert peers[b"/3"] == peers[b"/1"]


async def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    """First in, first out, on one connection."""
    order: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            order.append((await peer.read_request()).split()[1])
            await peer.send(OK)

    async with serve(script) as server, engine_for(max_connections=1) as engine:
        heads = [head_of("GET", f"/{i}") for i in range(50)]
        # Begun at once, since trio starts tasks in any order.
        for exchange in [engine.begin(server.origin, b"GET", head) for head in heads]:
            await exchange.future

        assert server.connections == 1
    assert order == [f"/{i}".encode() for i in range(50)]


async def test_there_are_never_more_connections_than_allowed() -> None:
    """With many more exchanges than connections."""
    async with serve(answer_all) as server, engine_for(max_connections=5) as engine:
        results = await aio.gather(*[get(engine, server) for _ in range(200)])

        assert server.connections <= 5
    assert all(bytes(result.content) == b"ok" for result in results)


async def test_a_free_connection_serves_a_waiter_before_its_own_dial_does() -> None:
    """A connect races a waiter; the new connection is then idle, not lost."""
    gate = Gate()
    async with serve(gate.script) as server, engine_for() as engine:
        first = aio.ensure_future(get(engine, server, "/a"))
        await server.until(lambda: len(server.requests) == 1)
        listening = aio.Event()
        original = engine.connector.connect

        async def slow(*args: object) -> object:
            await listening.wait()
            return await original(*args)  # type: ignore[arg-type]

        engine.connector.connect = slow  # type: ignore[assignment, method-assign]
        engine.connector.begin_connect = nothing_begun  # type: ignore[method-assign]
        second = aio.ensure_future(get(engine, server, "/b"))
        await aio.sleep(0)
        gate.open("/a")
        gate.open("/b")
        await aio.gather(first, second)

        assert second.result().is_reused
        assert engine.counts()["connecting"] == 1
        listening.set()
        await until(lambda: not engine.counts()["connecting"])
        assert engine.counts()["idle"] == 2


async def test_a_dial_that_lost_its_exchange_serves_the_next() -> None:
    """Instead of one more connect."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        going = aio.Event()
        original = engine.connector.connect

        async def slow(*args: object) -> object:
            await going.wait()
            return await original(*args)  # type: ignore[arg-type]

        engine.connector.connect = slow  # type: ignore[assignment, method-assign]
        engine.connector.begin_connect = nothing_begun  # type: ignore[method-assign]
        both = [aio.ensure_future(get(engine, server)) for _ in range(2)]
        await aio.gather(*both)
        # One was served by the first connection, the other waited for it too; its dial goes on.
        more = [aio.ensure_future(get(engine, server)) for _ in range(2)]
        await aio.gather(*more)

        assert engine.counts()["connecting"] == 1
        going.set()
        await until(lambda: not engine.counts()["connecting"])
        assert server.connections <= 2


async def test_a_dial_that_was_taken_over_does_not_end_its_taker_too_early() -> None:
    """Its limit has run since before the exchange came, who then opens a connection of its own."""
    gate = Gate()
    limits = ExchangeLimits(connect_timeout=0.5)
    async with serve(gate.script) as server, engine_for() as engine:
        first = aio.ensure_future(get(engine, server, "/a"))
        await server.until(lambda: len(server.requests) == 1)
        original = engine.connector.connect

        async def never(*_: object) -> object:
            engine.connector.connect = original  # type: ignore[method-assign]
            return await aio.Event().wait()

        engine.connector.connect = never  # type: ignore[assignment, method-assign]
        engine.connector.begin_connect = nothing_begun  # type: ignore[method-assign]
        second = aio.ensure_future(get(engine, server, "/b", limits=limits))
        await aio.sleep(0)
        gate.open("/a")
        await server.until(lambda: len(server.requests) == 2)
        gate.open("/c")
        third = await get(engine, server, "/c", limits=limits)
        gate.open("/b")

        assert bytes(third.content) == b"/c"
        await aio.gather(first, second)
        assert server.connections == 2


async def test_an_idle_connection_of_another_origin_makes_room() -> None:
    """The longest idle one is closed when there is no other place."""
    async with (
        serve(answer_all) as one,
        serve(answer_all) as two,
        serve(answer_all) as three,
        engine_for(max_connections=2) as engine,
    ):
        for server in (one, two, three, two):
            await get(engine, server)

        assert (one.connections, two.connections, three.connections) == (1, 1, 1)
        assert engine.counts()["connections"] == 2


async def test_idle_connections_take_no_place_from_those_in_use() -> None:
    """Hosts asked in turn, one at a time, keep a connection each."""
    async with (
        serve(answer_all, host="0.0.0.0") as server,
        engine_for(max_connections=21, max_in_use=1, max_idle=20, idle_expiry=300.0) as engine,
    ):
        for _ in range(3):
            for i in range(1, 21):
                await get(engine, Origin(is_tls=False, host=f"127.0.0.{i}", port=server.port))

        assert server.connections == 20
        assert engine.counts()["idle"] == 20


async def test_no_more_are_in_use_than_allowed_however_many_are_idle() -> None:
    """An exchange with an idle connection waits too if enough are in use."""
    at_work = most = 0

    async def script(peer: Peer) -> None:
        nonlocal at_work, most
        while True:
            await peer.read_request()
            at_work += 1
            most = max(most, at_work)
            await aio.sleep(0)
            at_work -= 1
            await peer.send(OK)

    async with (
        serve(script, host="0.0.0.0") as server,
        engine_for(max_connections=100, max_in_use=3, max_idle=50) as engine,
    ):
        origins = [
            Origin(is_tls=False, host=f"127.0.0.{i % 9 + 1}", port=server.port) for i in range(200)
        ]
        for _ in range(3):
            await aio.gather(*[get(engine, origin) for origin in origins])

        assert most <= 3
        assert engine.counts()["waiting"] == 0
        assert engine.counts()["connections"] <= 27


async def test_a_place_goes_to_who_has_waited_longest_and_the_connection_to_its_origin() -> None:
    """The one that is given back stays idle for it, and the other origin opens its own."""
    gate = Gate()
    async with (
        serve(gate.script) as one,
        serve(gate.script) as two,
        engine_for(max_connections=10, max_in_use=1, max_idle=9) as engine,
    ):
        first = aio.ensure_future(get(engine, one, "/a"))
        await one.until(lambda: len(one.requests) == 1)
        second = aio.ensure_future(get(engine, two, "/b"))
        # trio begins tasks in any order.
        await until(lambda: engine.counts()["waiting"] == 1)
        third = aio.ensure_future(get(engine, one, "/c"))
        await until(lambda: engine.counts()["waiting"] == 2)
        gate.open("/a")
        await first
        gate.open("/b")
        await second
        gate.open("/c")
        await third

        assert (one.connections, two.connections) == (1, 1)
        assert third.result().is_reused


async def test_without_a_descriptor_the_longest_idle_connection_makes_room() -> None:
    """It is closed at once, and its descriptor used for the new one."""
    async with (
        serve(answer_all, host="0.0.0.0") as server,
        engine_for(max_connections=20) as engine,
    ):
        origins = [Origin(is_tls=False, host=f"127.0.0.{i}", port=server.port) for i in range(1, 9)]
        original = engine.connector.begin_connect

        def begin(*arguments: Any) -> object:
            if engine.counts()["idle"] >= 3:
                raise ConnectFailed("no descriptor") from OSError(errno.EMFILE, "Too many files")
            return original(*arguments)

        engine.connector.begin_connect = begin  # type: ignore[assignment, method-assign]
        for origin in [*origins, *origins[-3:]]:
            await get(engine, origin)

        assert server.connections == len(origins)
        assert engine.counts() == {
            "connections": 3,
            "idle": 3,
            "connecting": 0,
            "waiting": 0,
            "origins": 3,
        }


async def test_without_a_descriptor_and_idle_connections_the_connect_fails() -> None:
    """There is nothing left to be closed, and the failure says what is lacking."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)

        def begin(*_: object) -> object:
            raise ConnectFailed("no descriptor") from OSError(errno.ENFILE, "Too many files")

        engine.connector.begin_connect = begin  # type: ignore[assignment, method-assign]
        other = Origin(is_tls=False, host="127.0.0.2", port=server.port)
        with pytest.raises(ConnectFailed, match="no descriptor"):
            await get(engine, other)

        assert engine.counts()["connections"] == 0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL])
async def test_what_gets_no_connection_of_its_own_shares_one_that_is_busy(number: int) -> None:
    """With hardly a descriptor or a port left they are served in turn, and none fails."""
    gate = Gate()
    async with serve(gate.script) as server, engine_for() as engine:
        original = engine.connector.begin_connect
        refused = 0

        def begin(*arguments: Any) -> object:
            nonlocal refused
            if engine.counts()["connections"]:
                refused += 1
                raise ConnectFailed("nothing left") from OSError(number, "nothing left")
            return original(*arguments)

        engine.connector.begin_connect = begin  # type: ignore[assignment, method-assign]
        exchanges = [aio.ensure_future(get(engine, server, "/0"))]
        await until(lambda: engine.counts().get("connections") == 1)
        exchanges += [aio.ensure_future(get(engine, server, f"/{n}")) for n in range(1, 5)]
        await until(lambda: refused == 4)
        for target in range(5):
            gate.open(f"/{target}")
        contents = [bytes((await exchange).content) for exchange in exchanges]

        assert contents == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert server.connections == 1


async def test_connections_that_are_being_opened_count_where_an_idle_one_would_do() -> None:
    """Else more would be in use than may be, once they are open."""
    async with serve(answer_all) as server, engine_for(max_connections=9, max_in_use=2) as engine:
        await get(engine, server)
        going = aio.Event()
        original = engine.connector.connect

        async def slow(*args: object) -> object:
            await going.wait()
            return await original(*args)  # type: ignore[arg-type]

        engine.connector.connect = slow  # type: ignore[assignment, method-assign]
        engine.connector.begin_connect = nothing_begun  # type: ignore[method-assign]
        other = Origin(is_tls=False, host="localhost", port=server.port)
        opened = [aio.ensure_future(get(engine, other)) for _ in range(2)]
        await until(lambda: engine.counts()["connecting"] == 2)
        waiting = aio.ensure_future(get(engine, server))
        for _ in range(3):
            await aio.sleep(0)

        taken = engine.counts()["idle"] == 0
        going.set()
        await aio.gather(*opened, waiting)
        assert not taken
        assert waiting.result().is_reused


async def test_a_busy_origin_does_not_starve_another() -> None:
    """The exchange that has waited longest gets the place, whatever its origin."""
    async with (
        serve(answer_all) as busy,
        serve(answer_all) as rare,
        engine_for(max_connections=1) as engine,
    ):
        done: list[str] = []

        servers = [busy] * 5 + [rare] + [busy] * 5
        # Begun at once, since trio starts tasks in any order.
        exchanges = [engine.begin(server.origin, b"GET", head_of()) for server in servers]
        for number, exchange in enumerate(exchanges):
            name = "rare" if number == 5 else f"busy{number}"
            exchange.future.add_done_callback(lambda _, name=name: done.append(name))
        for exchange in exchanges:
            await exchange.future
        await until(lambda: len(done) == len(servers))

    assert done.index("rare") == 5


async def test_an_idle_connection_expires() -> None:
    """Nobody has to ask for it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for(idle_expiry=0.03) as engine:
        await get(engine, server)
        await server.until(lambda: server.open == 0)

        assert engine.counts() == {
            "connections": 0,
            "idle": 0,
            "connecting": 0,
            "waiting": 0,
            "origins": 0,
        }


async def test_the_servers_keep_alive_shortens_idling() -> None:
    """`timeout=0` leaves no time at all."""
    answer = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 0\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        await peer.until_closed()

    async with serve(script) as server, engine_for(idle_expiry=60) as engine:
        await get(engine, server)
        await server.until(lambda: server.open == 0)

        assert engine.counts()["idle"] == 0


async def test_origins_are_forgotten_with_their_last_connection() -> None:
    """Millions of hosts leave nothing behind."""
    async with (
        serve(answer_all, host="0.0.0.0") as server,
        engine_for(max_connections=3) as engine,
    ):
        for i in range(1, 30):
            await get(engine, Origin(is_tls=False, host=f"127.0.0.{i}", port=server.port))

        assert engine.counts()["origins"] == 3


async def test_the_wait_for_a_place_has_its_own_limit() -> None:
    """An exchange that gives up leaves the queue."""
    gate = Gate()
    async with serve(gate.script) as server, engine_for(max_connections=1) as engine:
        first = aio.ensure_future(get(engine, server, "/a"))
        await server.until(lambda: len(server.requests) == 1)
        with pytest.raises(TimedOut) as caught:
            await get(engine, server, "/b", limits=ExchangeLimits(pool_timeout=0.01))
        assert engine.counts()["waiting"] == 0
        gate.open("/a")
        await first

    assert caught.value.phase == "pool"


async def test_closing_fails_what_is_under_way_and_closes_all() -> None:
    """Waiting, connecting and answering exchanges end at once, without an answer."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.until_closed()

    async with serve(script) as server, engine_for(max_connections=2) as engine:
        tasks = [aio.ensure_future(get(engine, server, "/never")) for _ in range(5)]
        await server.until(lambda: len(server.requests) == 2)
        await engine.aclose()
        results = await aio.gather(*tasks, return_exceptions=True)

        assert all(isinstance(result, EngineClosed) for result in results)
        await server.until(lambda: server.open == 0)
        with pytest.raises(EngineClosed):
            await get(engine, server)


@pytest.mark.parametrize("call", ["submit", "resend"])
async def test_a_closed_pool_opens_nothing(call: str) -> None:
    """A callback may bring it an exchange that was begun before; it fails, and does not wait."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        exchange = engine.begin(server.origin, b"GET", head_of())
        await exchange.future
        pool: Any = engine._pool
        await engine.aclose()
        exchange.renew(server.origin, b"GET", head_of(), float("inf"), 0.0)
        getattr(pool, call)(exchange)

        assert isinstance(exchange.error, EngineClosed)
        assert pool.counts() == dict.fromkeys(pool.counts(), 0)


def test_an_engine_moves_to_a_new_loop_when_the_old_one_is_closed() -> None:
    """As scripts with several `asyncio.run` need it."""
    from asyncbatch._engine import Connector, Engine

    async def fetch() -> bytes:
        async with serve(answer_all) as server:
            exchange = await get(engine, server)
            content = bytes(exchange.content)
            await engine._pool.aclose()  # type: ignore[union-attr]
            return content

    engine = Engine(Connector(lambda: None))  # type: ignore[arg-type, return-value]

    assert asyncio.run(fetch()) == b"ok"
    assert asyncio.run(fetch()) == b"ok"


@pytest.mark.skipif(
    not _sockets.CAN_WATCH, reason="the event loop's own transports are closed with their objects"
)
@pytest.mark.parametrize("then", ["exchange", "aclose", "close_nowait"])
def test_the_sockets_of_a_closed_loop_are_closed_by_the_next_call(then: str) -> None:
    """Also that of a response which was not read to its end, and is given up only then."""
    from asyncbatch._engine import Connector, Engine

    engine = Engine(Connector(lambda: None))  # type: ignore[arg-type, return-value]
    peers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin(False, "127.0.0.1", listener.getsockname()[1])

        def answer(content: bytes) -> None:
            peer, _ = listener.accept()
            peers.append(peer)
            peer.settimeout(5)
            peer.recv(65536)
            peer.sendall(content)

        async def fetch(content: bytes, *, streams: bool = False) -> Exchange:
            limits = ExchangeLimits(streams=streams)
            answering = asyncio.get_running_loop().run_in_executor(None, answer, content)
            exchange = await get(engine, origin, limits=limits)
            await answering
            return exchange

        async def fetch_two() -> Exchange:
            unread = await fetch(OK[:-1], streams=True)
            await fetch(OK)
            return unread

        async def go_on() -> None:
            if then == "exchange":
                await fetch(OK)
            elif then == "aclose":
                await engine.aclose()
            else:
                engine.close_nowait()

        unread = asyncio.run(fetch_two())
        asyncio.run(go_on())

        ends = [peer.recv(1) for peer in peers[:2]]
        engine.abandon(unread)
        engine.close_nowait()
    for peer in peers:
        peer.close()

    assert ends == [b"", b""]


def test_a_socket_of_the_event_loop_is_closed_by_its_transport_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where we cannot watch it, it is the event loop's."""
    monkeypatch.setattr(_readiness, "select", SimpleNamespace(select=select.select))
    names: dict[str, Any] = vars(asyncio) | {"SelectorEventLoop": OtherLoop}
    monkeypatch.setattr(_attach, "asyncio", SimpleNamespace(**names))

    async def fetch() -> list[int]:
        async with serve(answer_all) as server, engine_for() as engine:
            exchange = await get(engine, server)
            pool: Any = engine._pool
            pool.close_sockets()
            sock = exchange.connection.get_extra_info("socket")
            numbers = [sock.fileno()]
            await engine.aclose()
            return [*numbers, sock.fileno()]

    before, after = asyncio.run(fetch())

    assert before >= 0
    assert after == -1


async def test_an_engine_refuses_a_second_loop() -> None:
    """Its connections belong to the first."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        origin = server.origin

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(get(engine, origin))

        await aio.to_thread(elsewhere)


async def test_a_new_connection_knows_the_heads_of_the_server() -> None:
    """A head that repeats is read once for the origin, not once for each connection."""
    done = aio.Event()

    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        if b"/slow" in request:
            await done.wait()
        await peer.send(CLOSING)

    async with serve(script) as server, engine_for() as engine:
        slow = aio.ensure_future(get(engine, server, "/slow"))
        first = await get(engine, server)
        second = await get(engine, server)
        done.set()
        await slow

        assert server.connections == 3
    assert second.head is first.head
    assert bytes(second.content) == b"ok"


async def test_a_closed_connection_keeps_nothing_alive() -> None:
    """A result refers to its connection; what that was made of may be large."""
    async with serve(answers(CLOSING)) as server, engine_for() as engine:
        exchange = await get(engine, server)
        connection = exchange.connection

        assert connection is not None
        assert connection.is_closed
        kept = gc.get_referents(connection)
    assert not [one for one in kept if isinstance(one, (socket.socket, ResponseProtocol))]
    assert connection.get_extra_info("socket") is None


async def test_a_closed_engine_keeps_no_buffer_alive() -> None:
    """A result refers to its connection, and may be all that is kept of an engine."""
    async with serve(answers(OK)) as server:
        async with engine_for() as engine:
            exchange = await get(engine, server)
            pool = exchange.connection._pool  # type: ignore[union-attr]
            buffer = weakref.ref(pool.buffer)
        del engine, pool

    assert exchange.connection is not None
    assert buffer() is None


async def test_bytes_behind_a_response_are_no_answer_for_whoever_waits() -> None:
    """Neither are those that one read has left in the kernel."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    length = LITTLE - len(head % LITTLE)
    full = (head % length).ljust(LITTLE, b"x")

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(full + OK)

    async with serve(script) as server, engine_for(max_connections=1) as engine:
        exchanges = await aio.gather(*[get(engine, server) for _ in range(3)])

    assert {len(exchange.content) for exchange in exchanges} == {length}


@pytest.mark.parametrize("is_told", [False, True])
async def test_an_error_of_a_callback_closes_all_and_another_pool_goes_on(
    monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """What it has left half done is not known. Without a batch, the event loop is told."""
    told: list[BaseException] = []
    errors: list[BaseException] = []

    def on_error(error: BaseException) -> bool:
        told.append(error)
        return is_told

    gate, error = Gate(), KeyError("broken")
    async with serve(gate.script) as server, engine_for() as engine:
        task = aio.ensure_future(get(engine, server, "/never"))
        await server.until(lambda: len(server.requests) == 1)
        pool: Any = engine._pool
        engine.on_error = on_error
        handle = lambda *said: errors.append(said[-1]["exception"])  # noqa: E731
        if hasattr(pool.loop, "set_exception_handler"):
            pool.loop.set_exception_handler(handle)
        else:
            monkeypatch.setattr(pool.loop, "call_exception_handler", handle)
        pool.break_down(error)
        with pytest.raises(EngineClosed):
            await task
        gate.open("/never")
        await server.until(lambda: server.open == 0)
        gate.open("/again")
        exchange = await get(engine, server, "/again")

        assert exchange.content == b"/again"
        assert engine._pool is not pool
    assert told == [error]
    assert errors == ([] if is_told else [error])
