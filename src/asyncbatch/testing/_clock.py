"""
Virtual time for asyncio's event loops: the running one, or those that synchronous code starts.

While the clock is entered, the loop's `time` and its selector's `select` are replaced, so that all
code that takes its time from the loop uses virtual time. The clock knows nothing of the tested code
but the name of its threads.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import selectors
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

import anyio.lowlevel
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

LOOP_DESCRIPTORS = 1
"""Number of descriptors of an idle asyncio loop: the pipe that wakes it."""
TICK = 2.0**-20
"""
The clock starts at a multiple of this, so that whole seconds add up exactly.

The machine's uptime has digits that are rounded away at the next power of two; 119 sleeps of a
second then took less than 119 seconds.
"""
LOOK_UP_THREAD = "asyncbatch-dns"
"""Name of the engine's threads that resolve names and make TLS contexts."""


class FakeClock:
    """
    Make asyncio's time virtual, so that waits take no real time.

    When nothing is left to run, the clock jumps to the next timer: a batch that has to retry after
    60 seconds takes milliseconds, and `elapsed` is 60. Inside a running event loop, the clock
    applies to that loop; in synchronous code, to the loops started under it:

        with FakeClock() as clock:
            await anyio.sleep(3600)
        assert clock.elapsed == 3600

        with FakeClock() as clock:
            fetch_many_sync(urls, transport=transport)

    These work under it:

    - everything that takes its time from the event loop: `asyncio`, `anyio`, asyncbatch, and a
      `FaultTransport`. `time.monotonic()` and the wall clock stay real;
    - real sockets within the same event loop, as those of a `LoopbackServer` opened with
      `async with`: sent bytes arrive before time moves;
    - peers in another thread or process, if they answer within `grace`. Start a `LoopbackServer` in
      a thread before the clock; it then answers in real time;
    - threads started through the loop's executor or `anyio.to_thread`, and threads that resolve
      names: while one works, time passes at its real pace;
    - in synchronous code, one event loop at a time, as that of `fetch_many_sync` or of a
      `SyncFetcher`. It is then asyncio's own loop, even if uvloop is installed. Between the calls
      of a `SyncFetcher`, its loop continues, and time may jump to a timer of its connections.

    Timers that are still set when the `with` ends fire late, since time falls back to real time:
    end everything inside that was started inside. For trio, use
    `trio.testing.MockClock(autojump_threshold=0)`.
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
        # Undoes the replacements.
        self._leave = contextlib.ExitStack()

    @property
    def time(self) -> float:
        """Return the virtual time in seconds: what `loop.time()` returns."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Return the virtual seconds since the clock was entered."""
        return self._now - self._start

    def advance(self, seconds: float) -> None:
        """Move the time forward at once, as if the event loop had been blocked for so long."""
        if seconds < 0:
            raise ValueError(f"seconds must be 0 or more, not {seconds}")
        self._now += seconds

    def __enter__(self) -> Self:
        """Take over the time of the running event loop, or else of the loops started under it.

        Raises:
            RuntimeError: If the running loop is not a selector loop of asyncio, or there is a fake
                clock already.
        """
        loop = _running_loop()
        began_at = time.monotonic() if loop is None else loop.time()
        self._now = self._start = math.ceil(began_at / TICK) * TICK
        if loop is None:
            self._leave.enter_context(_loops_to_come(self, self._grace))
        else:
            threads = anyio.to_thread.current_default_thread_limiter()
            self._leave.enter_context(_taken_over(loop, self, self._grace, lambda: threads))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave.close()


class _LoopTime:
    """The replaced methods of one event loop."""

    def __init__(
        self, loop: Any, clock: FakeClock, grace: float, threads: Callable[[], Any]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._grace = grace
        # Returns the limiter of anyio's threads, or None while there can be none.
        self._threads = threads
        self._select: Callable[[float | None], list[Any]] = loop._selector.select
        self._start_job: Callable[..., Any] = loop.run_in_executor
        # Futures of the jobs in the executor of the loop.
        self._jobs: set[Any] = set()

    def jump(self, timeout: float | None = None) -> list[Any]:
        """Replace `select`: report I/O that is ready, or move the clock by `timeout`."""
        events = self._select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None:
            # No timer is set to jump to.
            return self._select(None)
        if self._is_waiting_for_threads():
            return self._wait_really(timeout)
        if len(self._loop._selector.get_map()) > LOOP_DESCRIPTORS:
            events = self._select(self._grace)
        if not events:
            self._clock.advance(timeout)
        return events

    def run_in_executor(self, *args: Any) -> Any:
        """Replace the loop's method, and keep the running jobs."""
        job = self._start_job(*args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def _is_waiting_for_threads(self) -> bool:
        threads = self._threads()
        busy = threads is not None and threads.borrowed_tokens
        return bool(self._jobs or busy) or _is_looking_up()

    def _wait_really(self, timeout: float) -> list[Any]:
        start = time.monotonic()
        events = self._select(timeout)
        self._clock.advance(min(timeout, time.monotonic() - start) if events else timeout)
        return events


@contextlib.contextmanager
def _taken_over(
    loop: Any, clock: FakeClock, grace: float, threads: Callable[[], Any]
) -> Generator[None]:
    """Make one event loop use the time of a clock."""
    own = _LoopTime(loop, clock, grace, threads)
    loop.time = lambda: clock.time
    loop.run_in_executor = own.run_in_executor
    loop._selector.select = own.jump
    try:
        yield
    finally:
        # Restores the methods of the class.
        del loop.time, loop.run_in_executor, loop._selector.select


@contextlib.contextmanager
def _loops_to_come(clock: FakeClock, grace: float) -> Generator[None]:
    """Make each event loop that is run from now on use the time of a clock."""
    asyncio: Any = importlib.import_module("asyncio")
    run_forever = asyncio.BaseEventLoop.run_forever
    if hasattr(run_forever, "keeps_time_of"):
        raise RuntimeError("there is a fake clock already")
    limiters: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    async def find_limiter(loop: Any) -> None:
        limiters[loop] = anyio.to_thread.current_default_thread_limiter()

    def run_virtually(loop: Any) -> None:
        if loop not in limiters:
            limiters[loop] = None
            loop.create_task(find_limiter(loop))
        with _taken_over(loop, clock, grace, lambda: limiters[loop]):
            run_forever(loop)

    run_virtually.keeps_time_of = clock  # type: ignore[attr-defined]
    with contextlib.ExitStack() as undo:
        _replace(undo, asyncio.BaseEventLoop, "run_forever", run_virtually)
        if importlib.util.find_spec("uvloop") is not None:
            # The time of its loops cannot be replaced.
            uvloop = importlib.import_module("uvloop")
            _replace(undo, uvloop, "new_event_loop", asyncio.SelectorEventLoop)
        yield


def _replace(undo: contextlib.ExitStack, owner: Any, name: str, value: object) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _is_looking_up() -> bool:
    """Whether a thread of the engine is at work; idle ones do not exist."""
    return any(thread.name == LOOK_UP_THREAD for thread in threading.enumerate())


def _running_loop() -> Any:
    """
    Return the running event loop, `None` if there is none.

    Raises:
        RuntimeError: If its time cannot be replaced.
    """
    try:
        loop: Any = anyio.lowlevel.current_token().native_token
    except RuntimeError:
        return None
    name = type(loop).__module__.partition(".")[0]
    if name == "trio":
        raise RuntimeError(
            "FakeClock is for asyncio; on trio, run with "
            "clock=trio.testing.MockClock(autojump_threshold=0)"
        )
    if not isinstance(getattr(loop, "_selector", None), selectors.BaseSelector):
        raise RuntimeError(
            f"FakeClock needs an asyncio.SelectorEventLoop, not {name}'s {type(loop).__name__}"
        )
    if "time" in vars(loop):
        raise RuntimeError("this event loop has a fake clock already")
    return loop
