"""
Waits of synchronous code for another thread, which Ctrl-C can end.

Waits only: the caller cancels what it waited for.
"""

from __future__ import annotations

import math
import queue
import sys
import threading
from collections.abc import Callable, Collection
from concurrent import futures
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

R = TypeVar("R")
T = TypeVar("T")

POLL_SECONDS = 0.05
"""Interval at which a wait that no signal can end checks whether to end."""

SIGNAL_SECONDS = 1.0
"""Longest wait in the main thread. A signal that comes between the last look of the interpreter and
the call of the system that waits does not end the wait, and its handler runs after it."""


class Wait:
    """
    How long one wait may take, and when to give up.

    A signal handler ends a wait by raising, as that of Ctrl-C does. There are two exceptions: under
    `asyncio.run`, the first Ctrl-C only cancels the main task, which is the one that is blocked; on
    Windows, no signal ends a wait without a time limit.
    """

    def __init__(self) -> None:
        self._task = _blocked_task()

    @property
    def seconds(self) -> float | None:
        """The time limit of one wait; `None`: no limit. After it, call `check` and wait again."""
        if not _in_main_thread():
            return None
        polls = self._task is not None or sys.platform == "win32"
        return POLL_SECONDS if polls else SIGNAL_SECONDS

    def check(self) -> None:
        """Raise the loop's cancellation if Ctrl-C has cancelled the blocked task."""
        if self._task is None or not self._task.has_pending_cancellation():
            return
        # A task in a cancelled scope of anyio stays cancelled, so a call from there is clean-up.
        if anyio.current_effective_deadline() > -math.inf:
            raise anyio.get_cancelled_exc_class() from None


def _blocked_task() -> anyio.TaskInfo | None:
    """Return the asyncio task that the caller blocks, if Ctrl-C may cancel it."""
    try:
        loop = anyio.lowlevel.current_token().native_token
        task = anyio.get_current_task()
    except RuntimeError:
        return None
    # trio's signal handler raises within the wait.
    return task if _in_main_thread() and hasattr(loop, "call_soon_threadsafe") else None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # where signals are handled


def wait_for_first(waited: Collection[futures.Future[T]]) -> set[futures.Future[T]]:
    """Wait until one of some futures or more are done, and return those that are."""
    wait = Wait()
    while True:
        done = futures.wait(waited, wait.seconds, futures.FIRST_COMPLETED).done
        if done:
            return done
        wait.check()


class Promise(Generic[R]):
    """A value or an error that one thread leaves for another; the first one counts."""

    def __init__(self) -> None:
        # Looked up now: gevent may have replaced the class since this module was imported.
        self._left: queue.SimpleQueue[Callable[[], R]] = queue.SimpleQueue()

    def leave_value(self, value: R) -> None:
        """Leave a value."""
        self._left.put(lambda: value)

    def leave_error(self, error: BaseException) -> None:
        """Leave an error."""

        def fail() -> R:
            raise error

        self._left.put(fail)

    def wait_left(self, seconds: float) -> None:
        """Wait until there is a value or an error, at most for some seconds."""
        found = self._get(seconds)
        if found is not None:
            self._left.put(found)

    def wait(self) -> R:
        """Wait for the value or error, and return or raise it. Call it once."""
        wait = Wait()
        while (found := self._get(wait.seconds)) is None:
            wait.check()
        return found()

    def _get(self, seconds: float | None) -> Callable[[], R] | None:
        try:
            return self._left.get(timeout=seconds)
        except queue.Empty:
            # Nothing is called here: a signal handler that raises would show `Empty` as well.
            return None
