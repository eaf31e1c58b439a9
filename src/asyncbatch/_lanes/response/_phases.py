"""
Measure the phases of an attempt: by the times of our engine, or by httpcore's trace events.

Each attempt has one `PhaseTrace`, passed as the request extension `trace`. On every hop our engine
gives it the exchange, and httpcore calls it with events. A transport that does neither leaves the
phases unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from asyncbatch._engine import Exchange, ExchangeTrace
from asyncbatch._engine.http11 import ResponseHead
from asyncbatch._runtime._event_loop import Clock
from asyncbatch._values._timing import Course, Timing, course_of_all, timing_of

TraceFunction = Callable[[str, dict[str, Any]], Awaitable[None]]

# Event, without its prefix (`connection`, `http11`, `http2`), to phase. httpcore resolves the name
# inside `connect_tcp` without an event: `connect` includes it, and `dns` stays None.
_PHASES = {
    "connect_tcp": "connect",
    "connect_unix_socket": "connect",
    "tunnel": "connect",
    "start_tls": "tls",
    "send_request_headers": "send",
    "send_request_body": "send",
    "receive_response_headers": "wait",
    "receive_response_body": "receive",
}


@functools.lru_cache(maxsize=100)
def _meaning_of(event: str) -> tuple[str, str | None, str]:
    """Split an event into its name, the phase that it belongs to, and its state."""
    _, _, rest = event.partition(".")
    name, _, state = rest.rpartition(".")
    return name, _PHASES.get(name), state


class PhaseTrace(ExchangeTrace):
    """Adds up the seconds of each phase over the hops of one attempt."""

    __slots__ = (
        "_chained",
        "_clock",
        "_current",
        "_exchange",
        "_exchanges",
        "_failed_connect",
        "_is_at_proxy",
        "_open",
        "_queued",
        "_seconds",
        "_waits_since",
        "on_connection",
        "on_waited",
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The caller's own trace function of the current hop's request; None if there is none.
        self._chained: TraceFunction | None = None
        # The engine's exchanges of all hops, and that of the current hop; None if it has none.
        self._exchanges: list[Exchange] = []
        self._exchange: Exchange | None = None
        self._seconds: dict[str, float] = {}
        # When each phase in progress began, by the name of its event.
        self._open: dict[str, float] = {}
        # The phase of the last event; None after the successful end of a phase.
        self._current: str | None = None

        # When the hop began to wait for a connection, and the seconds of a connect that failed.
        self._waits_since: float | None = None
        self._failed_connect = 0.0

        self.on_connection: Callable[[], object] | None = None
        """Called once, at the next event."""
        self.on_waited: Callable[[], object] | None = None
        """Called at the end of each wait for a connection that an event ends."""
        # Seconds of the waits for a connection that events have ended.
        self._queued = 0.0
        self._is_at_proxy = False

    @property
    def wants_exchange(self) -> bool:
        """Whether no function of the caller's is to be called with the events."""
        return self._chained is None

    def watch_exchange(self, exchange: Exchange) -> None:
        """Take the times of the current hop from its exchange."""
        self._waits_since = None
        self._exchange = exchange
        self._exchanges.append(exchange)

    @property
    def queued(self) -> float:
        """Seconds of all waits for a connection."""
        return self._queued + sum(map(_waited, self._exchanges))

    @property
    def is_at_proxy(self) -> bool:
        """Whether a proxy has been asked to connect, and has not answered yet."""
        return self._is_at_proxy if self._exchange is None else self._exchange.is_at_proxy

    @property
    def connecting(self) -> bool:
        """Whether a connection was being made when the last event came."""
        if self._exchange is not None:
            return _has_dialled(self._exchange) and not self._exchange.send_at
        return self._current in ("connect", "tls")

    @property
    def has_begun(self) -> bool:
        """Whether the network has been used for any hop."""
        exchange, earlier = self._exchange, len(self._exchanges)
        if exchange is not None:
            if exchange.send_at or _has_dialled(exchange):
                return True
            earlier -= 1
        return self._current is not None or bool(self._seconds or earlier)

    @property
    def heard(self) -> bool:
        """Whether a response has come, in the current hop if the engine has its exchange."""
        if self._exchange is not None:
            return bool(self._exchange.first_byte_at)
        return "wait" in self._seconds and self._current != "wait"

    @property
    def heard_last(self) -> bool:
        """Whether the head of a response has come in the current hop, or it is unknown."""
        if self._exchange is not None:
            return self._exchange.head is not None
        return self._current is None or self._current == "receive"

    @property
    def head(self) -> ResponseHead | None:
        """The head of the response in the current hop, if the engine has its exchange."""
        return None if self._exchange is None else self._exchange.head

    @property
    def handshaking(self) -> bool:
        """Whether a TLS handshake was in progress when the last event came."""
        if self._exchange is not None:
            return self._exchange.tls is not None and not self._exchange.send_at
        return self._current == "tls"

    @property
    def sending(self) -> bool:
        """Whether the request was being sent when the last event came."""
        if self._exchange is not None:
            return bool(self._exchange.send_at) and not self._exchange.sent_at
        return self._current == "send"

    def attach(self, native: Any) -> TraceFunction | None:
        """
        Make `native` report here, and return the function that it reported to before.

        Raises:
            TypeError: If that is not callable. Its first call would report this too late.
        """
        chained: TraceFunction | None = native.extensions.get("trace")
        if not (chained is None or callable(chained)):
            raise TypeError(f"the extension trace must be a callable, not {chained!r}")
        self._chained = chained
        self._exchange = None
        # A new dictionary, since the transport may keep its own beyond the hop.
        native.extensions = {**native.extensions, "trace": self}
        return chained

    def detach(self, native: Any, chained: TraceFunction | None) -> None:
        """Undo `attach`, so that neither the caller nor the next hop finds this object."""
        if native.extensions.get("trace") is not self:
            return
        extensions = {name: value for name, value in native.extensions.items() if name != "trace"}
        native.extensions = extensions if chained is None else {**extensions, "trace": chained}

    def begin_wait(self) -> None:
        """Note that the request waits for a connection until the next event."""
        self._waits_since = self._clock()

    @property
    def is_waiting(self) -> bool:
        """Whether no event has come since `begin_wait`."""
        return self._waits_since is not None

    def end_wait(self) -> None:
        """Note that the request has a connection, or will not get one."""
        if self._waits_since is None:
            return
        self._queued += self._clock() - self._waits_since
        self._waits_since = None
        if self.on_waited is not None:
            self.on_waited()

    def forget_wait(self) -> None:
        """Undo `begin_wait`: the transport has reported no event."""
        self._waits_since = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Record one event (httpcore requires a coroutine function)."""
        if self._waits_since is not None:
            self.end_wait()
        if self.on_connection is not None:
            self.on_connection()
            self.on_connection = None
        # In one function as far as possible: httpcore calls it ten times for each request.
        name, phase, state = _meaning_of(event)
        if phase is None:
            if event.startswith("proxy.connect."):
                self._is_at_proxy = state == "started"
        elif state == "started":
            self._open[name] = self._clock()
            self._current = phase
        else:
            self._end_phase(name, phase, state)
        if self._chained is not None:
            await self._chained(event, info)

    def _end_phase(self, name: str, phase: str, state: str) -> None:
        now = self._clock()
        spent = now - self._open.pop(name, now)
        self._seconds[phase] = self._seconds.get(phase, 0.0) + spent
        if state == "complete":
            self._current = None
        elif phase == "connect":
            self._failed_connect = spent

    def take_out(self, seconds: float, before: float) -> None:
        """
        Subtract time in which the event loop was blocked from the phases in progress.

        The engine does this for its exchanges.
        """
        for name, began in self._open.items():
            if began <= before:
                self._open[name] = began + seconds
        if self._waits_since is not None and self._waits_since <= before:
            self._waits_since += seconds

    def tell_dns(self, seconds: float | None) -> None:
        """Move the seconds of the name's look-up, if known, from `connect` to `dns`."""
        if seconds is not None and self._exchange is None:
            self._seconds["dns"] = self._seconds.get("dns", 0.0) + seconds
            self._seconds["connect"] = max(0.0, self._seconds.get("connect", 0.0) - seconds)

    def tell_unknown_name(self) -> None:
        """Count a connect that failed in the look-up of the name as `dns`."""
        self.tell_dns(self._failed_connect)
        if self._failed_connect and not self._seconds["connect"]:
            del self._seconds["connect"]
        self._failed_connect = 0.0

    def timing(self) -> Timing | Course:
        """Return the known phases; the batch adds `queued` and `throttled`."""
        exchanges = self._exchanges
        if not exchanges:
            return self._timing_by_events()
        courses = [*map(_course_so_far, exchanges)]
        course = courses[0] if len(courses) == 1 else course_of_all(courses)
        if not self._seconds and not self._open:
            return course
        return timing_of(course).following(self._timing_by_events())

    def _timing_by_events(self) -> Timing:
        now, seconds = self._clock(), dict(self._seconds)
        # Phases that were cut off count up to now.
        for name, began in self._open.items():
            phase = _PHASES[name]
            seconds[phase] = seconds.get(phase, 0.0) + now - began
        return Timing(**seconds)


def _has_dialled(exchange: Exchange) -> bool:
    """Whether a connection was made for an exchange, or was being made when it ended."""
    return exchange.connect is not None or exchange.dns is not None or exchange.tls is not None


def _waited(exchange: Exchange) -> float:
    """Return for how long an exchange waited in the pool, without the making of a connection."""
    if not exchange.send_at:
        return 0.0
    phases = (exchange.dns or 0.0) + (exchange.connect or 0.0) + (exchange.tls or 0.0)
    return max(0.0, exchange.send_at - exchange.begun_at - phases)


def course_of(exchange: Exchange) -> Course:
    """Return the times and the size of an exchange, from which its `Timing` is computed."""
    return (
        exchange.begun_at,
        exchange.send_at,
        exchange.sent_at,
        exchange.first_byte_at,
        exchange.ended_at,
        exchange.dns,
        exchange.connect,
        exchange.tls,
        len(exchange.content),
    )


def restore_course(exchange: Exchange, course: Course) -> None:
    """Give an exchange the times of `course`: the inverse of `course_of`, without the size."""
    (
        exchange.begun_at,
        exchange.send_at,
        exchange.sent_at,
        exchange.first_byte_at,
        exchange.ended_at,
        exchange.dns,
        exchange.connect,
        exchange.tls,
        _,
    ) = course


def _course_so_far(exchange: Exchange) -> Course:
    """Return the course of an exchange; a phase that was cut off counts up to now."""
    course = course_of(exchange)
    return course if exchange.ended_at else (*course[:4], monotonic(), *course[5:])
