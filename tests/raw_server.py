"""A server that sends exactly the bytes it is told to, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio

from asyncbatch._engine import Origin
from asyncbatch._engine._event_loop import running_loop
from tests import aio
from tests.waiting import SECONDS_TO_COME_TRUE, text_of, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection, as its script sees it."""

    def __init__(self, server: Server, reader: aio.StreamReader, writer: aio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.number = server.connections

    async def read_request(self) -> bytes:
        """Read one request with its body; raises `EOFError` when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        body = b""
        if b"transfer-encoding: chunked" in lowered:
            while not body.endswith(b"0\r\n\r\n"):
                body += await self.reader.readuntil(b"\r\n")
        elif b"content-length:" in lowered:
            length = lowered.split(b"content-length:")[1].split(b"\r\n")[0]
            body = await self.reader.readexactly(int(length))
        self.server.requests.append(head + body)
        self.server.changed.set()
        return head + body

    async def send(self, *pieces: bytes) -> None:
        """
        Send each piece in a segment of its own.

        Raises:
            ConnectionError: The client closed; uvloop says so in an error of another class.
        """
        for piece in pieces:
            if self.writer.is_closing():
                raise ConnectionResetError
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await aio.sleep(0.001)

    def reset(self) -> None:
        """End the connection with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_closed(self) -> None:
        """Wait until the client closes."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Peer], Awaitable[Any]]


class Server:
    """What the scripts have seen so far."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.changed = aio.Event()
        self.port = 0
        # What ends the scripts under way.
        self.scopes: set[anyio.CancelScope] = set()

    @property
    def origin(self) -> Origin:
        """Where it listens."""
        return Origin(is_tls=False, host="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait until something that the scripts change has come true.

        Raises:
            AssertionError: It did not come true within 30 s, on uvloop.
        """
        loop = running_loop()
        # uvloop drops what the alarm of pytest-timeout raises while it waits. The others do not,
        # and their time may be virtual.
        is_deaf = type(loop).__module__.startswith("uvloop")
        limit = time.monotonic() + SECONDS_TO_COME_TRUE
        alarm = loop.call_later(SECONDS_TO_COME_TRUE + 0.1, self.changed.set) if is_deaf else None
        while not condition():
            assert not is_deaf or time.monotonic() < limit, text_of(condition)
            self.changed.clear()
            await self.changed.wait()
        if alarm is not None:
            alarm.cancel()


@contextlib.asynccontextmanager
async def serve(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Run a script for each connection; a connection ends when its script does."""
    server = Server()

    async def run(reader: aio.StreamReader, writer: aio.StreamWriter) -> None:
        scope = anyio.CancelScope()
        server.scopes.add(scope)
        server.connections += 1
        server.open += 1
        server.changed.set()
        try:
            with scope, contextlib.suppress(EOFError, ConnectionError, ssl.SSLError):
                await script(Peer(server, reader, writer))
        finally:
            server.scopes.discard(scope)
            server.open -= 1
            server.changed.set()
            if tls is None:
                writer.close()
            else:
                writer.transport.abort()

    listener = await aio.start_server(run, host, 0, ssl=tls, backlog=4096)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        # A listener that is closed between accepting a connection and making its transport leaves
        # that open (CPython issue 109564).
        for _ in range(5):
            await aio.sleep(0)
        listener.close()
        for scope in list(server.scopes):
            scope.cancel()
        await until(lambda: not server.scopes)
        await aio.sleep(0.001)


async def answer_all(peer: Peer) -> None:
    """Answer each request with `OK`."""
    while True:
        await peer.read_request()
        await peer.send(OK)


def answers(*responses: bytes) -> Script:
    """Make a script that gives these answers on each connection, and then ends it."""

    async def script(peer: Peer) -> None:
        for response in responses:
            await peer.read_request()
            await peer.send(response)

    return script
