"""
From a connected socket to a transport that moves bytes over it, encrypted or not.

By transports of our own where the sockets can be watched for them, else by the event loop's.
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
    Puts transports on sockets, on one event loop.

    A socket that is given to it is closed with the transport, or where there is none in the end.

    Args:
        loop: the event loop.
        watch: says which sockets have something to read.
        buffer: what transports receive into, or decrypt into; nobody keeps anything there.
        closing: has to know of the event loop's own transports.
    """

    def __init__(
        self,
        loop: EventLoop,
        watch: Watch,
        buffer: memoryview,
        closing: Closing,
    ) -> None:
        self._loop = loop
        self._watch = watch
        self.buffer = buffer
        self._closing = closing
        # uvloop's `add_reader` does not call for a reset that comes behind bytes that have been
        # read, an epoll does; the loop of Windows has no `add_reader`.
        # Whether the bytes are moved here; else the event loop does it, on a transport of its own.
        self.can_watch = (
            watch.can_look
            or isinstance(loop, asyncio.SelectorEventLoop)
            or not isinstance(loop, asyncio.AbstractEventLoop)
        )

    def attach_nowait(self, sock: socket.socket) -> Transport | None:
        """Put a transport on a socket, or return None where the event loop has to."""
        if not self.can_watch:
            return None
        return SocketTransport(self._loop, self._watch, sock, self.buffer)

    async def attach(self, sock: socket.socket) -> Transport:
        """Put a transport on a socket."""
        return self.attach_nowait(sock) or await self._attach_by_loop(sock)

    async def attach_tls(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_name: str,
        encrypted: memoryview,
    ) -> Transport:
        """
        Shake hands on a socket, and put a transport on it.

        Args:
            sock: the socket.
            context: for the handshake.
            server_name: to ask for, and to find in the certificate.
            encrypted: what to receive into before it is decrypted; nobody keeps anything there.

        Raises:
            OSError, ValueError: the handshake failed.
        """
        if not self.can_watch:
            return await self._attach_by_loop(sock, context, server_name)
        try:
            tls = TLSTransport(self._loop, context, server_name, self.buffer)
            lower = SocketTransport(self._loop, self._watch, sock, encrypted)
            lower.deliver_to(tls)
        except BaseException:
            sock.close()
            raise
        tls.begin(lower)
        await tls.wait_until_verified()
        return tls

    async def attach_tls_in_tunnel(
        self, lower: Transport, context: ssl.SSLContext, server_name: str
    ) -> Transport:
        """
        Shake hands over a transport that leads to a server through a proxy.

        What the transport receives from now on is the server's.

        Raises:
            OSError, ValueError: the handshake failed; the transport is closed.
        """
        try:
            tls = TLSTransport(self._loop, context, server_name, self.buffer)
            lower.deliver_to(tls)
        except BaseException:
            lower.abort()
            raise
        tls.begin(lower)
        await tls.wait_until_verified()
        return tls

    def listen_to(self, transport: Transport) -> Replies:
        """
        Receive from a transport here, until it is given another owner.

        Raises:
            OSError: it cannot be watched.
        """
        replies = Replies(self._loop)
        transport.deliver_to(replies)
        return replies

    async def _attach_by_loop(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Transport:
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        transport = LoopTransport(self.buffer, poll_of(sock), self._closing)
        inode = _inode(sock)
        try:
            await loop.create_connection(
                lambda: transport, sock=sock, ssl=context, server_hostname=server_name
            )
        except BaseException:
            # The event loop closes the socket of a connection that it could not make. uvloop's does
            # not say that it is gone if it was given up in here; asyncio's does in two turns.
            transport.abort()
            loop.call_soon(loop.call_soon, self._closing.transport_lost, transport)
            raise
        finally:
            # uvloop 0.23 leaves the number of what it has closed in the socket object, where the
            # peer was quick to reset. Its end would close whoever has been given that number since.
            if sock.fileno() >= 0 and _inode(sock) != inode:
                sock.detach()
        return transport


def _inode(sock: socket.socket) -> int:
    """Return what tells an open socket from another one with the same number; 0 for none."""
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return 0
