"""Phase times from trace events, on a clock made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from asyncbatch._lanes.response._phases import PhaseTrace, course_of, restore_course
from asyncbatch._values._timing import Timing, timing_of

pytestmark = pytest.mark.any_loop


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Hop:
    """A trace, and the events of its hops."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.trace = PhaseTrace(self.clock)

    async def event(self, name: str, seconds: float = 0.0, state: str = "complete") -> None:
        """Let something begin, and end after so long."""
        await self.trace(f"{name}.started", {})
        self.clock.now += seconds
        if state:
            await self.trace(f"{name}.{state}", {})


async def test_each_event_belongs_to_a_phase() -> None:
    """Whatever the protocol; those that there is no phase for count for none."""
    hop = Hop()
    await hop.event("connection.connect_tcp", 1.0)
    await hop.event("connection.start_tls", 2.0)
    await hop.event("http11.send_request_headers", 3.0)
    await hop.event("http2.send_request_body", 4.0)
    await hop.event("http11.receive_response_headers", 5.0)
    await hop.event("http11.receive_response_body", 6.0)
    await hop.event("http11.response_closed", 7.0)

    assert hop.trace.timing() == Timing(connect=1.0, tls=2.0, send=7.0, wait=5.0, receive=6.0)


async def test_the_phases_of_hops_add_up() -> None:
    """What was cut off has taken its time, too."""
    hop = Hop()
    await hop.event("connection.connect_tcp", 1.0)
    await hop.event("connection.connect_tcp", 2.0)
    await hop.event("http11.receive_response_headers", 5.0, state="")

    assert hop.trace.timing() == Timing(connect=3.0, wait=5.0)


async def test_what_was_going_on_is_known() -> None:
    """From the last event, unless that was a successful end."""
    hop = Hop()
    trace = hop.trace
    assert not trace.has_begun
    for name, facts in [
        ("connection.connect_tcp", (True, False, False, False)),
        ("connection.start_tls", (True, True, False, False)),
        ("http11.send_request_headers", (False, False, True, False)),
        ("http11.receive_response_headers", (False, False, False, False)),
        ("http11.receive_response_body", (False, False, False, True)),
    ]:
        await hop.event(name, 1.0, state="")
        assert (trace.connecting, trace.handshaking, trace.sending, trace.heard_last) == facts
        assert trace.has_begun
        await trace(f"{name}.complete", {})
        assert not any((trace.connecting, trace.handshaking, trace.sending))
    assert trace.heard


async def test_a_failed_phase_is_still_the_one_going_on() -> None:
    """A head that has not come was not heard, though an earlier one was."""
    hop = Hop()
    await hop.event("connection.connect_tcp", 1.0, state="failed")
    assert hop.trace.connecting
    await hop.event("http11.receive_response_headers", 1.0)
    assert hop.trace.heard
    await hop.event("http11.receive_response_headers", 1.0, state="failed")

    assert not hop.trace.heard
    assert not hop.trace.heard_last


async def test_the_name_is_taken_out_of_the_connect() -> None:
    """Httpcore looks it up within that; the engine tells how long it took."""
    hop = Hop()
    await hop.event("connection.connect_tcp", 3.0)
    hop.trace.tell_dns(None)
    hop.trace.tell_dns(1.0)
    hop.trace.tell_dns(9.0)

    assert hop.trace.timing() == Timing(dns=10.0, connect=0.0)


async def test_a_connect_that_failed_at_the_name_was_a_look_up() -> None:
    """And no connect."""
    hop = Hop()
    await hop.event("connection.connect_tcp", 3.0, state="failed")
    hop.trace.tell_unknown_name()
    hop.trace.tell_unknown_name()

    assert hop.trace.timing() == Timing(dns=3.0, connect=None) or (
        hop.trace.timing().dns == 3.0 and not hop.trace.timing().connect
    )


async def test_a_wait_for_a_connection_ends_with_the_first_event() -> None:
    """It is counted once; an admission ends then too."""
    hop, ended, told = Hop(), [], []
    hop.trace.on_waited = lambda: told.append(hop.trace.queued)
    hop.trace.on_connection = lambda: ended.append(hop.clock.now)
    hop.trace.begin_wait()
    hop.clock.now += 2.0
    assert hop.trace.is_waiting
    await hop.event("connection.connect_tcp", 1.0)
    await hop.event("connection.start_tls", 1.0)
    hop.trace.end_wait()

    assert ended == [102.0]
    assert told == [2.0]
    assert hop.trace.queued == 2.0
    hop.trace.begin_wait()
    hop.clock.now += 5.0
    hop.trace.forget_wait()
    hop.trace.end_wait()
    assert hop.trace.queued == 2.0


async def test_time_in_which_the_loop_stood_still_is_taken_out() -> None:
    """Of what was under way then, and of nothing that began later."""
    hop = Hop()
    hop.trace.begin_wait()
    hop.clock.now += 5.0
    hop.trace.take_out(4.0, 105.0)
    await hop.event("connection.connect_tcp", 5.0, state="")
    hop.trace.take_out(4.0, 110.0)
    hop.trace.take_out(4.0, 104.0)

    assert hop.trace.queued == 1.0
    assert hop.trace.timing() == Timing(connect=1.0)


async def test_a_trace_of_the_callers_is_told_too() -> None:
    """And back on the request afterwards, in a dictionary that was not shared."""
    told: list[str] = []

    async def own(event: str, info: Any) -> None:
        told.append(event)

    hop, native = Hop(), httpx.Request("GET", "http://a.test/", extensions={"trace": own})
    before = native.extensions
    chained = hop.trace.attach(native)
    assert native.extensions["trace"] is hop.trace
    assert before["trace"] is own
    await native.extensions["trace"]("connection.connect_tcp.started", {})
    hop.trace.detach(native, chained)

    assert told == ["connection.connect_tcp.started"]
    assert native.extensions["trace"] is own


def test_a_request_without_a_trace_has_none_afterwards() -> None:
    """One that somebody else has put there stays."""
    hop, native = Hop(), httpx.Request("GET", "http://a.test/")
    hop.trace.detach(native, hop.trace.attach(native))
    assert "trace" not in native.extensions
    native.extensions = {"trace": print}
    hop.trace.detach(native, None)

    assert native.extensions["trace"] is print


def test_a_trace_that_cannot_be_called_is_refused() -> None:
    """Called for the first time, it would tell too late."""
    native = httpx.Request("GET", "http://a.test/", extensions={"trace": "print"})
    with pytest.raises(TypeError, match="trace must be a callable, not 'print'"):
        Hop().trace.attach(native)


def exchange(**times: Any) -> Any:
    """Return an exchange with these times, which began at 100."""
    nothing = dict.fromkeys(("dns", "connect", "tls", "head"))
    points = dict.fromkeys(("send_at", "sent_at", "first_byte_at", "ended_at"), 0.0)
    values: dict[str, Any] = {"begun_at": 100.0, "is_at_proxy": False, "content": b""}
    return SimpleNamespace(**{**nothing, **points, **values, **times})


def test_a_course_can_be_given_to_another_exchange() -> None:
    """Each of its times goes where it was taken from; the content is the exchange's own."""
    names = ("begun_at", "send_at", "sent_at", "first_byte_at", "ended_at")
    moments = dict(zip((*names, "dns", "connect", "tls"), range(1, 9), strict=True))
    first, second = exchange(**moments, content=b"123"), exchange(content=b"123")

    restore_course(second, course_of(first))

    assert second == first


def test_the_times_of_an_exchange_are_the_phases() -> None:
    """Without an event; those of several hops add up."""
    hop = Hop()
    whole = exchange(connect=1.0, send_at=103.0, sent_at=104.0, first_byte_at=106.0, ended_at=109.0)
    hop.trace.watch_exchange(whole)
    first = Timing(connect=1.0, send=1.0, wait=2.0, receive=3.0)
    assert timing_of(hop.trace.timing()) == first
    assert hop.trace.queued == 2.0
    hop.trace.watch_exchange(whole)

    assert timing_of(hop.trace.timing()) == Timing(connect=2.0, send=2.0, wait=4.0, receive=6.0)
    assert hop.trace.queued == 4.0


async def test_the_phases_of_exchanges_and_events_add_up() -> None:
    """A redirect may lead from our transport to another one."""
    hop = Hop()
    hop.trace.watch_exchange(
        exchange(send_at=101.0, sent_at=102.0, first_byte_at=104.0, ended_at=104.5)
    )
    hop.trace.attach(httpx.Request("GET", "http://a.test/"))
    await hop.event("http11.send_request_headers", 3.0)

    assert timing_of(hop.trace.timing()) == Timing(send=4.0, wait=2.0, receive=0.5)


@pytest.mark.parametrize(
    ("times", "facts"),
    [
        ({}, (False, False, False, False, False, False)),
        ({"dns": 0.1}, (True, True, False, False, False, False)),
        ({"connect": 0.1, "tls": 0.1}, (True, True, True, False, False, False)),
        ({"send_at": 101.0}, (True, False, False, True, False, False)),
        ({"send_at": 101.0, "sent_at": 102.0}, (True, False, False, False, False, False)),
        (
            {"send_at": 101.0, "sent_at": 102.0, "first_byte_at": 103.0, "head": "head"},
            (True, False, False, False, True, True),
        ),
    ],
    ids=["in the pool", "name", "handshake", "sending", "waiting", "head"],
)
def test_what_an_exchange_was_doing_is_known(times: Any, facts: tuple[bool, ...]) -> None:
    """When it was cut off, say."""
    trace = Hop().trace
    trace.watch_exchange(exchange(**times))

    assert facts == (
        trace.has_begun,
        trace.connecting,
        trace.handshaking,
        trace.sending,
        trace.heard,
        trace.heard_last,
    )


def test_an_exchange_ends_with_its_hop() -> None:
    """The next one has not begun yet."""
    trace = Hop().trace
    trace.watch_exchange(exchange(send_at=101.0, sent_at=102.0, first_byte_at=103.0))
    trace.attach(httpx.Request("GET", "http://a.test/"))

    assert trace.has_begun
    assert not trace.heard
    assert trace.heard_last  # in doubt, nothing is held against the next host
    assert not trace.connecting


def test_a_trace_of_the_callers_needs_the_events() -> None:
    """Otherwise the exchange is enough."""
    trace = Hop().trace
    assert trace.wants_exchange
    trace.attach(httpx.Request("GET", "http://a.test/", extensions={"trace": print}))

    assert not trace.wants_exchange


async def test_a_proxy_is_known_while_it_is_connected_to() -> None:
    """A connect that fails meanwhile is its fault."""
    trace = PhaseTrace(lambda: 0.0)
    seen = []
    for event in ("connection.connect_tcp.started", "proxy.connect.started"):
        await trace(event, {})
        seen.append(trace.is_at_proxy)
    await trace("proxy.connect.complete", {})

    assert [*seen, trace.is_at_proxy] == [False, True, False]
