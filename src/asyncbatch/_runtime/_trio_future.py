"""
`TrioFuture` and `TrioTask`: a result that is set later, and a coroutine that runs by itself.

They mean the same as those of asyncio. Only the loop that calls their callbacks is known here.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

import trio
import trio.lowlevel

T = TypeVar("T")


class CallbackLoop(Protocol):
    """The loop, for a future."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call in the next turn."""
        ...


class TrioFuture(Generic[T]):
    """
    A result that is set later.

    If a task that awaits it is cancelled, so is it, as on asyncio. With `wait`, it is not.
    """

    __slots__ = ("_callbacks", "_error", "_is_cancelled", "_is_done", "_loop", "_result", "_tasks")

    def __init__(self, loop: CallbackLoop) -> None:
        self._loop = loop
        self._is_done = False
        self._is_cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        # The waiting tasks, and below the callbacks. Tuples, since there is mostly one or none.
        self._tasks: tuple[trio.lowlevel.Task, ...] = ()
        self._callbacks: tuple[Callable[[Any], object], ...] = ()

    def __await__(self) -> Generator[Any, Any, T]:
        if not self._is_done:
            yield from self._wait(self.cancel).__await__()
        return self.result()

    async def wait(self) -> None:
        """Wait until it is done; if that is cancelled, the future is not."""
        if not self._is_done:
            await self._wait(_nothing)

    def get_loop(self) -> CallbackLoop:
        """Return the loop that it belongs to."""
        return self._loop

    def done(self) -> bool:
        """Return whether it has a result, has failed, or was cancelled."""
        return self._is_done

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._is_cancelled

    def result(self) -> T:
        """
        Return the result of a future that is done.

        Raises:
            BaseException: The error that was set.
            RuntimeError: It was cancelled. Not trio's `Cancelled`, as no waiting task was
                cancelled.
        """
        if self._error is not None:
            raise self._error
        if self._is_cancelled:
            raise RuntimeError("what was waited for has been given up")
        result: T = self._result
        return result

    def exception(self) -> BaseException | None:
        """Return the error that was set, if any."""
        return self._error

    def set_result(self, result: T) -> None:
        """Set the result."""
        self._result = result
        self._mark_done()

    def set_exception(self, error: BaseException) -> None:
        """Set the error."""
        self._error = error
        self._mark_done()

    def cancel(self) -> bool:
        """Cancel it, if it is not done; return whether it was cancelled."""
        if self._is_done:
            return False
        self._is_cancelled = True
        self._mark_done()
        return True

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` with this future soon after it is done."""
        if self._is_done:
            self._loop.call_soon(callback, self)
        else:
            self._callbacks = (*self._callbacks, callback)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """Remove a callback; return how many there were."""
        left = tuple(one for one in self._callbacks if one != callback)
        removed = len(self._callbacks) - len(left)
        self._callbacks = left
        return removed

    def _mark_done(self) -> None:
        self._is_done = True
        if not self._callbacks:
            self._wake()
            return
        callbacks, self._callbacks = self._callbacks, ()
        for callback in callbacks:
            self._loop.call_soon(callback, self)
        # After the callbacks, as on asyncio: waiting tasks see what the callbacks have changed.
        self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            trio.lowlevel.reschedule(task)

    async def _wait(self, on_abort: Callable[[], object]) -> None:
        task = trio.lowlevel.current_task()
        self._tasks = (*self._tasks, task)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._tasks = tuple(one for one in self._tasks if one is not task)
            on_abort()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)


class TrioTask(TrioFuture[T]):
    """A coroutine in a task of its own, and its result."""

    __slots__ = ("_scope", "_task")

    def __init__(self, loop: CallbackLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        super().__init__(loop)
        self._scope = trio.CancelScope()
        try:
            self._task = trio.lowlevel.spawn_system_task(
                self._run, coroutine, name=coroutine, context=contextvars.copy_context()
            )
        except BaseException:
            coroutine.close()
            raise

    @property
    def is_current(self) -> bool:
        """Whether it is the running task."""
        return self._task is trio.lowlevel.current_task()

    def cancel(self) -> bool:
        """Cancel the coroutine; the task is done when that has ended."""
        if self._is_done:
            return False
        self._scope.cancel()
        return True

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        if self._scope.cancel_called:
            coroutine.close()  # as on asyncio, it is never started
            super().cancel()
            return
        try:
            with self._scope:
                self.set_result(await coroutine)
                return
        except trio.Cancelled:
            pass  # the run is over, so no task waits for it
        except BaseException as error:
            self.set_exception(error)
            return
        super().cancel()


def _nothing() -> None:
    """Do nothing, when a wait is cancelled."""
