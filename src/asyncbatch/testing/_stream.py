"""
One accepted TCP connection, plain or under TLS, on asyncio and trio.

It uses a bare socket, because `anyio.abc.SocketStream` cannot send a RST, or a FIN alone under TLS:
its `aclose()` shuts the connection down first. The bytes to send are decided elsewhere.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio

T = TypeVar("T")

RECEIVE_SIZE = 65_536


class ServerStream(Protocol):
    """A connection. If it is lost, sending raises an `OSError`, and receiving ends."""

    async def handshake(self) -> None:
        """Make the connection ready. Call it before anything else."""

    async def receive(self) -> bytes:
        """Wait for bytes and return them; empty if the client has closed."""
        ...

    async def send(self, content: bytes) -> None:
        """Send all of it."""

    async def finish(self) -> None:
        """Send a FIN and read until the client's, so that unread bytes cause no RST."""

    def close(self) -> None:
        """Close in good order, without waiting. Closing again does nothing."""

    def cut(self) -> None:
        """Send a FIN only, without a close_notify."""

    def reset(self) -> None:
        """Send a RST."""


class PlainStream:
    """A connection without TLS. Owns its socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    async def handshake(self) -> None:
        """Do nothing: TCP has made the connection ready."""

    async def receive(self) -> bytes:
        """Wait for bytes and return them; empty if the client has closed."""
        while True:
            try:
                return self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            except ConnectionError:
                return b""

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        rest = memoryview(content)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    def send_nowait(self, content: bytes) -> None:
        """Send as much as the socket takes at once, and drop the rest."""
        with contextlib.suppress(OSError):
            self._socket.send(content)

    async def finish(self) -> None:
        """Send a FIN and read until the client's, so that unread bytes cause no RST."""
        self._socket.shutdown(socket.SHUT_WR)
        while await self.receive():
            pass

    def close(self) -> None:
        """Close in good order, without waiting. Closing again does nothing."""
        # Closing with unread bytes would send a RST (RFC 1122, section 4.2.2.13).
        with contextlib.suppress(OSError):
            self._socket.recv(RECEIVE_SIZE)
        self._socket.close()

    def cut(self) -> None:
        """Send a FIN."""
        self.close()

    def reset(self) -> None:
        """Send a RST."""
        linger = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()


class TLSStream:
    """A connection under TLS. Call `handshake` before anything else."""

    def __init__(self, plain: PlainStream, context: ssl.SSLContext) -> None:
        self._plain = plain
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = True

    async def handshake(self) -> None:
        """Do the TLS handshake.

        Raises:
            OSError: If the client or OpenSSL refuses.
        """
        await self._drive(self._tls.do_handshake)

    async def receive(self) -> bytes:
        """Wait for bytes and return them; empty if the client has closed."""
        try:
            return await self._drive(lambda: self._tls.read(RECEIVE_SIZE))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        if content:
            await self._drive(lambda: self._tls.write(content))

    async def finish(self) -> None:
        """Send a close_notify and a FIN, and read until the client's."""
        self._say_goodbye()
        await self._plain.finish()

    def close(self) -> None:
        """Close in good order, without waiting. Closing again does nothing."""
        self._say_goodbye()
        self._plain.close()

    def cut(self) -> None:
        """Send a FIN without a close_notify."""
        self._is_open = False
        self._plain.cut()

    def reset(self) -> None:
        """Send a RST."""
        self._is_open = False
        self._plain.reset()

    def _say_goodbye(self) -> None:
        """Send a close_notify, once, without waiting for the client's."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(OSError):
            self._tls.unwrap()
        self._plain.send_nowait(self._outgoing.read())

    async def _drive(self, step: Callable[[], T]) -> T:
        """Repeat a step of OpenSSL until it has all the bytes that it needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._plain.send(self._outgoing.read())
                content = await self._plain.receive()
                if content:
                    self._incoming.write(content)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                # Sends the alert that names the reason.
                self._plain.send_nowait(self._outgoing.read())
                raise
            else:
                await self._plain.send(self._outgoing.read())
                return result
