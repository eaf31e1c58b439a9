"""
`Portal`: an event loop in a thread of its own, for synchronous code.

It knows nothing of fetching. The loop is always asyncio's, on uvloop if that is installed.

anyio's portal is not used: it waits for the loop through `concurrent.futures`. If Ctrl-C comes
just after one of its locks is taken, the lock stays taken and the loop waits for it forever (seen
in 1 of 80 programs interrupted at the beginning of a batch). Here, starting a task waits for
nothing, and the wait for a `Promise` is in C.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskGroup

from asyncbatch._runtime._threads import are_threads_patched
from asyncbatch._sync._interruptible import Promise, Wait
from asyncbatch._values._errors import FetcherClosed

T = TypeVar("T")
R = TypeVar("R")
P = TypeVarTuple("P")

EXIT_SECONDS = 1.0
"""How long to wait for a thread that may not end: at exit and after an interrupted start."""


def loop_options() -> dict[str, Any]:
    """Return anyio's options for the event loop."""
    # uvloop waits in C, which blocks all greenlets, also those that replace threads.
    return {"use_uvloop": _has_uvloop() and not are_threads_patched()}


@functools.cache
def _has_uvloop() -> bool:
    return sys.platform != "win32" and importlib.util.find_spec("uvloop") is not None


def run_loop(function: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine function in an event loop of its own, in this thread, where none runs."""
    context = copy_context()
    # A child that was forked in a task has the variable of its parent, which names a library. anyio
    # asks it first, and would find a loop that does not run here.
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context.run(functools.partial(anyio.run, function, backend_options=loop_options()))


def is_loop_running() -> bool:
    """Whether an event loop of any library is running in this thread."""
    # anyio looks for a current task, which a plain callback of a loop lacks. asyncio is asked only
    # if it has been imported: otherwise no loop of it runs.
    asyncio: Any = sys.modules.get("asyncio")
    for ask in (anyio.lowlevel.current_token, getattr(asyncio, "get_running_loop", None)):
        with suppress(RuntimeError):
            if ask is not None and ask():
                return True
    return False


def _variables() -> Context:
    """Return the caller's context variables, for a task of asyncio."""
    context = copy_context()
    # If sniffio is in use, one of them names the caller's library, which may not be asyncio.
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, "asyncio")
    return context


class PortalCall(Generic[R]):
    """A coroutine function that runs in the loop on behalf of another thread."""

    def __init__(self, portal: Portal[Any], function: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._portal = portal
        self.has_task = False
        """Whether its task was started; set in the loop."""
        self.refuse_own_thread: Callable[[], None] = portal.refuse_own_thread
        """Raise in the loop's thread, which must not wait for the outcome."""
        self._function = function
        self._scope: anyio.CancelScope | None = None  # once its task runs
        self._cancelled = False
        self.outcome: Promise[R] = Promise()
        self.opened: Promise[None] | None = None
        """Where the function leaves a value once all is open that it needs, if it does that."""

    def submit(self) -> None:
        """Begin the call without waiting; see `Portal.submit`."""
        self._portal.submit(self)

    async def run(self) -> None:
        """Run the function, in the loop, and leave its outcome."""
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                self.outcome.leave_value(await self._function())
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self.outcome.leave_error(error)
        finally:
            self.leave_closed()

    def leave_closed(self) -> None:
        """Leave `FetcherClosed` as the outcome, if there is none."""
        error = FetcherClosed("the fetcher was closed during the call")
        if self.opened is not None:
            self.opened.leave_error(error)
        self.outcome.leave_error(error)

    def result(self, close_seconds: float = 0.0) -> R:
        """
        Begin the call and wait for its outcome; cancel it if the wait ends early.

        Args:
            close_seconds: Most seconds to wait for the end of a call that was cancelled.
        """
        try:
            self.submit()
            return self.outcome.wait()
        except BaseException:
            self.cancel()
            if close_seconds:
                self.wait_ended(close_seconds)
            raise

    def cancel(self) -> None:
        """Cancel the call without waiting; from any thread, also during garbage collection."""
        self._portal.call_soon_threadsafe(self._cancel)

    def wait_ended(self, seconds: float) -> None:
        """Wait until the call has ended, at most for `seconds`; not at all in the loop's thread."""
        try:
            self.refuse_own_thread()
        except RuntimeError:
            return
        self.outcome.wait_left(seconds)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()
        elif not self.has_task:  # an interruption came before
            self.leave_closed()


@attrs.frozen
class _Loop:
    """A running loop, as other threads see it."""

    native: Any
    tasks: TaskGroup
    stop: anyio.Event


class Portal(Generic[T]):
    """
    A thread with an event loop, in which an async context is kept open. Use it once.

    The thread is a daemon, so that an unclosed portal does not keep the interpreter from exiting.

    Args:
        context: Makes the context; called in the loop's thread, with the caller's context
            variables.
    """

    def __init__(self, context: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._context = context
        self._thread = threading.Thread(target=self._run, name="asyncbatch", daemon=True)
        self._process = os.getpid()
        self._started: Promise[None] = Promise()
        # Set by the loop's thread as soon as the loop accepts calls.
        self._loop: _Loop | None = None
        self._holding: PortalCall[None] | None = None  # the call that keeps the context open
        # Held while a call is started: one started after the request to stop would never end.
        self._closing = threading.Lock()
        self._closed = False
        self._calls: set[PortalCall[Any]] = set()  # started and not ended

    def open(self) -> T:
        """Start the loop, enter the context, and return its value."""
        opened: Promise[T] = Promise()
        try:
            self._thread.start()
            self._started.wait()
            self._holding = self.start(self._hold, opened)
            return opened.wait()
        except BaseException:
            self._stop()
            # An interruption may have come before the thread started, or prevented its start.
            with suppress(RuntimeError):
                self._thread.join(EXIT_SECONDS if self._holding is None else None)
            self._holding = None
            raise

    def prepare(self, function: Callable[[*P], Coroutine[Any, Any, R]], *args: *P) -> PortalCall[R]:
        """
        Return a call that has not begun.

        The caller can cancel it in a `try` around its beginning, so that an interruption at any
        moment leaves nothing running.
        """
        return PortalCall(self, functools.partial(function, *args))

    def submit(self, call: PortalCall[Any]) -> None:
        """
        Start the task of a call, with the caller's context variables, without waiting for it.

        Raises:
            FetcherClosed: If the portal is closed, or was opened before this process was forked.
            RuntimeError: In the loop's thread, which must not wait for itself.
            BaseException: The cancellation of the calling task, if Ctrl-C has come. It is checked
                here since the wait for a short call may end before its first check.
        """
        self.refuse_own_thread()
        try:
            if os.getpid() != self._process:
                raise FetcherClosed(
                    "this fetcher was opened in another process; open one after a fork"
                )
            Wait().check()
            with self._closing:
                if self._closed or self._loop is None:
                    raise FetcherClosed("this fetcher is closed")
                self._calls.add(call)
                start = functools.partial(self._start_task, self._loop.tasks, call)
                self._loop.native.call_soon_threadsafe(start, context=_variables())
        except FetcherClosed:
            call.leave_closed()
            raise
        except BaseException:
            call.cancel()  # it may have been started before the interruption
            raise

    def start(self, function: Callable[[*P], Coroutine[Any, Any, R]], *args: *P) -> PortalCall[R]:
        """Begin a call, as `submit` does, and return it."""
        call = self.prepare(function, *args)
        self.submit(call)
        return call

    def refuse_own_thread(self) -> None:
        """
        Raise in the loop's thread, which must not wait for itself.

        Raises:
            RuntimeError: If the current thread is that of the loop.
        """
        if threading.get_ident() == self._thread.ident:
            raise RuntimeError(
                "called from the input or a callback of this fetcher, which run in its event "
                "loop's thread: a call there would wait for itself"
            )

    def call(self, function: Callable[[*P], Coroutine[Any, Any, R]], *args: *P) -> R:
        """Run a coroutine function in the loop and wait; cancel it if the wait ends early."""
        return self.prepare(function, *args).result()

    def close(self) -> None:
        """
        Leave the context, end the loop, and wait for both. An error of leaving is raised.

        Raises:
            RuntimeError: In the loop's thread; nothing is closed then.
        """
        self.refuse_own_thread()
        with self._closing:
            self._closed = True
        if os.getpid() != self._process or self._holding is None:
            return
        self._stop()
        self._thread.join()
        with suppress(FetcherClosed):  # the loop has ended by itself
            self._holding.outcome.wait()

    def stop_unclosed(self) -> None:
        """
        Make an unclosed loop end, without waiting: for garbage collection.

        At the exit of the interpreter, wait up to `EXIT_SECONDS` for it.
        """
        if os.getpid() != self._process:
            return
        self._stop()
        is_exit = not threading.main_thread().is_alive()
        if is_exit and threading.get_ident() != self._thread.ident:
            self._thread.join(EXIT_SECONDS)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have the loop call `function` in its next turn; from the loop's thread only."""
        assert self._loop is not None
        self._loop.native.call_soon(function)

    def call_soon_threadsafe(self, function: Callable[[], object]) -> None:
        """Have the loop call `function`, unless it has ended; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.native.call_soon_threadsafe(function)

    def _stop(self) -> None:
        # Here the flag is set before `_loop` is read; `_serve` sets `_loop` before it reads the
        # flag. So at least one of the two sees the other.
        self._closed = True
        if self._loop is not None:
            self.call_soon_threadsafe(self._loop.stop.set)

    # In the loop's thread:

    def _run(self) -> None:
        try:
            run_loop(self._serve)
        except BaseException as error:
            # After the start, the calls have this error, or a consequence of it, already.
            self._started.leave_error(error)
        finally:
            with self._closing:
                self._closed = True
            for call in self._calls:
                call.leave_closed()

    async def _serve(self) -> None:
        native = anyio.lowlevel.current_token().native_token
        async with anyio.create_task_group() as tasks:
            self._loop = loop = _Loop(native, tasks, anyio.Event())
            self._started.leave_value(None)
            if not self._closed:
                await loop.stop.wait()

    def _start_task(self, tasks: TaskGroup, call: PortalCall[Any]) -> None:
        call.has_task = True
        tasks.start_soon(self._attend, call)

    async def _attend(self, call: PortalCall[Any]) -> None:
        try:
            await call.run()
        finally:
            self._calls.discard(call)

    async def _hold(self, opened: Promise[T]) -> None:
        assert self._loop is not None
        try:
            async with self._context() as value:
                opened.leave_value(value)
                await self._loop.stop.wait()
        except BaseException as error:
            opened.leave_error(error)
            raise
