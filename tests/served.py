"""Which lane served a request: on the engine, or through the client."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import asyncbatch
from asyncbatch._engine import EngineClosed
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._values._request import plain_url
from asyncbatch._values._timeouts import TimeLimits


def lanes_of(fetcher: asyncbatch.Fetcher) -> list[str]:
    """
    Return the list to which each hop on the engine of `fetcher` adds its lane, from now on.

    A request of a client comes through the pool of its transport. What the engine does not see at
    all (mocks, httpcore) is not in the list.
    """
    client: Any = fetcher.client
    engine = client.own_transport.engine
    begin: Callable[..., Any] = engine.begin
    lanes: list[str] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        exchange = begin(*args, **kwargs)
        caller: str = sys._getframe(1).f_globals["__name__"]
        lanes.append("client" if caller.endswith("._pool_bridge") else "direct")
        if exchange.follow is not None:
            exchange.follow = following(exchange.follow)
        return exchange

    def following(follow: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noting_next(exchange: Any) -> Any:
            renewed = follow(exchange)
            if renewed is not None:
                lanes.append("direct")
            return renewed

        return noting_next

    engine.begin = noting
    return lanes


def close_behind_first(engine: Any) -> None:
    """Have an engine refuse all requests but the first, as a closed one does."""
    begin: Callable[..., Any] = engine.begin
    begun: list[Any] = []

    def refusing(*args: Any, **kwargs: Any) -> Any:
        if begun:
            raise EngineClosed("the engine is closed")
        begun.append(begin(*args, **kwargs))
        return begun[0]

    engine.begin = refusing


def prepared_by(encoder: RequestEncoder, item: Any, limits: TimeLimits) -> PreparedRequest | None:
    """
    Return `item` as the engine sends it; `None` if a client has to.

    Raises:
        Exception: If it cannot be sent at all.
    """
    encoded = encoder.encode(item, plain_url(item), limits)
    return None if encoded is None else PreparedRequest.of(encoded, limits)
