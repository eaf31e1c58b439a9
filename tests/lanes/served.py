"""Which lane served a request: on the engine, or through the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncbatch


def lanes_of(fetcher: asyncbatch.Fetcher) -> list[str]:
    """
    Return the list to which each hop on the engine of `fetcher` adds its lane, from now on.

    The direct lane asks for whole responses, a client reads its own as they come. What the engine
    does not see at all (mocks, proxies, trio) is not in the list.
    """
    client: Any = fetcher.client
    engine = client.own_transport.engine
    begin: Callable[..., Any] = engine.begin
    lanes: list[str] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        exchange = begin(*args, **kwargs)
        lanes.append("client" if exchange.terms.streams else "direct")
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
