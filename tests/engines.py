"""An engine for one test, and requests that are sent by it alone, below every lane."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from asyncbatch._engine import Connector, Engine, Exchange, ExchangeLimits, Origin
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


async def get(
    engine: Engine, server: Server | Origin, target: str = "/", **options: Any
) -> Exchange:
    """Send a GET, or another method without a body."""
    origin = server.origin if isinstance(server, Server) else server
    method = options.pop("method", "GET")
    return await engine.exchange(origin, method.encode(), head_of(method, target), **options)


async def post(engine: Engine, server: Server, body: bytes = b"body") -> Exchange:
    """Send a POST."""
    head = head_of("POST", "/", [("Content-Length", str(len(body)))])
    return await engine.exchange(server.origin, b"POST", head, body)


async def read_all(stream: AsyncIterable[bytes], body: bytearray | None = None) -> bytes:
    """Read a body to its end, keeping what came in `body` even if it breaks off."""
    body = bytearray() if body is None else body
    async for piece in stream:
        body += piece
    return bytes(body)
