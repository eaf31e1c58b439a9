"""
Virtual time for a running asyncio event loop.

The loop's `time` and its selector's `select` are replaced while the clock is entered: whatever
keeps time by the loop then keeps virtual time. Of what is being tested nothing is known here but
the name of its threads.
"""

from __future__ import annotations

import math
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LOOP_DESCRIPTORS = 1
"""What an idle asyncio loop has registered with its selector: the pipe that wakes it."""
TICK = 2.0**-20
"""
A clock starts at a multiple of this, so that whole seconds add up exactly.

Time since the machine's start has digits that are rounded away where it passes a power of two, and
119 sleeps of a second were then less than 119 seconds.
"""
LOOK_UP_THREAD = "asyncbatch-dns"
"""How the threads are called in which the engine looks names up and makes its TLS context."""


class FakeClock:
    """
    Make time virtual inside a running asyncio event loop, so that waiting costs none.

    When nothing is left to run, the clock jumps to the next timer: a batch that is told to retry
    after 60 seconds takes milliseconds, and `elapsed` says 60.

        with FakeClock() as clock:
            await anyio.sleep(3600)
        assert clock.elapsed == 3600

    What works under it:

    - everything that takes its time from the event loop: `asyncio`, `anyio`, asyncbatch, and a
      `FaultTransport`. `time.monotonic()` and the wall clock go on as ever;
    - real sockets within the same event loop, as those of a `LoopbackServer` opened with
      `async with`: what was sent arrives before time moves;
    - peers in another thread or process only if they answer within `grace`;
    - threads started through the loop's executor or `anyio.to_thread`, and those in which names are
      looked up: while one works, time passes at its real pace.

    Timers that outlive the `with` come late, since time falls back to real time: let what was
    started inside end inside. For trio there is `trio.testing.MockClock(autojump_threshold=0)`.
    """

    def __init__(self, *, grace: float = 0.001) -> None:
        """Prepare a clock.

        Args:
            grace: Real seconds to wait for I/O before each jump, while sockets are open.
        """
        if grace < 0:
            raise ValueError(f"grace must be 0 or more seconds, not {grace}")
        self._grace = grace
        self._now = 0.0
        self._start = 0.0
        # Futures of what the loop has handed to threads.
        self._jobs: set[Any] = set()
        # The four belong to the loop that the clock was entered in.
        self._loop: Any = None
        self._select: Callable[[float | None], list[Any]]
        self._start_job: Callable[..., Any]
        self._threads: anyio.CapacityLimiter

    @property
    def time(self) -> float:
        """Return the virtual time in seconds: what `loop.time()` returns."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Return the virtual seconds since the clock was entered."""
        return self._now - self._start

    def advance(self, seconds: float) -> None:
        """Let time pass at once, as if the event loop had been kept from running for so long."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds}")
        self._now += seconds

    def __enter__(self) -> Self:
        """Take over the time of the running event loop.

        Raises:
            RuntimeError: No event loop runs here, or not one of asyncio's own selector loops, or it
                has a fake clock already.
        """
        loop = _running_selector_loop()
        self._loop = loop
        self._select = loop._selector.select
        self._start_job = loop.run_in_executor
        self._threads = anyio.to_thread.current_default_thread_limiter()
        self._now = self._start = math.ceil(loop.time() / TICK) * TICK
        loop.time = lambda: self._now
        loop.run_in_executor = self._run_in_executor
        loop._selector.select = self._jump
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The class's own methods show again.
        del self._loop.time, self._loop.run_in_executor, self._loop._selector.select
        self._loop = None

    def _jump(self, timeout: float | None = None) -> list[Any]:
        """Stand in for `select`: report I/O that is ready, or move the clock by `timeout`."""
        events = self._select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None:
            # No timer is set, so that there is nothing to jump to.
            return self._select(None)
        if self._jobs or self._threads.borrowed_tokens or _is_looking_up():
            return self._wait_really(timeout)
        if len(self._loop._selector.get_map()) > LOOP_DESCRIPTORS:
            events = self._select(self._grace)
        if not events:
            self._now += timeout
        return events

    def _wait_really(self, timeout: float) -> list[Any]:
        start = time.monotonic()
        events = self._select(timeout)
        self._now += min(timeout, time.monotonic() - start) if events else timeout
        return events

    def _run_in_executor(self, *args: Any) -> Any:
        """Stand in for the loop's own, and count the jobs that threads are at."""
        job = self._start_job(*args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job


def _is_looking_up() -> bool:
    """Is one of the engine's own threads at work? There are none while there is nothing to do."""
    return any(thread.name == LOOK_UP_THREAD for thread in threading.enumerate())


def _running_selector_loop() -> Any:
    """Return the running event loop, if it is one whose time can be replaced."""
    try:
        loop: Any = anyio.lowlevel.current_token().native_token
    except RuntimeError as error:
        raise RuntimeError("FakeClock is entered inside a running asyncio event loop") from error
    name = type(loop).__module__.partition(".")[0]
    if name == "trio":
        raise RuntimeError(
            "FakeClock is for asyncio; on trio run with "
            "clock=trio.testing.MockClock(autojump_threshold=0)"
        )
    if not isinstance(getattr(loop, "_selector", None), selectors.BaseSelector):
        raise RuntimeError(
            f"FakeClock needs an asyncio.SelectorEventLoop, not {name}'s {type(loop).__name__}"
        )
    if "time" in vars(loop):
        raise RuntimeError("this event loop has a fake clock already")
    return loop
