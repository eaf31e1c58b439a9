"""
The floor: the least that a client in Python can do, on asyncio's own protocols and httptools.

One head, encoded once; one receive buffer for all connections; a future for each response. No pool,
no time-out, no check of what it sends, no way to end well when anything goes wrong: it is no
client, but what a client is measured against.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import httptools

from benchmarks.entrant import Fetch, Setting, Unavailable, WrongAnswer

_BUFFER = memoryview(bytearray(256 * 1024))


class FloorProtocol(asyncio.BufferedProtocol):
    """A connection that serves one worker."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._waiter: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._parser.feed_data(_BUFFER[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server has closed"))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(body)

    async def get(self, head: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the body of the response."""
        self._waiter = self._loop.create_future()
        self.transport.write(head)
        body = await self._waiter
        return self._parser.get_status_code(), body


class OneShot(FloorProtocol):
    """A connection for one request, sent when it is open."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self._head = head
        self._waiter = self._loop.create_future()
        self.answer = self._waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._head)

    @property
    def status(self) -> int:
        return int(self._parser.get_status_code())


@asynccontextmanager
async def connecting_floor(setting: Setting) -> AsyncIterator[Fetch]:
    """Open a connection for each request, in as many workers as asked for."""
    url = urlsplit(setting.first_url)
    head = encode(url)
    loop = asyncio.get_running_loop()
    context, content = setting.ssl_context(), setting.content

    async def work(urls: Iterator[str]) -> None:
        for _ in urls:
            transport, protocol = await loop.create_connection(
                lambda: OneShot(head), url.hostname or "", url.port, ssl=context
            )
            body = await protocol.answer
            transport.abort()
            if protocol.status != 200 or body != content:
                raise WrongAnswer(f"status {protocol.status}, {len(body)} bytes")

    async def fetch(urls: Iterable[str]) -> None:
        iterator = iter(urls)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(setting.connections):
                tasks.create_task(work(iterator))

    yield fetch


def encode(url: SplitResult) -> bytes:
    """Return the head of a request for `url`."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (url.path.encode(), url.netloc.encode())


@asynccontextmanager
async def floor_client(setting: Setting) -> AsyncIterator[Fetch]:
    """Open as many connections as asked for, a worker on each."""
    if setting.workload.resource == "close":
        async with connecting_floor(setting) as fetch:
            yield fetch
        return
    if setting.workload.tls or setting.workload.resource != "json":
        raise Unavailable("the floor fetches small JSON alone, and keeps connections without TLS")
    url = urlsplit(setting.first_url)
    head = encode(url)
    loop = asyncio.get_running_loop()
    protocols = [
        (await loop.create_connection(FloorProtocol, url.hostname or "", url.port or 80))[1]
        for _ in range(setting.connections)
    ]

    content = setting.content

    async def work(protocol: FloorProtocol, urls: Iterator[str]) -> None:
        for _ in urls:
            status, body = await protocol.get(head)
            if status != 200 or body != content:
                raise WrongAnswer(f"status {status}, {len(body)} bytes")

    async def fetch(urls: Iterable[str]) -> None:
        iterator = iter(urls)
        async with asyncio.TaskGroup() as tasks:
            for protocol in protocols:
                tasks.create_task(work(protocol, iterator))

    try:
        yield fetch
    finally:
        for protocol in protocols:
            protocol.transport.close()
