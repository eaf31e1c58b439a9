"""
How plain code waits for what another thread brings, so that Ctrl-C can end the wait.

Waits only; whoever stops waiting cancels what it waited for.
"""

from __future__ import annotations

import math
import queue
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

R = TypeVar("R")

POLL_SECONDS = 0.05
"""How often a wait that no signal can end looks whether it should end."""


class Patience:
    """
    How long to wait at a stretch, and when to give up.

    A signal ends a wait by raising, as Ctrl-C does: except under `asyncio.run`, which takes the
    first Ctrl-C for a cancellation of its main task, and that is the one which is blocked. On
    Windows no signal ends a wait without a time limit.
    """

    def __init__(self) -> None:
        self._task = _blocked_task()

    @property
    def seconds(self) -> float | None:
        """What to give as the time limit of one wait; then `check`, and wait again."""
        polls = self._task is not None or sys.platform == "win32"
        return POLL_SECONDS if polls and _in_main_thread() else None

    def check(self) -> None:
        """Raise the loop's cancellation if the blocked task has been cancelled as Ctrl-C does."""
        if self._task is None or not self._task.has_pending_cancellation():
            return
        # In a cancelled scope of anyio's a task stays cancelled: what it still calls is clean-up.
        if anyio.current_effective_deadline() > -math.inf:
            raise anyio.get_cancelled_exc_class() from None


def _blocked_task() -> anyio.TaskInfo | None:
    """Return the asyncio task that the caller blocks, if that is one Ctrl-C may cancel."""
    try:
        loop = anyio.lowlevel.current_token().native_token
        task = anyio.get_current_task()
    except RuntimeError:
        return None
    # trio's own handler raises right where we wait.
    return task if _in_main_thread() and hasattr(loop, "call_soon_threadsafe") else None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # where signals are handled


class Outcome(Generic[R]):
    """A value or an error that one thread leaves for another; the first one counts."""

    def __init__(self) -> None:
        # Looked up now: gevent may have put one of its own in its place since we were imported.
        self._left: queue.SimpleQueue[Callable[[], R]] = queue.SimpleQueue()

    def leave(self, value: R) -> None:
        """Leave a value."""
        self._left.put(lambda: value)

    def leave_error(self, error: BaseException) -> None:
        """Leave an error."""

        def fail() -> R:
            raise error

        self._left.put(fail)

    def wait(self) -> R:
        """Wait until something has been left, and return or raise it; once."""
        patience = Patience()
        while True:
            try:
                found = self._left.get(timeout=patience.seconds)
            except queue.Empty:
                patience.check()
            else:
                return found()
