"""An engine for one test, and requests that are sent by it alone, below every lane."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from asyncbatch._engine import Connector, Engine, Exchange, ExchangeLimits, Origin
from asyncbatch._engine._engine import DEFAULT_LIMITS, take_error
from asyncbatch._engine._exchange import NEVER, Body
from tests.raw_server import Server

STREAMS = ExchangeLimits(streams=True)


@contextlib.asynccontextmanager
async def engine_for(**options: Any) -> AsyncIterator[Engine]:
    """Run an engine for one test."""
    connector = options.pop("connector", None) or Connector(ssl.create_default_context)
    engine = Engine(connector, **options)
    try:
        yield engine
    finally:
        await engine.aclose()


def head_of(
    method: str = "GET", target: str = "/", fields: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Encode a request head."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{n}: {v}" for n, v in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def send_request(
    engine: Engine,
    origin: Origin,
    method: bytes,
    payload: bytes,
    body: Body = None,
    *,
    limits: ExchangeLimits = DEFAULT_LIMITS,
    deadline: float = NEVER,
    closes: bool = False,
) -> Exchange:
    """
    Send a request, and return the exchange: complete or, with `limits.streams`, begun.

    Raises:
        ExchangeError: There is no complete response.
        Exception: A streamed request body raised it.
    """
    exchange = engine.begin(origin, method, payload, body, limits, deadline, closes)
    try:
        await exchange.future
    except BaseException:
        engine.abandon(exchange)
        raise
    # The reader of a streamed body gets its error after the bytes that have arrived.
    if exchange.error is not None and (exchange.head is None or not limits.streams):
        raise take_error(exchange)
    return exchange


async def get(
    engine: Engine, server: Server | Origin, target: str = "/", **options: Any
) -> Exchange:
    """Send a GET, or another method without a body."""
    origin = server.origin if isinstance(server, Server) else server
    method = options.pop("method", "GET")
    return await send_request(engine, origin, method.encode(), head_of(method, target), **options)


async def post(engine: Engine, server: Server, body: bytes = b"body") -> Exchange:
    """Send a POST."""
    head = head_of("POST", "/", [("Content-Length", str(len(body)))])
    return await send_request(engine, server.origin, b"POST", head, body)


async def read_all(stream: AsyncIterable[bytes], body: bytearray | None = None) -> bytes:
    """Read a body to its end, keeping what came in `body` even if it breaks off."""
    body = bytearray() if body is None else body
    async for piece in stream:
        body += piece
    return bytes(body)
