"""
`TrioLoop`: an event loop on trio, with callbacks, timers and watched descriptors.

trio has only tasks, so system tasks of trio make the callbacks: one for callbacks and timers, which
ends when there are none, and one for each watched descriptor. They are ours, in the context of the
run. They do not resume a task of the caller, and an exception of a callback does not end them.

Import it only where trio runs.
"""

from __future__ import annotations

import heapq
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import trio
import trio.lowlevel

from asyncbatch._runtime._trio_future import TrioFuture, TrioTask

T = TypeVar("T")
Callback: TypeAlias = Callable[..., object]
WaitFor: TypeAlias = Callable[[int], Awaitable[None]]

MOST_CANCELLED = 64
"""Cancelled timers up to this number are kept until their time."""

_log = logging.getLogger("asyncbatch")


def running_trio_loop() -> TrioLoop:
    """Return the substitute for an event loop of the current run of trio."""
    try:
        return _running.get()
    except LookupError:
        loop = TrioLoop()
        _running.set(loop)
        return loop


class TrioTimer:
    """A call at a point in time."""

    __slots__ = ("_loop", "args", "callback")

    def __init__(self, loop: TrioLoop, callback: Callback, args: tuple[Any, ...]) -> None:
        self._loop = loop
        # `None` after it was cancelled or has fired.
        self.callback: Callback | None = callback
        self.args = args

    def cancel(self) -> None:
        """Cancel the call."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self._loop.timer_cancelled()


class _Watcher:
    """Calls a callback whenever its descriptor is ready."""

    def __init__(self, loop: TrioLoop, fd: int, wait: WaitFor, callback: Callback) -> None:
        self._loop = loop
        self._fd = fd
        self._wait = wait
        self._callback = callback
        self._scope = trio.CancelScope()
        self._is_stopped = False

    def stop(self) -> None:
        """Stop calling; at once, since the descriptor may be closed next."""
        self._is_stopped = True
        self._scope.cancel()

    async def run(self) -> None:
        """Watch until stopped."""
        with self._scope:
            # Not only by the scope, which does not reach a wait for a descriptor that is closed.
            while not self._is_stopped:
                try:
                    await self._wait(self._fd)
                except (OSError, trio.BusyResourceError, trio.ClosedResourceError) as error:
                    self._loop.report(error, "a descriptor cannot be watched")
                    return
                if not self._is_stopped:
                    self._loop.call(self._callback, ())


class TrioLoop:
    """
    The methods of an event loop that the engine needs, on one run of trio.

    `running_trio_loop` makes it. Its methods mean the same as those of asyncio's loops.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        clock = type(trio.lowlevel.current_clock())
        self.is_virtual = clock.__name__ != "SystemClock" or clock.__module__[:5] != "trio."
        """Whether the run has another clock than trio's own, such as its `MockClock`."""
        self._ready: deque[tuple[Callback, tuple[Any, ...]]] = deque()
        # By time, then first in, first out.
        self._timers: list[tuple[float, int, TrioTimer]] = []
        self._timer_count = 0
        self._cancelled_timers = 0
        self._watchers: dict[tuple[WaitFor, int], _Watcher] = {}
        # The functions to call if the run ends before they are removed.
        self._at_end: dict[Callable[[], object], None] = {}
        # Whether the task for callbacks runs, and that task while it has nothing to call.
        self._is_turning = False
        self._parked: trio.lowlevel.Task | None = None
        # Ends the wait for the next timer; `None` if that task does not run.
        self._alarm: trio.CancelScope | None = None
        # Whether the run has ended for all system tasks.
        self._has_ended = False

    # Callbacks.

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """Call in the next turn."""
        self._ready.append((callback, args))
        parked = self._parked
        if parked is not None:
            self._parked = None
            trio.lowlevel.reschedule(parked)
        elif not self._is_turning:
            self._begin_turns()

    def call_soon_threadsafe(self, callback: Callback, *args: Any) -> None:
        """
        Call in one of the next turns; from any thread.

        Raises:
            RuntimeError: The run is over.
        """
        self._token.run_sync_soon(self.call, callback, args)

    def call_later(self, delay: float, callback: Callback, *args: Any) -> TrioTimer:
        """Call after some seconds."""
        return self.call_at(trio.current_time() + delay, callback, *args)

    def call_at(self, when: float, callback: Callback, *args: Any) -> TrioTimer:
        """Call at a point in time."""
        timer = TrioTimer(self, callback, args)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        if not self._is_turning:
            self._begin_turns()
        elif self._alarm is not None and when < self._alarm.deadline:
            self._alarm.deadline = when
        return timer

    def timer_cancelled(self) -> None:
        """Count a cancelled timer; remove all of them if they are many, or no other is left."""
        self._cancelled_timers += 1
        count = len(self._timers)
        are_many = self._cancelled_timers > max(MOST_CANCELLED, count // 2)
        if self._cancelled_timers < count and not are_many:
            return
        self._timers = [entry for entry in self._timers if entry[2].callback is not None]
        heapq.heapify(self._timers)
        self._cancelled_timers = 0
        if not self._timers and not self._at_end and self._parked is not None:
            self.call_soon(_nothing)  # so that the task can end

    def time(self) -> float:
        """Return the time on the clock of the run."""
        return trio.current_time()

    # Descriptors.

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call whenever a descriptor can be read from."""
        self._watch_fd(fd, trio.lowlevel.wait_readable, callback)

    def remove_reader(self, fd: int) -> bool:
        """Stop watching a descriptor for reading."""
        return self._stop_watching(fd, trio.lowlevel.wait_readable)

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call whenever a descriptor can be written to."""
        self._watch_fd(fd, trio.lowlevel.wait_writable, callback)

    def remove_writer(self, fd: int) -> bool:
        """Stop watching a descriptor for writing."""
        return self._stop_watching(fd, trio.lowlevel.wait_writable)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """
        Connect a non-blocking socket to a resolved address.

        Raises:
            OSError: The address cannot be reached.
        """
        try:
            sock.connect(address)
        except BlockingIOError as error:
            if sock.family == getattr(socket, "AF_UNIX", None):
                raise error from None  # the server's queue is full: no connect is in progress
            await trio.lowlevel.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, f"Connect call failed {address}") from None

    # Futures and tasks.

    def create_future(self) -> TrioFuture[Any]:
        """Return a future."""
        return TrioFuture(self)

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> TrioTask[T]:
        """Run a coroutine in a task of its own, which ends with the run at the latest."""
        return TrioTask(self, coroutine)

    # The end.

    def is_closed(self) -> bool:
        """Return whether the run is over."""
        try:
            self._token.run_sync_soon(_nothing)
        except trio.RunFinishedError:
            return True
        return False

    def call_at_end(self, function: Callable[[], object]) -> None:
        """Call `function` if the run ends before `forget_at_end`, while it can still close."""
        self._at_end[function] = None
        if not self._is_turning:
            self._begin_turns()

    def forget_at_end(self, function: Callable[[], object]) -> None:
        """Cancel `call_at_end`."""
        if self._at_end.pop(function, function) is None and not self._has_ended:
            self.call_soon(_nothing)  # so that the task can end

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception that no task waits for."""
        self.report(context["exception"], context["message"])

    def report(self, error: BaseException, message: str) -> None:
        """Log an exception that no task waits for; raised in a system task, it would crash trio."""
        _log.error(message, exc_info=error)

    def call(self, callback: Callback, args: tuple[Any, ...]) -> None:
        """Call at once, and report exceptions."""
        try:
            callback(*args)
        except BaseException as error:
            self.report(error, f"exception in callback {callback!r}")

    # Private.

    def _watch_fd(self, fd: int, wait: WaitFor, callback: Callback) -> None:
        if fd < 0:  # as asyncio does; raised in a system task, it would end the run
            raise ValueError(f"a socket that is closed cannot be watched: its number is {fd}")
        self._stop_watching(fd, wait)
        watcher = _Watcher(self, fd, wait, callback)
        trio.lowlevel.spawn_system_task(watcher.run, name="asyncbatch: sockets")
        self._watchers[wait, fd] = watcher

    def _stop_watching(self, fd: int, wait: WaitFor) -> bool:
        watcher = self._watchers.pop((wait, fd), None)
        if watcher is None:
            return False
        watcher.stop()
        return True

    def _begin_turns(self) -> None:
        if not self._has_ended:
            trio.lowlevel.spawn_system_task(self._turn, name="asyncbatch: callbacks")
            self._is_turning = True

    async def _turn(self) -> None:
        """Make the calls, each at its time, until there are none left."""
        try:
            while self._ready or self._timers or self._at_end:
                deadline = self._timers[0][0] if self._timers else float("inf")
                with trio.CancelScope(deadline=deadline) as self._alarm:
                    await self._call_until(self._alarm)
                self._call_due()
        except trio.Cancelled:
            self._has_ended = True
            for function in list(self._at_end):
                self.call(function, ())
            raise
        finally:
            self._is_turning = False
            self._alarm = None

    async def _call_until(self, alarm: trio.CancelScope) -> None:
        """Make the calls of each turn, until the alarm, or until there are none left."""
        ready = self._ready
        while ready or self._timers or self._at_end:
            for _ in range(len(ready)):
                callback, args = ready.popleft()
                self.call(callback, args)
            if alarm.cancel_called:
                return
            if ready:
                await trio.lowlevel.cancel_shielded_checkpoint()
            elif self._timers or self._at_end:
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _call_due(self) -> None:
        now = trio.current_time()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled_timers -= 1
            else:
                self.call(callback, timer.args)


def _nothing() -> None:
    """Do nothing, as a callback."""


_running: trio.lowlevel.RunVar[TrioLoop] = trio.lowlevel.RunVar("asyncbatch loop")
