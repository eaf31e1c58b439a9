"""
Stalls: the time in which the event loop was blocked, and time limits that do not count it.

While code of the caller blocks the loop, responses are not read. That time counts for no request,
and no limit passes in it: bytes that have arrived are read first.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import anyio

from asyncbatch._runtime._event_loop import Clock, is_virtual, running_loop, runs_on_trio

R = TypeVar("R")

LEAST = 0.005
"""Least seconds of a blocked loop that are taken out."""

LATE = 0.1
"""Least seconds by which a timer of a blocked loop is late; in a busy loop, it is less."""

GRACE = 0.25
"""Seconds to read the bytes that have arrived meanwhile, before a limit is enforced."""

TakeOut: TypeAlias = Callable[[float, float], object]
"""Takes a number of seconds out of all times that began before a given time."""


class Stalls:
    """Tells its members, which measure times, how long the loop was blocked."""

    def __init__(self) -> None:
        self._members: dict[TakeOut, None] = {}

    def join(self, member: TakeOut) -> None:
        """Add a member."""
        self._members[member] = None

    def leave(self, member: TakeOut) -> None:
        """Remove a member."""
        self._members.pop(member, None)

    def note_step(self, begun: float, ended: float) -> None:
        """Take out the time of a step of the caller's code, if it has blocked the loop."""
        if ended - begun >= LEAST:
            self.take_out(ended - begun, begun)

    def take_out(self, seconds: float, before: float, source: TakeOut | None = None) -> None:
        """
        Take `seconds` out of all times that began before `before`.

        Args:
            seconds: For how long the loop was blocked.
            before: When that began.
            source: The member that measured it, which is not told.
        """
        for member in list(self._members):
            if member != source:
                member(seconds, before)


class TimeLimit:
    """
    A scope that is cancelled after some seconds, without the time of a blocked loop.

    Use it once, as a context manager.

    Args:
        seconds: The limit; `None` for no limit.
        grace: Most seconds that are added for a blocked loop; `None`: as long as it was blocked,
            and the time to read the bytes that have arrived.
        loop: The running loop, if known; the look-up takes some microseconds.
        more: Called when the limit has passed; returns seconds by which to extend it. On a virtual
            clock it is not called.
    """

    __slots__ = ("_grace", "_handle", "_loop", "_more", "_scope", "_seconds", "_when")

    def __init__(
        self,
        seconds: float | None,
        *,
        grace: float | None = None,
        loop: Any = None,
        more: Callable[[], float] | None = None,
    ) -> None:
        self._seconds = seconds
        self._grace = grace
        self._more = more
        self._scope = _new_scope()
        self._loop = loop
        self._handle: Any = None
        self._when = 0.0

    @property
    def has_passed(self) -> bool:
        """Whether the limit has passed and cancelled the scope."""
        return self._scope.cancelled_caught

    @property
    def has_come(self) -> bool:
        """Whether the limit has been reached, and what is in its scope is being cancelled."""
        return self._scope.cancel_called

    def start(self, seconds: float) -> None:
        """Set the limit of a scope that was entered without one."""
        self._seconds = seconds
        self._start_timer(seconds)

    def extend(self, seconds: float) -> None:
        """
        Move the limit by `seconds`, unless its scope was left already.

        By infinitely many, there is no limit any more.
        """
        if self._seconds is None:
            return
        if self._handle is None:
            self._scope.deadline += seconds
            return
        if seconds == math.inf:
            self._handle.cancel()
            self._seconds = None
        else:
            # The timer stays, and is set again when it comes too early.
            self._when += seconds

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._start_timer(self._seconds)
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._handle is not None:
            self._handle.cancel()
        self._seconds = None
        return self._scope.__exit__(error_type, error, traceback)

    def _start_timer(self, seconds: float) -> None:
        loop = self._loop = self._loop or running_loop()
        if is_virtual(loop):  # it is never blocked
            self._scope.deadline = anyio.current_time() + seconds
            return
        self._arm(loop.time() + seconds)

    def _arm(self, when: float) -> None:
        self._when = when
        self._handle = self._loop.call_at(when, self._on_time)

    def _on_time(self) -> None:
        now = self._loop.time()
        late = now - self._when
        if late < 0:
            # The limit was extended, or it is a timer of a loop that rounds times.
            self._arm(self._when)
            return
        if late < LATE or self._grace == 0:
            more = 0.0 if self._more is None else self._more()
            if more > late:
                self._arm(self._when + more)
            else:
                self._scope.cancel()
            return
        more = late + GRACE
        if self._grace is not None:
            more = min(more, self._grace)
            self._grace = 0
        self._arm(self._loop.time() + more)


def _new_scope() -> anyio.CancelScope:
    """Return what `anyio.CancelScope()` returns, on asyncio in a fifth of its time."""
    if asyncio._get_running_loop() is None or runs_on_trio():
        return anyio.CancelScope()
    return _scope_of_asyncio()()


@functools.cache
def _scope_of_asyncio() -> type[anyio.CancelScope]:
    """Return the class of the scopes of asyncio, which anyio looks up for each."""
    return type(anyio.CancelScope())


class TimedSteps(Awaitable[R]):
    """
    An awaitable of the caller whose steps are timed, since each blocks the loop while it runs.

    Args:
        awaitable: The awaitable.
        stalls: Receive the time of each step that takes long.
        clock: The clock of the batch.
        on_wait: Called when the awaitable first waits, which it may never do.
    """

    __slots__ = ("_awaitable", "_clock", "_on_wait", "_stalls")

    def __init__(
        self,
        awaitable: Awaitable[R],
        stalls: Stalls,
        clock: Clock,
        on_wait: Callable[[], object] | None = None,
    ) -> None:
        self._awaitable = awaitable
        self._stalls = stalls
        self._clock = clock
        self._on_wait = on_wait

    def __await__(self) -> Generator[Any, Any, R]:
        steps: Any = self._awaitable.__await__()
        clock = self._clock
        value: Any = None
        error: BaseException | None = None
        while True:
            begun = clock()
            try:
                if error is not None:
                    waited_for = steps.throw(error)
                elif value is None:
                    waited_for = next(steps)
                else:
                    waited_for = steps.send(value)
            except StopIteration as end:
                result: R = end.value
                return result
            finally:
                self._stalls.note_step(begun, clock())
            error = None
            if self._on_wait is not None:
                self._on_wait()
                self._on_wait = None
            try:
                value = yield waited_for
            except BaseException as raised:
                error = raised
