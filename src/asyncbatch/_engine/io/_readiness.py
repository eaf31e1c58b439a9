"""
Watches: tell which sockets can be read from, for all connections of a pool at once.

An event loop in Python spends more than a microsecond on each readable socket: on its table, a
handle and a context to run it in. So the sockets of a pool are in an epoll of their own, which is
one descriptor to the event loop. A plain loop calls the callbacks of those that are ready.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sized
from functools import partial
from time import monotonic
from typing import Protocol

from asyncbatch._engine._event_loop import EventLoop, ends_loop

MAX_EVENTS = 128
"""Most sockets that are served in one turn of the event loop, so that others get their turn."""


class Watch(Protocol):
    """Calls callbacks while their sockets can be read from."""

    can_look: bool
    """Whether `look` does anything."""

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever the socket can be read from."""
        ...

    def pause(self, fd: int) -> None:
        """Stop watching a socket for a while, until `add` or `remove` is called."""
        ...

    def remove(self, fd: int) -> None:
        """Stop watching a socket; do nothing if it is not watched."""
        ...

    def look(self) -> None:
        """Call back at once for the sockets that can be read from, up to `MAX_EVENTS`."""
        ...

    def look_at_all(self) -> None:
        """Call back at once for all sockets that can be read from now."""
        ...

    def forget_all(self) -> None:
        """Watch no socket any more, without a call to the event loop, which was closed."""
        ...

    def stop(self) -> None:
        """Watch no socket any more, though some may not have been removed."""
        ...


class Poll(Protocol):
    """Tells whether a socket has unread bytes or an unread end."""

    def __call__(self, timeout: int, /) -> Sized:
        """Return a value that is empty if not; call it with 0, which does not wait."""
        ...


class StallDetector(Protocol):
    """Tells whether the event loop was blocked."""

    late_at: float
    """If this time has passed, it was."""

    def stood_still(self) -> None:
        """Handle it."""
        ...


def watch_on(loop: EventLoop, stall_detector: StallDetector | None = None) -> Watch:
    """
    Return the best watch for this machine.

    Args:
        loop: The running event loop.
        stall_detector: Called before reading if the loop was blocked.
    """
    return EpollWatch(loop, stall_detector) if hasattr(select, "epoll") else LoopWatch(loop)


def poll_of(sock: socket.socket) -> Poll:
    """Return a function that tells whether this socket can be read from; call it with 0 only."""
    if not hasattr(select, "poll"):
        # Windows, where `select` accepts sockets of any number.
        sockets = [sock.fileno()]
        return lambda timeout: select.select(sockets, (), (), timeout)[0]
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll.poll


def never(timeout: int) -> tuple[()]:
    """Return that there is nothing to read: the `Poll` of a closed connection."""
    return ()


class LoopWatch:
    """Watches each socket by the event loop."""

    def __init__(self, loop: EventLoop) -> None:
        self.can_look = False
        self._loop = loop

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever the socket can be read from."""
        self._loop.add_reader(fd, partial(_call, self._loop, on_readable))

    def pause(self, fd: int) -> None:
        """Stop watching a socket for a while."""
        self._loop.remove_reader(fd)

    def remove(self, fd: int) -> None:
        """Stop watching a socket."""
        self._loop.remove_reader(fd)

    def look(self) -> None:
        """Do nothing; only the event loop knows."""

    def look_at_all(self) -> None:
        """Do nothing; only the event loop knows."""

    def forget_all(self) -> None:
        """Do nothing; a closed event loop watches nothing."""

    def stop(self) -> None:
        """Do nothing; each transport has stopped the event loop when it was closed."""


class EpollWatch:
    """Asks the kernel about all sockets at once, when the event loop reports one of them."""

    def __init__(self, loop: EventLoop, stall_detector: StallDetector | None = None) -> None:
        # Not of the class: CPython 3.11 does not specialise its reading through an object.
        self.can_look = True
        self._loop = loop
        self._stall_detector = stall_detector
        self._callbacks: dict[int, Callable[[], None]] = {}
        # The sockets that are not watched for a while. The epoll stays: a new one costs 20
        # times as much, and a body that is slowly written pauses for each piece.
        self._paused: set[int] = set()
        # `None` while no socket is watched, so that a pool without connections holds no descriptor.
        self._epoll: select.epoll | None = None

    def add(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever the socket can be read from."""
        epoll = self._epoll
        if epoll is None:
            epoll = self._epoll = select.epoll()
            self._loop.add_reader(epoll.fileno(), self.look)
        try:
            epoll.register(fd, select.EPOLLIN)
        except BaseException:
            self._close_if_unused(epoll)
            raise
        self._callbacks[fd] = on_readable
        self._paused.discard(fd)

    def pause(self, fd: int) -> None:
        """Stop watching a socket for a while."""
        epoll = self._epoll
        if epoll is not None and self._callbacks.pop(fd, None) is not None:
            epoll.unregister(fd)
            self._paused.add(fd)

    def remove(self, fd: int) -> None:
        """Stop watching a socket."""
        epoll = self._epoll
        if epoll is None:
            return
        if self._callbacks.pop(fd, None) is not None:
            epoll.unregister(fd)
        self._paused.discard(fd)
        if not self._callbacks:
            self._close_if_unused(epoll)

    def forget_all(self) -> None:
        """Watch no socket any more, without a call to the event loop, which was closed."""
        self._callbacks.clear()
        self._paused.clear()
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            epoll.close()

    def stop(self) -> None:
        """Watch no socket any more, though some may not have been removed."""
        self._callbacks.clear()
        self._paused.clear()
        if self._epoll is not None:
            self._close_if_unused(self._epoll)

    def _close_if_unused(self, epoll: select.epoll) -> None:
        if not (self._callbacks or self._paused):
            self._epoll = None
            self._loop.remove_reader(epoll.fileno())
            epoll.close()

    def look_at_all(self) -> None:
        """Call back at once for all sockets that can be read from now."""
        # The kernel moves the sockets that it has returned to the end, and returns up to the
        # maximum: among thousands of idle sockets, one call is mostly enough.
        for _ in range(0, len(self._callbacks), MAX_EVENTS):
            if self._look() < MAX_EVENTS:
                return

    def look(self) -> None:
        """Call back at once for the sockets that can be read from, up to `MAX_EVENTS`."""
        self._look()

    def _look(self) -> int:
        """Call back, and return the number of readable sockets; `MAX_EVENTS` if it is unknown."""
        epoll = self._epoll
        if epoll is None:
            return 0
        callbacks = self._callbacks
        ready: list[tuple[int, int]] = []
        try:
            stall_detector = self._stall_detector
            if stall_detector is not None and monotonic() >= stall_detector.late_at:
                # Before the arrived bytes get a timestamp.
                stall_detector.stood_still()
            ready = epoll.poll(0, MAX_EVENTS)
            for fd, _ in ready:
                # An earlier callback may have closed it.
                callback = callbacks.get(fd)
                if callback is not None:
                    callback()
        except BaseException as error:
            if ends_loop(error):
                raise
            # The other sockets are still ready, and are returned again in the next turn.
            _report(self._loop, error)
            return MAX_EVENTS
        return len(ready)


def _call(loop: EventLoop, on_readable: Callable[[], None]) -> None:
    try:
        on_readable()
    except BaseException as error:
        if ends_loop(error):
            raise
        _report(loop, error)


def _report(loop: EventLoop, error: BaseException) -> None:
    text = "a connection could not take what it received"
    loop.call_exception_handler({"message": text, "exception": error})
