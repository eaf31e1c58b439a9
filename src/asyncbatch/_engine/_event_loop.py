"""
`EventLoop`: the interface of an event loop for the engine.

The loops of asyncio and uvloop are used as they are. On trio, `_runtime._trio_loop` implements it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Generator
from typing import Any, Protocol, TypeVar

import anyio

from asyncbatch._runtime import _event_loop as runtime
from asyncbatch._runtime._event_loop import runs_on_trio, trio_loop

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Timer(Protocol):
    """A call at a point in time."""

    def cancel(self) -> None:
        """Cancel the call."""
        ...


class Task(Protocol[T_co]):
    """
    A coroutine that runs by itself, and its result.

    If a task that awaits it is cancelled, so is it.
    """

    def __await__(self) -> Generator[Any, Any, T_co]: ...

    def get_loop(self) -> Any:
        """Return the event loop."""
        ...

    def done(self) -> bool:
        """Return whether there is a result, an exception, or a cancellation."""
        ...

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        ...

    def cancel(self) -> bool:
        """Cancel it."""
        ...

    def result(self) -> T_co:
        """Return the result, or raise the exception."""
        ...

    def exception(self) -> BaseException | None:
        """Return the exception, if there is one."""
        ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback` with this object soon after it is done."""
        ...

    def remove_done_callback(self, callback: Callable[[Any], object], /) -> int:
        """Remove a callback; return how many there were."""
        ...


class Future(Task[T], Protocol[T]):
    """A result that is set later."""

    def set_result(self, result: T, /) -> None:
        """Set the result."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Set the exception."""
        ...


class EventLoop(Protocol):
    """An event loop: asyncio's, uvloop's, or the substitute on trio."""

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Call in the next turn."""
        ...

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Call in one of the next turns; from any thread."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        """Call after some seconds."""
        ...

    def time(self) -> float:
        """Return the time on the clock of `call_later`."""
        ...

    def add_reader(self, fd: int, callback: Callable[..., object], /) -> object:
        """Call whenever a descriptor can be read from."""
        ...

    def remove_reader(self, fd: int, /) -> object:
        """Stop watching a descriptor for reading."""
        ...

    def add_writer(self, fd: int, callback: Callable[..., object], /) -> object:
        """Call whenever a descriptor can be written to."""
        ...

    def remove_writer(self, fd: int, /) -> object:
        """Stop watching a descriptor for writing."""
        ...

    async def sock_connect(self, sock: Any, address: Any, /) -> None:
        """Connect a socket to a resolved address."""
        ...

    def create_future(self) -> Future[Any]:
        """Return a future."""
        ...

    def create_task(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]:
        """Run a coroutine in a task of its own."""
        ...

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        """Report an exception that no task waits for."""
        ...

    def is_closed(self) -> bool:
        """Return whether it will make no more calls."""
        ...


def ends_loop(error: BaseException) -> bool:
    """Whether an error of a callback ends the event loop; those of trio report all of them."""
    return isinstance(error, KeyboardInterrupt | SystemExit) and not runs_on_trio()


def running_loop() -> EventLoop:
    """
    Return the running event loop.

    Raises:
        RuntimeError: There is none.
    """
    loop: EventLoop = runtime.running_loop()
    return loop


def call_at_end(loop: EventLoop, function: Callable[[], object]) -> None:
    """Call `function` if a run of trio ends before `forget_at_end`; asyncio's loops do not tell."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        loop.call_at_end(function)  # type: ignore[attr-defined]  # a `TrioLoop`


def forget_at_end(loop: EventLoop, function: Callable[[], object]) -> None:
    """Cancel `call_at_end`."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        loop.forget_at_end(function)  # type: ignore[attr-defined]  # as above


def cancelled_class() -> type[BaseException]:
    """Return the exception that is raised in a cancelled task."""
    return asyncio.CancelledError if trio_loop() is None else anyio.get_cancelled_exc_class()


def is_current(task: Task[Any]) -> bool:
    """Whether a task is the running one."""
    if isinstance(task, asyncio.Task):
        return task is asyncio.current_task()
    return bool(getattr(task, "is_current", False))


async def shielded(future: Task[T]) -> T:
    """Wait for a future that has other waiters: it continues if this wait is cancelled."""
    if isinstance(future, asyncio.Future):
        return await asyncio.shield(future)
    await future.wait()  # type: ignore[attr-defined]  # a `TrioFuture`
    return future.result()


async def first_done(tasks: Collection[Task[T]], seconds: float | None = None) -> list[Task[T]]:
    """Wait until a task is done, for at most `seconds`; return those that are done."""
    if not any(task.done() for task in tasks):
        await _until_one_is_done(tasks, seconds)
    return [task for task in tasks if task.done()]


async def _until_one_is_done(tasks: Collection[Task[T]], seconds: float | None) -> None:
    loop = running_loop()
    waiter: Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, wake)
    for task in tasks:
        task.add_done_callback(wake)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for task in tasks:
            task.remove_done_callback(wake)
