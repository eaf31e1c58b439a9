"""
Which sockets have something to read, asked for all connections of a pool at once.

An event loop in Python spends more than a microsecond on each socket that has become readable, on
its own table, a handle and a context to run it in. So the sockets of a pool are put into an epoll
of their own, of which the event loop sees one descriptor; what is ready there is called in a plain
loop.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sized
from time import monotonic
from typing import Protocol

from asyncbatch._engine._event_loop import EventLoop

MAX_EVENTS = 128
"""Sockets served in one turn of the event loop, so that others get theirs."""


class Watch(Protocol):
    """Calls back while a socket has something to read."""

    can_look: bool
    """Whether `look` does anything."""

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever there is something to read."""
        ...

    def remove(self, fd: int) -> None:
        """Call no more; a socket that is not watched is none to worry about."""
        ...

    def look(self) -> None:
        """Call back at once for those that have something to read, as many as one turn serves."""
        ...

    def look_at_all(self) -> None:
        """Call back at once for all that have something to read at this moment."""
        ...


class Poll(Protocol):
    """Says whether one socket has something to read that has not been read yet."""

    def __call__(self, timeout: int, /) -> Sized:
        """Return nothing if not; called with 0, for no waiting."""
        ...


class StallDetector(Protocol):
    """What tells whether the loop has stood still."""

    late_at: float
    """When it has."""

    def stood_still(self) -> None:
        """Take note of it."""
        ...


def watch_on(loop: EventLoop, stall_detector: StallDetector | None = None) -> Watch:
    """
    Return the best way to watch sockets on this machine.

    Args:
        loop: Which runs.
        stall_detector: Is told before what has come is read, if the loop stood still.
    """
    return EpollWatch(loop, stall_detector) if hasattr(select, "epoll") else LoopWatch(loop)


def poll_of(sock: socket.socket) -> Poll:
    """Return what says whether this one socket has something to read; called with 0 only."""
    if not hasattr(select, "poll"):
        # Windows, where `select` takes sockets of any number.
        sockets = [sock.fileno()]
        return lambda timeout: select.select(sockets, (), (), timeout)[0]
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll.poll


def never(timeout: int) -> tuple[()]:
    """Say of no socket that it has nothing to read."""
    return ()


class LoopWatch:
    """Leaves each socket to the event loop."""

    can_look = False

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever there is something to read."""
        self._loop.add_reader(fd, on_readable)

    def remove(self, fd: int) -> None:
        """Call no more."""
        self._loop.remove_reader(fd)

    def look(self) -> None:
        """Do nothing; the event loop alone knows."""

    def look_at_all(self) -> None:
        """Do nothing, likewise."""


class EpollWatch:
    """Asks the kernel about all sockets together, when the event loop says that one is ready."""

    can_look = True

    def __init__(self, loop: EventLoop, stall_detector: StallDetector | None = None) -> None:
        self._loop = loop
        self._stall_detector = stall_detector
        self._callbacks: dict[int, Callable[[], None]] = {}
        # None while nothing is watched, so that a pool without connections keeps nothing open.
        self._epoll: select.epoll | None = None

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever there is something to read."""
        epoll = self._epoll
        if epoll is None:
            epoll = self._epoll = select.epoll()
            self._loop.add_reader(epoll.fileno(), self.look)
        try:
            epoll.register(fd, select.EPOLLIN)
            self._callbacks[fd] = on_readable
        finally:
            self._close_if_unused(epoll)

    def remove(self, fd: int) -> None:
        """Call no more."""
        epoll = self._epoll
        if epoll is None or self._callbacks.pop(fd, None) is None:
            return
        epoll.unregister(fd)
        self._close_if_unused(epoll)

    def _close_if_unused(self, epoll: select.epoll) -> None:
        if not self._callbacks:
            self._epoll = None
            self._loop.remove_reader(epoll.fileno())
            epoll.close()

    def look_at_all(self) -> None:
        """Call back at once for all that have something to read at this moment."""
        # The kernel puts those that it has named behind the others, and names as many as there are:
        # with thousands that are idle it need not be asked a dozen times.
        for _ in range(0, len(self._callbacks), MAX_EVENTS):
            if self._look() < MAX_EVENTS:
                return

    def look(self) -> None:
        """Call back at once for those that have something to read, as many as one turn serves."""
        self._look()

    def _look(self) -> int:
        """Call back, and return how many had something to read; as many as can be, if unsure."""
        epoll = self._epoll
        if epoll is None:
            return 0
        callbacks = self._callbacks
        ready: list[tuple[int, int]] = []
        try:
            stall_detector = self._stall_detector
            if stall_detector is not None and monotonic() >= stall_detector.late_at:
                # Before what has come is given a time.
                stall_detector.stood_still()
            ready = epoll.poll(0, MAX_EVENTS)
            for fd, _ in ready:
                # One of those before may have closed it.
                callback = callbacks.get(fd)
                if callback is not None:
                    callback()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            # The others are still ready, and come again in the next turn.
            self._loop.call_exception_handler(
                {"message": "a connection could not take what it received", "exception": error}
            )
            return MAX_EVENTS
        return len(ready)
