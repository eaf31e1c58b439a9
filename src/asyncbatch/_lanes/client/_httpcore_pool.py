"""
Repair the connection pool of httpcore 1.0 from outside: admission, capacity, leaked places.

Each part names the fault that it repairs and the versions that have it, and can be removed with
them. Our own engine uses none of this.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, TypeVar

import anyio

from asyncbatch._engine import is_stock_pool
from asyncbatch._lanes.client._conditions import is_all_httpx
from asyncbatch._runtime._slots import Slots
from asyncbatch._values._timeouts import CLOSE_SECONDS

R = TypeVar("R")

ADMISSION_TIMEOUT = 1.0
"""
Seconds that a request waits to be admitted.

After that it enters the pool anyway: the caller's own requests may hold every connection, and a
request can get one only from httpcore's queue.
"""

FEW_REQUESTS = 16
"""
How many requests of a pool may be in progress for `take_assigned`.

Each request makes httpcore look at every connection twice. With more requests in progress, that
costs more than the turns of the event loop which the next request would wait for its admission.
"""

ASSUMED_CAPACITY = 100
"""httpx's own default, for transports whose limit is unknown."""


class Admission:
    """
    Admits requests to a pool one at a time, until each has a connection; first come, first served.

    httpcore assigns a connection some turns of the event loop before the request takes it. Until
    then it assigns the same connection to other requests. All but the first are sent back, scan
    every connection of the pool again, and may starve after newcomers. At 100 connections this
    takes longer than all the rest of a request, httpx's part included. httpcore2 marks a connection
    as taken when it assigns it; `take_assigned` does so for httpcore.
    """

    def __init__(self) -> None:
        self._free = anyio.Semaphore(1, fast_acquire=True)

    def admit_nowait(self) -> Admitted | None:
        """Admit a request if no other one is before it; else return `None`."""
        try:
            self._free.acquire_nowait()
        except anyio.WouldBlock:
            return None
        return Admitted(self._free)

    async def admit(self) -> Admitted | None:
        """
        Wait until the request before has a connection, for at most `ADMISSION_TIMEOUT`.

        Returns:
            To be ended as soon as this request has a connection; `None` after the timeout.
        """
        with anyio.move_on_after(ADMISSION_TIMEOUT):
            await self._free.acquire()
            return Admitted(self._free)
        return None


class Admitted:
    """A request that has been admitted, and has no connection yet."""

    __slots__ = ("_free",)

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free: anyio.Semaphore | None = free

    def admit_next(self) -> None:
        """Admit the next request; a second call does nothing."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


class Entering(Awaitable[R]):
    """
    An awaitable that calls a function when it first waits, and is passed on unchanged.

    Args:
        sending: The awaitable.
        on_wait: The function.
    """

    __slots__ = ("_on_wait", "_sending")

    def __init__(self, sending: Awaitable[R], on_wait: Callable[[], object]) -> None:
        self._sending = sending
        self._on_wait = on_wait

    def __await__(self) -> Generator[Any, Any, R]:
        steps: Any = self._sending.__await__()
        result: R
        try:
            waited_for = next(steps)
            self._on_wait()
            while True:
                try:
                    value = yield waited_for
                except BaseException as error:
                    waited_for = steps.throw(error)
                else:
                    # That of asyncio; from here on, no step comes through this function.
                    if value is None:
                        break
                    waited_for = steps.send(value)
        except StopIteration as end:
            result = end.value
        else:
            result = yield from steps
        return result


def take_assigned(pool: Any, trace: object) -> bool:
    """
    Take the connection that a pool has just assigned to a request, so that no other one gets it.

    httpcore assigns connections that are idle, and a request may use its own as well if that is in
    the state of a new one. If the request is cancelled before it does, `release_leaked` finds the
    connection.

    Args:
        pool: A pool of httpcore's own for HTTP/1.1.
        trace: The extension `trace` of the request, by which it is found.

    Returns:
        Whether the request has a connection; `False` if more than `FEW_REQUESTS` are in progress,
        or if the pool is not laid out as in httpcore 1.0 (since 1.0.3).
    """
    try:
        if len(pool._requests) > FEW_REQUESTS:
            return False
        newest = pool._requests[-1]
        if newest.request.extensions.get("trace") is not trace or newest.connection is None:
            return False
        connection = newest.connection._connection
        if connection is not None and connection.is_idle():
            connection._state = type(connection._state).NEW
            connection._expire_at = None
    except (AttributeError, IndexError):
        return False
    return True


_admissions: weakref.WeakKeyDictionary[Any, Admission] = weakref.WeakKeyDictionary()
_slots: weakref.WeakKeyDictionary[Any, Slots] = weakref.WeakKeyDictionary()


def admission_of(client: Any) -> Admission | None:
    """
    Return the one `Admission` to the pools of `client`.

    Returns:
        `None` unless all pools are httpcore's own for plain HTTP/1.1. With a tunnel or HTTP/2, a
        request may wait, without an event, for a connection that another one opens; a mock has no
        events at all. Also `None` if code that is not httpx's is before the pool: other requests
        must not wait for it.
    """
    mounts = getattr(client, "_mounts", None) or {}
    mounted = [transport for transport in mounts.values() if transport is not None]
    transports = (getattr(client, "_transport", None), *mounted)
    if not all(is_stock_pool(getattr(transport, "_pool", None)) for transport in transports):
        return None
    if not is_all_httpx(client, transports):
        return None
    admission = _admissions.get(client)
    if admission is None:
        admission = _admissions[client] = Admission()
    return admission


def capacity_of(client: Any) -> int | None:
    """
    Return how many connections the smallest pool of `client` may hold.

    Returns:
        `None` if no transport has a known pool (a mock, an ASGI application).
    """
    mounts = getattr(client, "_mounts", None) or {}
    transports = [getattr(client, "_transport", None), *mounts.values()]
    pools = [getattr(transport, "_pool", None) for transport in transports if transport is not None]
    sizes = [getattr(pool, "_max_connections", ASSUMED_CAPACITY) for pool in pools if pool]
    return min(sizes) if sizes else None


def slots_of(client: Any, capacity: int) -> Slots:
    """
    Return the slots that all batches on `client` share, as many as its pool holds connections.

    A request that waits inside httpcore's pool may hit the pool timeout, and one that is cancelled
    there leaks its place (encode/httpcore#1093). So no request enters that would have to wait,
    however many batches share the client.
    """
    slots = _slots.get(client)
    if slots is None:
        slots = _slots[client] = Slots(capacity)
    return slots


async def release_leaked(client: Any) -> None:
    """
    Free the places in the client's pools that no request holds any more.

    httpcore 1.0 leaks the place of a request that is cancelled after a connection is assigned to it
    and before that is open, or natively cancelled (`asyncio.wait_for`, `TaskGroup`) while it gives
    one back (encode/httpcore#1093, #658, #830). No scope of ours can prevent the latter, because a
    native cancellation reaches into shielded scopes. A leaked connection can be recognized: no
    request refers to it, and it is neither idle nor closed. `leave_pool` removes a request that
    still refers to one.

    Over HTTP/2, httpcore does not reset the streams that it gives up (encode/httpcore#1022). The
    connection goes on counting them, and in the end accepts no request. This can be recognized too:
    it has more open streams than requests in progress. Such a connection gets no new requests, and
    finishes those that it has.

    Call this after requests were cancelled or broke. A pool with another layout than httpcore's is
    left alone.
    """
    for pool in _pools(client):
        # No await between the search and the removal, so no request can be assigned meanwhile.
        if leaked := [*_leaked(pool), *_retired(pool)]:
            await _remove(pool, leaked)


async def leave_pool(response: Any) -> None:
    """
    Take the request of a closed `response` out of its pool, if it is still in there.

    httpcore 1.0 marks the body as closed before it removes the request, and does not remove it if a
    native cancellation comes in between. Then the dead request holds its connection, so that
    `release_leaked` does not find it. A response from anywhere else is left alone.
    """
    try:
        body = response.stream._stream._httpcore_stream
        pool, request = body._pool, body._pool_request
        if not body._closed or request not in pool._requests:
            return
        pool._requests.remove(request)
        leaked = list(_leaked(pool))
    except AttributeError:
        return
    await _remove(pool, leaked)


async def _remove(pool: Any, connections: list[Any]) -> None:
    """Remove connections from a pool, assign its free places, and close what must be closed."""
    for connection in connections:
        pool._connections.remove(connection)
    closing = pool._assign_requests_to_connections()
    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
        for connection in (*connections, *closing):
            with contextlib.suppress(Exception):
                await connection.aclose()


def _pools(client: Any) -> Iterator[Any]:
    mounts = getattr(client, "_mounts", None) or {}
    for transport in (getattr(client, "_transport", None), *mounts.values()):
        pool = getattr(transport, "_pool", None)
        lists = (getattr(pool, "_connections", None), getattr(pool, "_requests", None))
        assigns = hasattr(pool, "_assign_requests_to_connections")
        if assigns and all(isinstance(held, list) for held in lists):
            yield pool


def _retired(pool: Any) -> Iterator[Any]:
    """Retire HTTP/2 connections that have lost count, and yield those without a request."""
    for connection in pool._connections:
        http2 = connection
        while http2 is not None and not hasattr(http2, "_h2_state"):
            http2 = getattr(http2, "_connection", None)
        under_way = getattr(http2, "_events", None)
        if http2 is None or not isinstance(under_way, dict) or connection.is_closed():
            continue
        if http2._h2_state.open_outbound_streams > len(under_way):
            # Makes httpcore close the connection after its last request.
            http2._used_all_stream_ids = True
            if not under_way and connection.is_idle():
                yield connection


def _leaked(pool: Any) -> Iterator[Any]:
    held = {id(getattr(request, "connection", None)) for request in pool._requests}
    for connection in pool._connections:
        if id(connection) not in held and not (connection.is_idle() or connection.is_closed()):
            yield connection
