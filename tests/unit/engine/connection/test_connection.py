"""One connection: what it keeps, what it closes, and what never reaches the next request."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine import BodyStream, Exchange, ExchangeLimits, Origin
from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.connection import _connection
from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.http11 import ProtocolError, ResponseTooLarge, TruncatedResponse
from tests import aio
from tests.engines import engine_for, get, head_of, post, read_all, send_request
from tests.raw_server import CLOSING, OK, Peer, answer_all, answers, serve
from tests.waiting import until

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


async def test_an_exchange_brings_back_the_whole_response() -> None:
    """Head, body and times of one exchange."""
    before = monotonic()
    async with serve(answer_all) as server, engine_for() as engine:
        exchange = await get(engine, server)

    assert exchange.head is not None
    assert (exchange.head.status, bytes(exchange.content)) == (200, b"ok")
    assert exchange.dns is None
    assert exchange.tls is None
    assert exchange.connect is not None
    assert not exchange.is_reused
    times = [
        before,
        exchange.begun_at,
        exchange.send_at,
        exchange.sent_at,
        exchange.first_byte_at,
        exchange.ended_at,
        monotonic(),
    ]
    assert times == sorted(times)
    assert exchange.connect <= exchange.send_at - exchange.begun_at


async def test_a_connection_is_used_again() -> None:
    """Keep-alive: the second exchange needs no phase of connecting."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        second = await get(engine, server)

        assert server.connections == 1
    assert second.is_reused
    assert second.connect is None


@pytest.mark.parametrize(
    "answer",
    [
        CLOSING,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + EVIL,
        b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n" + EVIL,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + EVIL,
        OK + b"\x00\xff rubbish",
    ],
)
async def test_a_connection_that_may_not_be_kept_is_closed(answer: bytes) -> None:
    """The response is good, and what lies behind it is nobody's."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer if peer.number == 1 else OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        first = await get(engine, server)
        second = await get(engine, server)

        assert server.connections == 2
    assert bytes(first.content) in (b"ok", b"")
    assert bytes(second.content) == b"ok"


async def test_a_body_behind_a_head_response_is_not_the_next_response() -> None:
    """A server that answers HEAD with a body poisons nothing."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(EVIL if peer.number == 1 else OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        first = await get(engine, server, method="HEAD")
        second = await get(engine, server)

    assert bytes(first.content) == b""
    assert bytes(second.content) == b"ok"


@pytest.mark.parametrize("extra", [EVIL, b"x", b"\r\n"])
async def test_a_byte_on_an_idle_connection_closes_it(extra: bytes) -> None:
    """Without a timer and without a request: the byte itself does it."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        if peer.number == 1:
            await peer.send(extra)
            await peer.until_closed()
            peer.server.requests.append(b"closed")
            peer.server.changed.set()
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        await get(engine, server)
        await server.until(lambda: b"closed" in server.requests)

        assert engine.counts()["connections"] == 0
        assert bytes((await get(engine, server)).content) == b"ok"


async def test_bytes_that_have_come_unread_are_seen_before_a_request_is_written() -> None:
    """The look at the socket at each checkout: no round of the event loop lies in between."""
    unread = aio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await unread.wait()
        if peer.number == 1:
            # Straight to the kernel, and no await before the client's next checkout.
            sock = peer.writer.get_extra_info("socket")
            sock._sock.send(EVIL) if hasattr(sock, "_sock") else peer.writer.write(EVIL)
            exchange = aio.ensure_future(get(engine, server))
            seen.append(bytes((await exchange).content))
            done.set()
        await peer.until_closed()

    done = aio.Event()
    seen: list[bytes] = []
    async with serve(script) as server, engine_for() as engine:
        await get(engine, server)
        unread.set()
        await done.wait()

    assert seen == [b"ok"]
    assert server.connections == 2


async def test_the_end_of_an_idle_connection_takes_it_out_of_the_pool() -> None:
    """A server that closes costs nothing but the next connect."""
    async with serve(answers(OK)) as server, engine_for() as engine:
        await get(engine, server)
        await server.until(lambda: server.open == 0)
        await until(lambda: not engine.counts()["connections"])
        second = await post(engine, server)

    assert bytes(second.content) == b"ok"
    assert not second.is_reused


@pytest.mark.parametrize("cut", range(len(OK)))
async def test_a_response_cut_at_any_place_is_truncated(cut: int) -> None:
    """No prefix of a response is taken for one; a fresh connection is not tried again."""
    async with serve(answers(OK[:cut])) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse) as caught:
            await get(engine, server)

        assert caught.value.received is (cut > 0)
        assert server.connections == 1
        assert engine.counts()["connections"] == 0


@pytest.mark.parametrize("cut", [0, 5, 20, len(OK) - 1])
async def test_a_reset_at_any_place_is_truncated(cut: int) -> None:
    """A reset is told from an orderly end by its cause."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:cut])
        await aio.sleep(0.01)
        peer.reset()

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse) as caught:
            await get(engine, server)

    assert isinstance(caught.value.__cause__, ConnectionError)


async def test_a_reset_does_not_complete_a_body_without_length() -> None:
    """Only an orderly end does."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await aio.sleep(0.01)
        if peer.number == 1:
            peer.reset()

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse):
            await get(engine, server)
        second = await get(engine, server)

    assert bytes(second.content) == b"hel"


async def test_a_protocol_error_closes_the_connection_and_spares_the_next() -> None:
    """What is not HTTP is an error at once, and the pool is as before."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"220 mail ready\r\n" if peer.number == 1 else OK)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(ProtocolError):
            await get(engine, server)
        second = await get(engine, server)

    assert bytes(second.content) == b"ok"


async def test_a_body_beyond_the_cap_is_cut_off() -> None:
    """The connection is closed, and an announced length is refused before it is read."""
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    async with serve(answers(large)) as server, engine_for() as engine:
        with pytest.raises(ResponseTooLarge):
            await get(engine, server, limits=ExchangeLimits(max_body=1000))

        assert engine.counts()["connections"] == 0


async def test_a_large_body_arrives_whole() -> None:
    """Many reads, one body."""
    body = bytes(range(256)) * 4096
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with serve(answers(answer, OK)) as server, engine_for() as engine:
        first = await get(engine, server)
        second = await get(engine, server)

    assert bytes(first.content) == body
    assert bytes(second.content) == b"ok"
    assert second.is_reused


LARGE = bytes(range(251)) * 4096
LARGE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE)


async def test_bytes_behind_a_large_body_are_nobodys() -> None:
    """However large the body: they close the connection, and are not the next response."""
    async with serve(answers(LARGE_HEAD + LARGE + EVIL, OK)) as server, engine_for() as engine:
        first = await get(engine, server)
        assert engine.counts()["connections"] == 0
        async with serve(answer_all) as other:
            second = await get(engine, other)

    assert bytes(first.content) == LARGE
    assert bytes(second.content) == b"ok"


@pytest.mark.parametrize("length", [100_000, 900_000, len(LARGE) - 1])
async def test_a_large_body_cut_short_is_truncated(length: int) -> None:
    """Wherever it is cut; the next exchange on a new connection is whole."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        if peer.number == 1:
            await peer.send(LARGE_HEAD + LARGE[:length])
        else:
            await peer.send(LARGE_HEAD + LARGE)

    async with serve(script) as server, engine_for() as engine:
        with pytest.raises(TruncatedResponse):
            await get(engine, server)
        second = await get(engine, server)

    assert bytes(second.content) == LARGE


async def test_large_bodies_at_the_same_time_do_not_mix() -> None:
    """Each connection has a place of its own to receive into, and the shared one again after."""

    async def script(peer: Peer) -> None:
        mark = b"%d" % peer.number
        for length in (300_000, 2, 300_000):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
            body = mark * length
            await peer.read_request()
            for start in range(0, length, 50_000):
                await peer.send(head + body[start : start + 50_000])
                head = b""
                await aio.sleep(0)

    async with serve(script) as server, engine_for() as engine:
        for length in (300_000, 2, 300_000):
            exchanges = await aio.gather(*(get(engine, server) for _ in range(8)))
            bodies = {bytes(exchange.content) for exchange in exchanges}

            assert bodies == {b"%d" % number * length for number in range(1, 9)}


async def test_a_response_in_many_segments_is_one_response() -> None:
    """Informational responses and a head in pieces, over a real socket."""
    transport = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(*[transport[i : i + 9] for i in range(0, len(transport), 9)])
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server)

    assert bytes(exchange.content) == b"ok"
    assert exchange.ended_at >= exchange.first_byte_at


async def test_a_request_that_asks_to_close_is_the_last_on_its_connection() -> None:
    """Whatever the server answers (RFC 9112 §9.6)."""
    head = head_of(fields=[("Connection", "close")])
    async with serve(answer_all) as server, engine_for() as engine:
        await send_request(engine, server.origin, b"GET", head, closes=True)
        await get(engine, server)

        assert server.connections == 2


GATHERS = ExchangeLimits(streams=True, gathers=6)
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab"


async def test_a_short_body_that_follows_its_head_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reader finds all of it, and the connection is free already."""
    monkeypatch.setattr(_connection, "GATHERING", 60.0)

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(HALF, b"cd", b"ef")
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=GATHERS)

    assert exchange.is_over
    assert bytes(exchange.content) == b"abcdef"


@pytest.mark.parametrize(
    ("head", "seconds", "left"),
    [
        (HALF, 0.001, 60.0),
        (HALF.replace(b"6", b"7"), 60.0, 600.0),
        (b"HTTP/1.1 200 OK\r\n\r\nab", 60.0, 600.0),
        (HALF, 60.0, 100.0),
    ],
    ids=["not for long", "not a longer one", "not one of unknown length", "not without time left"],
)
async def test_a_body_that_stays_away_is_left_to_its_reader(
    monkeypatch: pytest.MonkeyPatch, head: bytes, seconds: float, left: float
) -> None:
    """With what has come; its reader waits as long as its own limits say."""
    monkeypatch.setattr(_connection, "GATHERING", seconds)

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(head)
        await peer.until_closed()

    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=GATHERS, deadline=monotonic() + left)
        is_over, taken = exchange.is_over, await BodyStream(engine, exchange).__anext__()
        engine.abandon(exchange)

    assert not is_over
    assert exchange.head is not None
    assert taken == b"ab"


async def test_a_short_body_that_breaks_off_is_that_of_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who gets what has come, and then the error."""
    monkeypatch.setattr(_connection, "GATHERING", 60.0)

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(HALF)

    taken = bytearray()
    async with serve(script) as server, engine_for() as engine:
        exchange = await get(engine, server, limits=GATHERS)
        with pytest.raises(TruncatedResponse):
            await read_all(BodyStream(engine, exchange), taken)

    assert taken == b"ab"


async def test_what_has_no_response_under_way_has_nothing_of_it() -> None:
    """No body to lend or to take; a late word of the kernel changes nothing."""
    async with serve(answer_all) as server, engine_for() as engine:
        await get(engine, server)
        (connection,) = engine._pool.idle.members  # type: ignore[union-attr]
        connection.resume_writing()  # type: ignore[attr-defined]
        connection.lend_body()  # type: ignore[attr-defined]

        assert connection.refill() is None  # type: ignore[attr-defined]
        assert connection.take_body() == b""  # type: ignore[attr-defined]
        await get(engine, server)
        assert server.connections == 1


class Rig:
    """A connection without a network, which is given a request at the time 7."""

    def __init__(self, deadline: float, observer: Any = None, body: bytes | None = None) -> None:
        self.written: list[bytes] = []
        self.next_at = 50.0
        origin = Origin(False, "x", 80)
        pool: Any = SimpleNamespace(in_use=())
        transport: Any = SimpleNamespace(
            poll=lambda _: False, poll_after_look=None, write=self.written.append
        )
        sweep: Any = self
        self.connection = Connection(pool, origin, transport, sweep, pool, memoryview(b""))
        future: Any = None
        self.exchange = Exchange(
            future, origin, b"GET", head_of(), body, ExchangeLimits(), deadline, False, 5.0
        )
        self.exchange.observer = observer
        self.connection.start(self.exchange, 7.0)

    def by(self, deadline: float) -> None:
        """Be the sweep, whose next look is at `next_at`."""
        self.next_at = min(self.next_at, deadline)

    def state(self) -> dict[str, Any]:
        """Return what is in all slots; of an object, its type."""
        found: dict[str, Any] = {"written": self.written, "next_at": self.next_at}
        for owner in (self.connection, self.exchange):
            for name in type(owner).__slots__:
                value = getattr(owner, name, None)
                is_plain = isinstance(value, (int, float, str, bytes, tuple))
                found[f"{type(owner).__name__}.{name}"] = value if is_plain else type(value)
        return found


@pytest.mark.parametrize("body", [None, b"x"])
@pytest.mark.parametrize("deadline", [40.0, 60.0, NEVER])
def test_a_request_that_nobody_observes_leaves_what_an_observed_one_does(
    monkeypatch: pytest.MonkeyPatch, deadline: float, body: bytes | None
) -> None:
    """What most requests do is written out: the times, the limit and the sweep agree."""
    monkeypatch.setattr(_connection, "monotonic", lambda: 9.0)
    told: list[str] = []
    plain, observed = Rig(deadline, None, body), Rig(deadline, lambda *of: told.append(of[0]), body)
    observed.exchange.observer = None

    assert told == ["sent"]
    assert observed.exchange.sent_at == 9.0
    assert plain.state() == observed.state()
