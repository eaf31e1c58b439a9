"""
`Resolver`: resolves host names to socket addresses, in threads of our own, with a cache.

Look-ups of the same name are combined. asyncio's default executor is shared with the rest of the
program: a few slow look-ups there cause timeouts of all others (CPython issue 112169).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import queue
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from asyncbatch._engine._errors import ResolveFailed
from asyncbatch._engine._event_loop import EventLoop, Future, running_loop, shielded

T = TypeVar("T")

CACHE_SECONDS = 60.0
MAX_CACHED_NAMES = 10_000
MAX_THREADS = 32
MOST_THREADS = 256
"""Most threads at all: those that hang cannot be ended."""
RELIEF_SECONDS = 1.0
"""Seconds that a call waits for a thread before another one beyond `MAX_THREADS` is started."""
MEMORY_SECONDS = 0.05
"""Seconds after which a thread tells its result again, if there was no memory for that."""
MAX_ADDRESSES = 256
"""Most addresses of one name that are kept; a hostile name has thousands."""


class Address(NamedTuple):
    """An address that a socket can be connected to."""

    family: int
    sockaddr: tuple[Any, ...]


LookUp: TypeAlias = Callable[[str, int], list[Address]]


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system; blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        # Without a descriptor for its files and sockets, glibc reports that the name does not
        # exist. Opening one tells these apart: then it fails with EMFILE.
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        raise
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


def parse_literal(host: str, port: int) -> list[Address] | None:
    """Return the address of a literal host, or `None` for a name. Never blocks."""
    # The meaning of an IPv6 scope may change, so it is not cached.
    return _parse_literal.__wrapped__(host, port) if "%" in host else _parse_literal(host, port)


def without_escape(host: str) -> str:
    """Return a host as the system expects it: a URL has %25 for the "%" of a zone (RFC 6874)."""
    return host.replace("%25", "%", 1) if "%25" in host and ":" in host else host


@functools.lru_cache(maxsize=256)
def _parse_literal(host: str, port: int) -> list[Address] | None:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        # As bytes: for text, Python imports its codec of international names.
        name = host.encode("ascii")
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return None
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


class ConnectThreads:
    """
    Threads that exist only while there are calls to make.

    They are daemons and never joined: a look-up that hangs must delay neither `aclose` nor the exit
    of the interpreter, as the threads of `concurrent.futures` would.

    Args:
        limit: Most threads at a time, while none of them hangs.
        relief_seconds: Seconds that a call waits for one of them before another one is started.
        most: Most threads at all.
    """

    def __init__(
        self,
        limit: int = MAX_THREADS,
        *,
        relief_seconds: float = RELIEF_SECONDS,
        most: int = MOST_THREADS,
    ) -> None:
        self._limit = limit
        self._relief_seconds = relief_seconds
        self._most = most
        self._running = 0
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def call(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """
        Make a call in a thread; the future belongs to the running loop.

        It fails with `EAGAIN` if the system has no thread for it.
        """
        loop = running_loop()
        future: Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = function(*args)
            except BaseException as exc:  # raised where the future is awaited
                _settle(loop, future, None, exc)
            else:
                _settle(loop, future, result, None)

        self._calls.put(run)
        try:
            if not self._start(self._limit):
                relief = loop.call_later(self._relief_seconds, self._relieve)
                future.add_done_callback(lambda _: relief.cancel())
        except (RuntimeError, MemoryError) as exc:
            self._refuse(future, exc)
        return future

    def _start(self, limit: int) -> bool:
        """Start a thread unless there are `limit`; return whether it was started."""
        with self._lock:
            if self._running >= limit:
                return False
            self._running += 1
        try:
            threading.Thread(target=self._work, name="asyncbatch-dns", daemon=True).start()
        except (RuntimeError, MemoryError):
            with self._lock:
                self._running -= 1
            raise
        return True

    def _relieve(self) -> None:
        """Start another thread, if calls still wait for one."""
        if not self._calls.empty():
            with contextlib.suppress(RuntimeError, MemoryError):
                self._start(self._most)

    def _refuse(self, future: Future[Any], error: Exception) -> None:
        """Fail the last call, unless a running thread will make it."""
        with self._lock:
            if self._running:
                return
            call = self._calls.get_nowait()
        if "interpreter shutdown" in str(error):
            # No thread can be started any more (Python 3.12). While the program exits, a look-up in
            # the event loop blocks hardly anything.
            call()
            return
        future.set_exception(OSError(errno.EAGAIN, str(error)))

    def _work(self) -> None:
        while True:
            # Under the lock, so that the last thread leaves no call behind.
            with self._lock:
                if self._calls.empty():
                    self._running -= 1
                    return
                call = self._calls.get_nowait()
            call()


def _settle(
    loop: EventLoop,
    future: Future[T],
    result: T | None,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if error is not None:
            future.set_exception(error)
            future.exception()  # marks it as retrieved: the waiting task may have been cancelled
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only with an error

    while True:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop was closed, so that no task waits
        except MemoryError:  # tasks wait for the future, and this thread for memory
            time.sleep(MEMORY_SECONDS)
        else:
            return


class Resolver:
    """
    Resolves names for one engine.

    Args:
        look_up: Asks the system; called in a thread.
        threads: Where it is called.
        clock: A monotonic clock.
    """

    def __init__(
        self,
        look_up: LookUp = look_up,
        *,
        threads: ConnectThreads | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._threads = ConnectThreads() if threads is None else threads
        self._clock = clock
        # Oldest first, since all answers are kept equally long.
        self._cache: OrderedDict[tuple[str, int], tuple[float, list[Address]]] = OrderedDict()
        self._running: dict[tuple[str, int], Future[list[Address]]] = {}
        # Addresses that did not answer, and until when they are sorted last; oldest first.
        self._silent: OrderedDict[Address, float] = OrderedDict()

    async def resolve(self, host: str, port: int) -> list[Address]:
        """
        Return the addresses of a name, at least one, in the order of the system.

        Those that did not answer a short while ago come last.

        Raises:
            ResolveFailed: There is none, or the name is not valid.
        """
        known = self.known(host, port)
        if known is not None:
            return known
        key = (host, port)
        running = self._running.get(key)
        if running is None or running.get_loop() is not running_loop():
            running = self._threads.call(self._look_up, host, port)
            self._running[key] = running
            running.add_done_callback(lambda future: self._keep(key, future))
        try:
            # Shielded: a cancelled caller must not take the answer from the others.
            addresses = await shielded(running)
        except (OSError, UnicodeError) as exc:
            raise ResolveFailed(f"{host!r} cannot be resolved: {exc}") from exc
        return self._in_order(addresses)

    def known(self, host: str, port: int) -> list[Address] | None:
        """Return the addresses of a name that was resolved a short while ago; otherwise `None`."""
        cached = self._cache.get((host, port))
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        return None

    def forget(self, host: str, port: int) -> None:
        """Drop the cached addresses of a name, since none of them answered."""
        self._cache.pop((host, port), None)

    def note_silent(self, host: str, port: int, addresses: Iterable[Address]) -> None:
        """Sort addresses of a name last for a while, since they did not answer in time."""
        until = self._clock() + CACHE_SECONDS
        for address in addresses:
            self._silent.pop(address, None)
            self._silent[address] = until
            if len(self._silent) > MAX_CACHED_NAMES:
                self._silent.popitem(last=False)
        cached = self._cache.get((host, port))
        if cached is not None:
            self._cache[host, port] = (cached[0], self._in_order(cached[1]))

    def _in_order(self, addresses: list[Address]) -> list[Address]:
        if not self._silent:
            return addresses[:MAX_ADDRESSES]
        now = self._clock()
        in_order = sorted(addresses, key=lambda one: self._silent.get(one, now) > now)
        return in_order[:MAX_ADDRESSES]

    def _keep(self, key: tuple[str, int], future: Future[list[Address]]) -> None:
        if self._running.get(key) is future:
            del self._running[key]
        if future.cancelled() or future.exception() is not None:
            return
        addresses = self._in_order(future.result())
        self._cache.pop(key, None)
        self._cache[key] = (self._clock() + CACHE_SECONDS, addresses)
        if len(self._cache) > MAX_CACHED_NAMES:
            self._cache.popitem(last=False)
