"""Dials: how they end, for whom they go on, and how often a connect is tried again."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine import ConnectFailed, EngineClosed, ExchangeLimits, Origin, TimedOut
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.connect._resolver import Address
from asyncbatch._engine.connect._sockets import StartedConnect
from asyncbatch._engine.http11 import TruncatedResponse
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._guarded_loop import GuardedLoop
from asyncbatch._engine.pool import _dialing
from asyncbatch._engine.pool._dialing import Dial, Dialler
from asyncbatch._engine.pool._origin_pool import OriginPool, OriginPools
from asyncbatch._engine.pool._waiters import Waiters
from tests import aio
from tests.virtual_time import virtual_time
from tests.waiting import until

ORIGIN = Origin(is_tls=False, host="a.test", port=80)


class Connector:
    """Ends as it is told: `at_once` in `begin_connect`, else in `connect`."""

    def __init__(self, *ends: Any, at_once: Any = None, retries: int = 0) -> None:
        self.ends = list(ends)
        self.at_once = at_once
        self.retries = retries
        self.connects = 0
        self.begun: Any = None
        self.hold: aio.Event | None = None
        # Seconds by which the connect has begun earlier.
        self.began_before = 0.0

    def begin_connect(self, *_: Any) -> Any:
        if isinstance(self.at_once, Exception):
            raise self.at_once
        return self.at_once

    async def connect(self, origin: Any, phases: Any, attacher: Any, begun: Any) -> Any:
        self.connects += 1
        self.begun = begun
        phases.enter_phase("connect", monotonic() - self.began_before)
        if self.hold is not None:
            await self.hold.wait()
        phases.leave_phase()
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


class OpenConnection:
    """A connection that can be used, or has ended before."""

    early_end = None

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.is_closed = transport == "closed"

    def __str__(self) -> str:
        return f"connection on {self.transport}"

    def close(self) -> None:
        self.is_closed = True


class Owner:
    """A pool that remembers how its dials have ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Exchange | None, Any]] = []
        self.has_ended = aio.Event()
        self.failed: tuple[Exchange | None, Any] = None, None

    def connection_on(self, transport: Any, origin_pool: OriginPool) -> Any:
        if isinstance(transport, Exception):
            raise transport
        return OpenConnection(transport)

    def connection_opened(
        self, connection: Any, origin_pool: OriginPool, exchange: Exchange | None
    ) -> None:
        self._end("succeeded", exchange, str(connection))

    def fail_waiting(self, exchange: Exchange, error: Any) -> None:
        self.failed = exchange, error

    def dial_ended(self, origin_pool: OriginPool) -> None:
        self._end("failed", *self.failed)

    def _end(self, how: str, exchange: Exchange | None, what: Any) -> None:
        self.ended.append((how, exchange, what))
        self.has_ended.set()


class Idle:
    """Idle connections, of which the oldest can be closed."""

    def __init__(self) -> None:
        self.members: list[object] = []
        self.closed = 0
        self.when_closed: Callable[[], None] = lambda: None

    def close_oldest(self) -> bool:
        if not self.members:
            return False
        del self.members[0]
        self.closed += 1
        self.when_closed()
        return True


class Rig:
    """A dialler with one dial, for one exchange."""

    def __init__(self, connector: Connector, **limits: Any) -> None:
        loop = running_loop()
        self.owner, self.connector = Owner(), connector
        self.closing = Closing(loop)
        attacher: Any = None
        fake: Any = connector
        deadlines: Any = SimpleNamespace(by=lambda deadline: None)
        self.waiters = Waiters(deadlines)
        self.in_use: list[object] = []
        self.errors: list[BaseException] = []
        self.idle = Idle()
        idle: Any = self.idle
        self.dialler = Dialler(
            self.owner,
            GuardedLoop(loop, self.errors.append),
            fake,
            attacher,
            self.closing,
            in_use=self.in_use,
            idle=idle,
            waiters=self.waiters,
            max_connections=3,
            max_in_use=2,
        )
        self.exchange = self.new_exchange(**limits)
        self.origin_pool = OriginPool(ORIGIN, may_share=False)
        self.dial = Dial(self.dialler, self.origin_pool, self.exchange, is_fresh=False)

    def new_exchange(self, **limits: Any) -> Exchange:
        future = running_loop().create_future()
        return Exchange(
            future, ORIGIN, b"GET", b"", None, ExchangeLimits(**limits), 9.0, False, 0.0
        )

    async def end(self) -> tuple[str, Exchange | None, Any]:
        """Wait for the end of the dial, and look that nothing of it is left."""
        await self.owner.has_ended.wait()
        assert not self.dialler.dials
        assert not self.origin_pool.spare_dials
        assert not self.origin_pool.opening
        await self.closing.wait_until_ended()
        (ended,) = self.owner.ended
        return ended


async def test_what_is_connected_at_once_needs_no_task() -> None:
    """The exchange is told of its connection before `begin` returns."""
    rig = Rig(Connector(at_once="transport"))
    rig.dial.begin()

    assert rig.owner.ended == [("succeeded", rig.exchange, "connection on transport")]
    assert rig.exchange.dial is None
    assert rig.connector.connects == 0
    await rig.end()


@pytest.mark.parametrize("end", [ConnectFailed("refused"), ValueError("no such port")])
async def test_what_fails_at_once_is_told_a_turn_later(end: Exception) -> None:
    """Where all that wait fail in turn, the stack would not be deep enough."""
    rig = Rig(Connector(at_once=end))
    rig.dial.begin()
    assert rig.owner.ended == []

    assert await rig.end() == ("failed", rig.exchange, end)


async def test_what_was_begun_is_gone_on_with() -> None:
    """In a task, once."""
    with socket.socket() as sock:
        begun = StartedConnect(sock, Address(socket.AF_INET, ("", 0)), 0.0, False)
        rig = Rig(Connector("transport", at_once=begun))
        rig.dial.begin()

        assert await rig.end() == ("succeeded", rig.exchange, "connection on transport")
        assert rig.connector.begun is begun


async def test_a_task_that_never_ran_closes_what_was_begun() -> None:
    """Cancelled before its first step, it has not taken it over."""
    sock = socket.socket()
    begun = StartedConnect(sock, Address(socket.AF_INET, ("", 0)), 0.0, False)
    rig = Rig(Connector("transport", at_once=begun))
    rig.dial.begin()
    rig.dial.withdraw(rig.exchange)

    assert await rig.end() == ("failed", None, None)
    assert sock.fileno() == -1
    assert rig.exchange.dial is None


async def test_a_dial_tells_how_long_each_phase_took() -> None:
    """Also of one that is under way still."""
    rig = Rig(Connector("transport"))
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    other = rig.new_exchange()
    rig.origin_pool.hoping[other] = None
    rig.dial.withdraw(rig.exchange)
    assert rig.exchange.connect is not None
    rig.connector.hold.set()
    await rig.end()

    assert other.connect is not None
    assert other.dns is other.tls is None


async def test_a_dial_whose_exchange_was_served_goes_on_for_the_next() -> None:
    """It is spare until somebody takes it over."""
    rig = Rig(Connector("transport"))
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    rig.dial.spare(rig.exchange)
    assert list(rig.origin_pool.spare_dials) == [rig.dial]
    assert rig.exchange.dial is None
    next_exchange = rig.new_exchange()
    rig.dial.take_over(next_exchange)
    rig.connector.hold.set()

    assert await rig.end() == ("succeeded", next_exchange, "connection on transport")
    assert rig.dial.is_taken_over


async def test_an_exchange_that_takes_a_dial_over_has_not_waited_for_all_of_it() -> None:
    """The connect had begun before the exchange had: its phases never exceed its own time."""
    rig = Rig(Connector("transport"))
    rig.connector.began_before = 100.0
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    rig.dial.spare(rig.exchange)
    next_exchange = rig.new_exchange()
    rig.dial.take_over(next_exchange)
    rig.connector.hold.set()
    await rig.end()

    assert next_exchange.connect is not None
    assert next_exchange.connect < 50.0


async def test_a_connect_has_its_time() -> None:
    """The time in which the loop stood still is not taken from it."""
    rig = Rig(Connector("transport"), connect_timeout=0.02)
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    how, exchange, error = await rig.end()

    assert (how, exchange) == ("failed", rig.exchange)
    assert isinstance(error, TimedOut)
    assert error.phase == "connect"


@pytest.mark.any_loop
@pytest.mark.asyncio_only  # time is virtual on asyncio's loops
async def test_time_in_which_the_loop_stood_still_is_given_back() -> None:
    """To the limit of each dial under way; one without a task has none."""
    with virtual_time():
        rig = Rig(Connector("transport"), connect_timeout=5)
        rig.dialler.take_out(1.0)
        rig.connector.hold = aio.Event()
        rig.dial.begin()
        await aio.sleep(0)
        rig.dialler.take_out(60.0)
        await aio.sleep(10)
        rig.connector.hold.set()

        assert (await rig.end())[0] == "succeeded"


async def test_a_connect_is_tried_again_as_often_as_the_transport_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once, and then after waits that double, as httpcore does; the trace is told."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(_dialing, "anyio", SimpleNamespace(sleep=sleep))
    steps: list[str] = []
    failures = [ConnectFailed("refused") for _ in range(3)]
    rig = Rig(Connector(*failures, "transport", retries=3))
    rig.dial._phases.observer = lambda name, _: steps.append(name)
    rig.dial.begin()

    assert await rig.end() == ("succeeded", rig.exchange, "connection on transport")
    assert waits == [0.0, 0.5, 1.0]
    assert steps == ["connection.retry.started", "connection.retry.complete"] * 3


async def test_the_last_failure_of_a_connect_is_the_dials() -> None:
    """So is at once what another try would not change."""
    last = ConnectFailed("still refused")
    rig = Rig(Connector(ConnectFailed("refused"), last, retries=1))
    rig.dial.begin()
    assert await rig.end() == ("failed", rig.exchange, last)
    rig = Rig(Connector(ValueError("a bug"), retries=5))
    rig.dial.begin()

    assert (await rig.end())[0] == "failed"
    assert rig.connector.connects == 1


async def test_all_dials_can_be_stopped() -> None:
    """They end as given up; one that has not begun has no task."""
    rig = Rig(Connector("transport"))
    rig.dialler.stop()
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    rig.dialler.stop()
    how, exchange, error = await rig.end()

    assert (how, exchange) == ("failed", rig.exchange)
    assert isinstance(error, EngineClosed)


async def test_a_dial_whose_exchange_waits_no_more_goes_on_for_one_that_hopes() -> None:
    """The one that hopes for longest; without one, the dial is cancelled."""
    rig = Rig(Connector("transport"))
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    first, second = rig.new_exchange(), rig.new_exchange()
    rig.origin_pool.hoping.update({first: None, second: None})
    rig.dial.withdraw(rig.exchange)
    rig.connector.hold.set()

    assert rig.exchange.dial is None
    assert await rig.end() == ("succeeded", first, "connection on transport")
    assert list(rig.origin_pool.hoping) == [second]


@pytest.mark.parametrize(
    ("in_use", "idle", "is_dialled", "closed"),
    [(0, 0, True, 0), (0, 1, True, 0), (0, 2, True, 1), (1, 0, False, 0), (2, 0, False, 0)],
)
async def test_a_connection_is_opened_if_there_is_room(
    in_use: int, idle: int, is_dialled: bool, closed: int
) -> None:
    """Dials count as in use; idle connections make room, and there may be 2 in use of 3."""
    rig = Rig(Connector())
    rig.in_use += [object()] * in_use
    rig.idle.members += [object()] * idle
    other = rig.new_exchange()
    rig.connector.at_once = "transport"

    assert rig.dialler.dial_if_room(rig.origin_pool, other) is is_dialled
    assert rig.idle.closed == closed
    assert [exchange for _, exchange, _ in rig.owner.ended] == [other] * is_dialled


async def test_what_is_needed_is_opened_for_those_that_hope() -> None:
    """One waits for a place if there is none, and none is opened by a dialler that is stopped."""
    rig = Rig(Connector())
    rig.origin_pool.streams = 1
    rig.origin_pool.opening.clear()
    hoping = [rig.new_exchange() for _ in range(3)]
    for exchanges in (rig.origin_pool.waiting, rig.origin_pool.hoping):
        exchanges.update(dict.fromkeys(hoping))
    rig.connector.hold = aio.Event()
    rig.dialler.dial_for_hoping(rig.origin_pool)

    assert not rig.origin_pool.hoping
    assert list(rig.waiters.starved) == hoping[1:]
    rig.origin_pool.hoping[hoping[1]] = None
    rig.dialler.stop()
    rig.dialler.dial_for_hoping(rig.origin_pool)
    assert list(rig.origin_pool.hoping) == [hoping[1]]
    await rig.closing.wait_until_ended()


def no_descriptor() -> ConnectFailed:
    """Return the error of a connect without a descriptor."""
    error = ConnectFailed("no socket")
    error.__cause__ = OSError(errno.EMFILE, "too many files")
    return error


async def test_an_idle_connection_makes_room_for_a_descriptor() -> None:
    """And the dial is begun again, for the same exchange and as fresh as before."""
    rig = Rig(Connector(no_descriptor(), "transport"))
    rig.idle.members.append(object())
    rig.dial.is_fresh = True
    rig.dial.begin()
    await until(lambda: len(rig.owner.ended) == 2)

    assert rig.owner.ended[1] == ("succeeded", rig.exchange, "connection on transport")
    assert rig.idle.closed == 1
    assert rig.connector.connects == 2


async def test_an_origin_is_kept_while_its_last_connection_makes_room() -> None:
    """The dial that is begun again would otherwise be of an `OriginPool` that is forgotten."""
    rig = Rig(Connector(no_descriptor(), "transport"))
    pools = OriginPools(lambda _: False)
    pools.kept[ORIGIN] = rig.origin_pool
    rig.idle.members.append(object())
    rig.idle.when_closed = lambda: pools.tidy(rig.origin_pool)
    rig.dial.begin()
    await until(lambda: len(rig.owner.ended) == 2)

    assert rig.idle.closed == 1
    assert pools.kept == {ORIGIN: rig.origin_pool}


async def test_without_descriptors_an_exchange_waits_for_the_open_connections() -> None:
    """If its origin has any: a fresh one then does with these. Nothing else is dialled."""
    rig = Rig(Connector(no_descriptor()))
    rig.origin_pool.connections = 1
    rig.dial.begin()
    await until(lambda: bool(rig.waiters.starved))

    assert list(rig.waiters.starved) == list(rig.origin_pool.waiting) == [rig.exchange]
    assert rig.owner.ended == []
    assert not rig.origin_pool.opening


async def test_a_limit_that_began_before_an_exchange_took_the_dial_over_fails_nothing() -> None:
    """It dials itself, or waits for a place."""
    rig = Rig(Connector("transport"), connect_timeout=0.02)
    rig.connector.hold = aio.Event()
    rig.dial.begin()
    await aio.sleep(0)
    rig.dial.spare(rig.exchange)
    other = rig.new_exchange()
    rig.dial.take_over(other)
    rig.in_use += [object()] * 2

    assert await rig.end() == ("failed", None, None)
    assert list(rig.waiters.starved) == [other]


async def test_a_connection_that_has_ended_at_once_fails_its_exchange() -> None:
    """It was opened, and ended before it was used."""
    rig = Rig(Connector(at_once="closed"))
    rig.dial.begin()
    how, exchange, error = await rig.end()

    assert (how, exchange) == ("failed", rig.exchange)
    assert isinstance(error, TruncatedResponse)
