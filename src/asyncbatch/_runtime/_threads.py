"""
Calls that take long, in threads of this package, on any event loop.

anyio's worker threads are not used: there are 40 for the whole program, and all of them may wait
for a fetch, as sync endpoints of a web service do. That fetch must not wait for one of them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from asyncbatch._runtime._event_loop import call_soon

T = TypeVar("T")


class NoThreads(Exception):
    """No thread can be started, and none is running that would make the call."""


class Threads:
    """
    Threads that exist only while there are calls to make.

    They are daemons and never joined, so that they delay neither the closing of a fetcher nor the
    exit of the interpreter.

    Args:
        name: Name of each thread.
        limit: Most threads at a time; further calls wait for their turn.
        linger: Seconds for which a thread waits for another call before it ends. Starting a thread
            costs 60 µs, as much as all else that a short call does.
    """

    def __init__(self, name: str, limit: int, *, linger: float = 0.0) -> None:
        self._name = name
        self._limit = limit
        self._linger = linger
        self._reset()
        if hasattr(os, "register_at_fork"):
            # A child process has none of the threads, but perhaps a lock that one of them held.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # Held by who hands over a call or ends, and not while a thread takes one: a thread that
        # waits for the GIL would make all others wait for the lock.
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._running = 0
        # The locks that wake the threads which wait for a call.
        self._idle: deque[threading.Lock] = deque()

    async def call(self, function: Callable[[], T]) -> T:
        """
        Call `function` in a thread and return its value. A cancellation does not wait for it.

        Raises:
            NoThreads: If no thread can be started, or gevent or eventlet has replaced threads.
            BaseException: As raised by `function`.
        """
        call = self.submit(function)
        try:
            await call.ended.wait()
        finally:
            call.drop_call()
        result: T = call.result()
        return result

    def submit(self, function: Callable[[], T]) -> ThreadCall:
        """
        Have a thread call `function`, and return without waiting for it.

        Raises:
            NoThreads: As `call` does.
        """
        call = ThreadCall(function)
        self.start(call.run)
        return call

    def start(self, function: Callable[[], None]) -> None:
        """
        Have a thread call `function`, which raises nothing; no task is needed.

        Raises:
            NoThreads: As `call` does.
        """
        if are_threads_patched():
            raise NoThreads
        self._put(function)

    @property
    def are_wanted(self) -> bool:
        """Whether calls wait for their turn, so that a long one had better pause."""
        return not self._calls.empty()

    def _put(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._calls.put(call)
            with contextlib.suppress(IndexError):
                self._idle.pop().release()
                return
            if self._running >= self._limit:
                return
            self._running += 1
            try:
                # With the lock held: a call that another loop hands over meanwhile would rely on
                # this thread, and wait forever if it cannot be started.
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            # No more threads, no memory for one, or the interpreter is shutting down.
            except (RuntimeError, MemoryError) as error:
                self._running -= 1
                if self._running:
                    return  # another thread will make the call
                self._calls.get_nowait()  # it is the only one: no thread is there for others
                raise NoThreads from error

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()
            del call  # its references must not live until the next one comes

    def _next(self) -> Callable[[], None] | None:
        """Return the next call; `None` if the thread is to end."""
        call = self._awaited() if self._linger else self._taken()
        if call is None:
            # Calls that are handed over from now on see that this thread has ended.
            with self._lock:
                call = self._taken()
                if call is None:
                    self._running -= 1
        return call

    def _awaited(self) -> Callable[[], None] | None:
        # A lock of its own, since `SimpleQueue.get` may wait without end if its time is over when
        # another thread has taken what it was woken for (CPython 3.11).
        wake = threading.Lock()
        wake.acquire()
        self._idle.append(wake)
        call = self._taken()
        if call is None:
            wake.acquire(timeout=self._linger)
            call = self._taken()
        with contextlib.suppress(ValueError):  # raised if `_put` has woken it
            self._idle.remove(wake)
        return call

    def _taken(self) -> Callable[[], None] | None:
        try:
            return self._calls.get_nowait()
        except Empty:
            return None


class ThreadCall:
    """A function that a thread calls for a task."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ended = anyio.Event()
        self._loop = anyio.lowlevel.current_token()
        # Empty once it was called or withdrawn; taken from it by one thread only.
        self._functions = [function]
        self._is_given_up = False
        self._outcome = CallOutcome()

    def run(self) -> None:
        """Call the function, in a thread."""
        try:
            function = self._functions.pop()
        except IndexError:
            return
        try:
            value = function()
        except BaseException as error:  # `result` raises it
            if not self._is_given_up:
                self._outcome.error = error
        else:
            self._outcome.value = value
        call_soon(self._loop, self.ended.set)

    @property
    def is_waiting(self) -> bool:
        """Whether no thread has begun the function yet."""
        return bool(self._functions)

    def drop_call(self) -> None:
        """Drop the function, or its outcome."""
        self._is_given_up = True
        self.withdraw()

    def withdraw(self) -> bool:
        """Drop the function unless a thread has begun it; return whether it was dropped."""
        try:
            self._functions.pop()
        except IndexError:
            return False
        return True

    def result(self) -> Any:
        """Return the value of the function, or raise its error. Call it once."""
        return self._outcome.unwrap()


class CallOutcome:
    """The outcome of a call in a thread: its value, or its error."""

    __slots__ = ("error", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return the value, or raise the error. Call it once."""
        error, self.error = self.error, None
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


def are_threads_patched() -> bool:
    """Whether gevent or eventlet has replaced threads by greenlets."""
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    eventlet: Any = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))
