"""
`GuardedLoop`: an event loop for the parts of a pool, which reports the errors of their callbacks.

No task waits for a callback. An error of one, even a lack of memory, may leave an exchange that
nothing will end; so it must not only be logged.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from asyncbatch._engine._event_loop import EventLoop, Future, Task, Timer, ends_loop
from asyncbatch._runtime._event_loop import is_virtual

T = TypeVar("T")


class GuardedLoop:
    """
    Makes the calls of an event loop, and reports what they raise.

    Args:
        loop: The event loop.
        on_error: Called with an error. `KeyboardInterrupt` and `SystemExit` end asyncio's loops.
    """

    __slots__ = ("_loop", "_on_error")

    def __init__(self, loop: EventLoop, on_error: Callable[[BaseException], object]) -> None:
        self._loop = loop
        self._on_error = on_error

    @property
    def is_virtual(self) -> bool:
        """Whether the time of the loop is virtual."""
        return is_virtual(self._loop)

    def call(self, callback: Callable[..., object], *args: Any) -> None:
        """Call at once, and report an error."""
        try:
            callback(*args)
        except BaseException as error:
            if ends_loop(error):
                raise
            self._on_error(error)

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Call in the next turn."""
        return self._loop.call_soon(self.call, callback, *args)

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Call in one of the next turns; from any thread."""
        return self._loop.call_soon_threadsafe(self.call, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        """Call after some seconds."""
        return self._loop.call_later(delay, self.call, callback, *args)

    def add_reader(self, fd: int, callback: Callable[..., object], /) -> object:
        """
        Call whenever a descriptor can be read from.

        The callback reports its errors itself, by `call_exception_handler`: that of an `EpollWatch`
        is called for nearly every response, and takes one call less so.
        """
        return self._loop.add_reader(fd, callback)

    def remove_reader(self, fd: int, /) -> object:
        """Stop watching a descriptor for reading."""
        return self._loop.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callable[..., object], /) -> object:
        """Call whenever a descriptor can be written to."""
        return self._loop.add_writer(fd, partial(self.call, callback))

    def remove_writer(self, fd: int, /) -> object:
        """Stop watching a descriptor for writing."""
        return self._loop.remove_writer(fd)

    async def sock_connect(self, sock: Any, address: Any, /) -> None:
        """Connect a socket to a resolved address."""
        await self._loop.sock_connect(sock, address)

    def create_future(self) -> Future[Any]:
        """Return a future."""
        return self._loop.create_future()

    def create_task(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]:
        """Run a coroutine in a task of its own."""
        return self._loop.create_task(coroutine)

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        """Report an error that a callback has caught."""
        self._on_error(context["exception"])

    def time(self) -> float:
        """Return the time on the clock of `call_later`."""
        return self._loop.time()

    def is_closed(self) -> bool:
        """Return whether it will make no more calls."""
        return self._loop.is_closed()
