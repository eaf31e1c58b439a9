"""
The few things that the engine asks of an event loop.

The loops of asyncio and uvloop are used as they are. On trio `_runtime._trio_loop` has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Generator
from typing import Any, Protocol, TypeVar

import anyio

from asyncbatch._runtime._event_loop import trio_loop

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Timer(Protocol):
    """A call at a point in time."""

    def cancel(self) -> None:
        """Make no call."""
        ...


class Task(Protocol[T_co]):
    """
    What a coroutine comes to that runs by itself.

    Awaited, it is cancelled with whoever waits.
    """

    def __await__(self) -> Generator[Any, Any, T_co]: ...

    def get_loop(self) -> Any:
        """Return the event loop."""
        ...

    def done(self) -> bool:
        """Say whether there is a result, an exception, or a cancellation."""
        ...

    def cancelled(self) -> bool:
        """Say whether it was cancelled."""
        ...

    def cancel(self) -> bool:
        """Have it end."""
        ...

    def result(self) -> T_co:
        """Return the result, or raise the exception."""
        ...

    def exception(self) -> BaseException | None:
        """Return the exception, if there is one."""
        ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback` with this soon after it is done."""
        ...

    def remove_done_callback(self, callback: Callable[[Any], object], /) -> int:
        """Call it no more."""
        ...


class Future(Task[T], Protocol[T]):
    """A result that somebody will set."""

    def set_result(self, result: T, /) -> None:
        """Be done, with a result."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Be done, having failed."""
        ...


class EventLoop(Protocol):
    """What calls back: asyncio's loop, uvloop's, or what stands in for one on trio."""

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
        """Return the time by which that is."""
        ...

    def add_reader(self, fd: int, callback: Callable[..., object], /) -> object:
        """Call whenever a descriptor can be read from."""
        ...

    def remove_reader(self, fd: int, /) -> object:
        """Call no more."""
        ...

    def add_writer(self, fd: int, callback: Callable[..., object], /) -> object:
        """Call whenever a descriptor can be written to."""
        ...

    def remove_writer(self, fd: int, /) -> object:
        """Call no more."""
        ...

    async def sock_connect(self, sock: Any, address: Any, /) -> None:
        """Connect a socket to an address that is resolved."""
        ...

    def create_future(self) -> Future[Any]:
        """Return a future."""
        ...

    def create_task(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]:
        """Run a coroutine by itself."""
        ...

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        """Report an exception that nobody waits for."""
        ...

    def is_closed(self) -> bool:
        """Say whether it will call nobody any more."""
        ...


def running_loop() -> EventLoop:
    """
    Return the running event loop.

    Raises:
        RuntimeError: there is none.
    """
    return trio_loop() or asyncio.get_running_loop()


def call_at_end(loop: EventLoop, function: Callable[[], object]) -> None:
    """Have `function` called where the run of a loop ends first; asyncio's tell nobody."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        loop.call_at_end(function)  # type: ignore[attr-defined]  # a `TrioLoop`


def forget_at_end(loop: EventLoop, function: Callable[[], object]) -> None:
    """Do not call it."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        loop.forget_at_end(function)  # type: ignore[attr-defined]  # as above


def cancelled_class() -> type[BaseException]:
    """Return what is raised in a task that is cancelled."""
    return asyncio.CancelledError if trio_loop() is None else anyio.get_cancelled_exc_class()


def is_current(task: Task[Any]) -> bool:
    """Say whether a task is the one that runs."""
    if isinstance(task, asyncio.Task):
        return task is asyncio.current_task()
    return bool(getattr(task, "is_current", False))


async def shielded(future: Task[T]) -> T:
    """Wait for a future that others wait for too: it goes on if the one who waits here gives up."""
    if isinstance(future, asyncio.Future):
        return await asyncio.shield(future)
    await future.wait()  # type: ignore[attr-defined]  # a `TrioFuture`
    return future.result()


async def first_done(tasks: Collection[Task[T]], seconds: float | None = None) -> list[Task[T]]:
    """Wait until one of the tasks is done, for some seconds at most; return those that are."""
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
