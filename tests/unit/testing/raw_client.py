"""
A client made of a bare socket, so that tests see what the server really sends.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

import anyio

from asyncbatch.testing import LoopbackServer


class RawClient:
    """One connection to a loopback server."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, server: LoopbackServer, host: int = 1) -> AsyncIterator[RawClient]:
        """Connect for the length of the `with`."""
        with socket.socket() as connection:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect((f"127.0.0.{host}", server.port))
            await anyio.wait_writable(connection)
            yield cls(connection)

    async def get(self, target: str = "/", method: str = "GET") -> None:
        """Send a request without a body, and do not wait for the answer."""
        await self.send(f"{method} {target} HTTP/1.1\r\nhost: test\r\n\r\n".encode())

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        while content:
            try:
                content = content[self.socket.send(content) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)

    async def receive(self) -> bytes:
        """Return what has come, waiting for it; empty at a FIN.

        Raises:
            ConnectionResetError: A RST came.
        """
        while True:
            try:
                return self.socket.recv(65_536)
            except BlockingIOError:
                await anyio.wait_readable(self.socket)

    async def receive_until(self, tail: bytes) -> bytes:
        """Return what comes up to and with `tail`, which must be the last that comes."""
        content = b""
        while not content.endswith(tail):
            piece = await self.receive()
            assert piece, f"the server closed after {content!r}"
            content += piece
        return content

    async def receive_all(self) -> tuple[bytes, str]:
        """Return what comes until the connection ends, and how it ends: by FIN or by RST."""
        content = b""
        while True:
            try:
                piece = await self.receive()
            except ConnectionResetError:
                return content, "RST"
            if not piece:
                return content, "FIN"
            content += piece
