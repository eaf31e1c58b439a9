"""
From a connected socket to a connection that receives from it, encrypted or not.

By transports of our own where the sockets can be watched for them, else by the event loop's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING

from asyncbatch._transport._connection import Connection
from asyncbatch._transport._errors import ConnectFailed
from asyncbatch._transport._loop_transport import LoopTransport
from asyncbatch._transport._socket import SocketTransport
from asyncbatch._transport._tls import TLSTransport

if TYPE_CHECKING:
    from asyncbatch._transport._pool import Pool


def attach_nowait(pool: Pool, sock: socket.socket) -> Connection | None:
    """
    Put a connection on a plain socket, or return None where the event loop has to.

    Raises:
        ConnectFailed: It cannot be watched, for want of a descriptor; the socket is closed.
    """
    if not _can_have_sockets(pool):
        return None
    connection = Connection(pool, sock)
    try:
        transport = SocketTransport(pool.loop, pool.watch, sock, connection, pool.buffer)
        connection.use(transport)
    except OSError as exc:
        sock.close()
        connection.close()
        raise ConnectFailed(f"the connection cannot be watched: {exc}") from exc
    return connection


async def attach(pool: Pool, sock: socket.socket) -> Connection:
    """Have the event loop put a connection on a plain socket."""
    connection = Connection(pool, sock)
    await _attach_by_loop(pool, connection, sock)
    return connection


async def attach_tls(
    pool: Pool,
    sock: socket.socket,
    context: ssl.SSLContext,
    server_name: str,
    encrypted: memoryview,
) -> Connection:
    """
    Shake hands on a socket, and put a connection on it.

    Args:
        pool: whose connection it is.
        sock: connected; it is closed if the handshake fails.
        context: for the handshake.
        server_name: to ask for, and to find in the certificate.
        encrypted: what to receive into before it is decrypted; nobody keeps anything there.

    Raises:
        OSError, ValueError: the handshake failed.
    """
    connection = Connection(pool, sock)
    if not _can_have_sockets(pool):
        await _attach_by_loop(pool, connection, sock, context, server_name)
        return connection
    try:
        tls = TLSTransport(pool.loop, context, server_name, connection, pool.buffer)
        transport = SocketTransport(pool.loop, pool.watch, sock, tls, encrypted)
    except BaseException:
        sock.close()
        raise
    tls.begin(transport)
    await tls.wait_until_used()
    return connection


async def _attach_by_loop(
    pool: Pool,
    connection: Connection,
    sock: socket.socket,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> None:
    loop = pool.loop
    transport = LoopTransport(connection, pool.buffer)
    inode = _inode(sock)
    try:
        await loop.create_connection(
            lambda: transport, sock=sock, ssl=context, server_hostname=server_name
        )
    except BaseException:
        # The event loop closes the socket of a connection that it could not make. uvloop's does
        # not say that it is gone if it was given up in here; asyncio's does in two turns.
        connection.close()
        loop.call_soon(loop.call_soon, connection.connection_lost, None)
        raise
    finally:
        # uvloop 0.23 leaves the number of what it has closed in the socket object, where the
        # peer was quick to reset. Its end would close whoever has been given that number since.
        if sock.fileno() >= 0 and _inode(sock) != inode:
            sock.detach()


def _can_have_sockets(pool: Pool) -> bool:
    """Say whether sockets of our own can be watched."""
    # uvloop's `add_reader` does not call for a reset that comes behind bytes that have been read,
    # an epoll does; the loop of Windows has no `add_reader`.
    return pool.watch.can_look or isinstance(pool.loop, asyncio.SelectorEventLoop)


def _inode(sock: socket.socket) -> int:
    """Return what tells an open socket from another one with the same number; 0 for none."""
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return 0
