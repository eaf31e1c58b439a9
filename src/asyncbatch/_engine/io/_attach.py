"""
`Attacher`: makes a transport for a connected socket, plain or with TLS.

The transport of a socket is our own where that can be watched, and elsewhere the event loop's. TLS
is always our own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import cast

from asyncbatch._engine._event_loop import EventLoop
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._loop_transport import LoopTransport
from asyncbatch._engine.io._readiness import Watch, poll_of
from asyncbatch._engine.io._replies import Replies
from asyncbatch._engine.io._socket_transport import SocketTransport
from asyncbatch._engine.io._tls_transport import TLSTransport
from asyncbatch._engine.io._transport import Transport


class Attacher:
    """
    Makes the transports of sockets, on one event loop.

    It owns each socket that is passed to it: the transport closes it, and a failed call does, too.

    Args:
        loop: The event loop.
        watch: Tells which sockets can be read from.
        buffer: Shared by all transports, which receive or decrypt into it. No content stays in it.
        closing: Tracks the event loop's own transports until they are closed.
        calls: Makes the calls of our transports; the event loop by default.
    """

    def __init__(
        self,
        loop: EventLoop,
        watch: Watch,
        buffer: memoryview,
        closing: Closing,
        calls: EventLoop | None = None,
    ) -> None:
        self._loop = loop
        self._calls = loop if calls is None else calls
        self._watch = watch
        self.buffer = buffer
        self._closing = closing
        # uvloop's `add_reader` does not report a reset that comes after bytes which were read; an
        # epoll does. The loop of Windows has no `add_reader`.
        # Whether transports of our own are used. Otherwise the event loop makes the transport.
        self.can_watch = (
            watch.can_look
            or isinstance(loop, asyncio.SelectorEventLoop)
            or not isinstance(loop, asyncio.AbstractEventLoop)
        )

    def attach_nowait(self, sock: socket.socket) -> Transport | None:
        """Return a transport for a socket, or `None` if only the event loop can make one."""
        return self._watched(sock, self.buffer) if self.can_watch else None

    def _watched(self, sock: socket.socket, buffer: memoryview) -> Transport:
        try:
            return SocketTransport(self._calls, self._watch, sock, buffer)
        except BaseException:
            sock.close()
            raise

    async def attach(self, sock: socket.socket) -> Transport:
        """Return a transport for a socket."""
        return self.attach_nowait(sock) or await self._attach_by_loop(sock, self.buffer)

    async def attach_tls(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_name: str,
        encrypted: memoryview,
        protocols: list[str],
    ) -> Transport:
        """
        Do the TLS handshake on a socket, and return its transport.

        Args:
            sock: The socket.
            context: The TLS context.
            server_name: The name for SNI, which the certificate must have.
            encrypted: The buffer to receive into before decrypting. No content stays in it.
            protocols: The protocols to offer by ALPN.

        Raises:
            OSError, ValueError: The handshake failed.
        """
        lower: Transport
        if self.can_watch:
            lower = self._watched(sock, encrypted)
        else:
            lower = await self._attach_by_loop(sock, encrypted)
        return await self.attach_tls_over(lower, context, server_name, protocols)

    async def attach_tls_over(
        self, lower: Transport, context: ssl.SSLContext, server_name: str, protocols: list[str]
    ) -> Transport:
        """
        Do the TLS handshake over a transport, as in the tunnel of a proxy.

        From now on, all bytes that the transport receives are the server's.

        Raises:
            OSError, ValueError: The handshake failed; the transport is closed.
        """
        try:
            tls = TLSTransport(self._calls, context, server_name, self.buffer, protocols)
            lower.deliver_to(tls)
        except BaseException:
            lower.abort()
            raise
        try:
            tls.begin_handshake(lower)
        except BaseException:
            lower.abort()
            raise
        await tls.wait_until_verified()
        return tls

    def listen_to(self, transport: Transport) -> Replies:
        """
        Collect what a transport receives, until another owner is set.

        Raises:
            OSError: The socket cannot be watched.
        """
        replies = Replies(self._loop)
        transport.deliver_to(replies)
        return replies

    async def _attach_by_loop(self, sock: socket.socket, buffer: memoryview) -> Transport:
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        try:
            transport = LoopTransport(self._calls, buffer, poll_of(sock), self._closing)
        except BaseException:
            sock.close()
            raise
        inode = _inode(sock)
        try:
            await loop.create_connection(lambda: transport, sock=sock)
        except BaseException:
            # The event loop closes the socket if `create_connection` fails. When it is cancelled,
            # uvloop does not call `connection_lost`, and asyncio takes two turns to do so.
            transport.abort()
            loop.call_soon(loop.call_soon, self._closing.transport_lost, transport)
            raise
        finally:
            # If the peer resets early, uvloop 0.23 closes the descriptor but leaves its number in
            # the socket object. The finalizer of that object would close a later socket with this
            # number.
            if sock.fileno() >= 0 and _inode(sock) != inode:
                sock.detach()
        return transport


def _inode(sock: socket.socket) -> int:
    """Return a number that tells two sockets with the same descriptor apart; 0 if it is closed."""
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return 0
