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
        return exchange

    engine.begin = noting
    return lanes
