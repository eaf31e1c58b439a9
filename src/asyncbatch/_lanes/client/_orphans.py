"""
Pool places that a cancellation left taken for ever, connections that have lost count, and the
release of both.

httpcore 1.0 loses the place of a request that is cancelled between being assigned a connection and
opening it, and natively cancelled (`asyncio.wait_for`, `TaskGroup`) while it gives one back
(encode/httpcore#1093, #658, #830). No scope of ours can prevent the latter, because a native
cancellation reaches into shielded scopes. What is lost can be told: a connection of the pool that
no request refers to, and that is neither idle nor closed.

Over HTTP/2 it forgets to reset the streams that it gives up (encode/httpcore#1022). The connection
goes on counting them, and in the end serves nobody. That can be told, too: more streams are open
than requests are under way on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import anyio

from asyncbatch._values._timeouts import CLOSE_SECONDS


async def release_orphans(client: Any) -> None:
    """
    Give back the places in the client's pools that nobody holds any more.

    And let connections that have lost count serve nobody any more, but to the end those who are
    on them. Call it where requests were cancelled, or broke. What is not laid out as in httpcore is
    left alone.
    """
    for pool in _pools(client):
        # Between the look and the removal there is no await, so that no request can be assigned.
        orphans = [*_orphans(pool), *_retired(pool)]
        if not orphans:
            continue
        for connection in orphans:
            pool._connections.remove(connection)
        closing = pool._assign_requests_to_connections()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for connection in (*orphans, *closing):
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
    """Take connections that have lost count out of use, and yield those that nobody is on."""
    for connection in pool._connections:
        http2 = connection
        while http2 is not None and not hasattr(http2, "_h2_state"):
            http2 = getattr(http2, "_connection", None)
        under_way = getattr(http2, "_events", None)
        if http2 is None or not isinstance(under_way, dict) or connection.is_closed():
            continue
        if http2._h2_state.open_outbound_streams > len(under_way):
            # Whoever leaves it last closes it then.
            http2._used_all_stream_ids = True
            if not under_way and connection.is_idle():
                yield connection


def _orphans(pool: Any) -> Iterator[Any]:
    held = {id(getattr(request, "connection", None)) for request in pool._requests}
    for connection in pool._connections:
        if id(connection) not in held and not (connection.is_idle() or connection.is_closed()):
            yield connection
