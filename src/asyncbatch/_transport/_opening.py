"""
Opening a socket to one address, with what the user wants of all of them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from asyncbatch._transport._connecting import begin, connect, finish
from asyncbatch._transport._resolver import Address

SocketOption: TypeAlias = tuple[Any, ...]


class Begun(NamedTuple):
    """A socket that is connected, or on its way."""

    sock: socket.socket
    address: Address
    started: float
    is_connected: bool


class SocketOpener:
    """
    Opens sockets; one that cannot be connected is closed.

    Args:
        local_address: to connect from.
        options: for `setsockopt`, each.
    """

    def __init__(self, local_address: str | None, options: Iterable[SocketOption]) -> None:
        self._local_address = local_address
        self._options = tuple(options)

    def begin(self, address: Address) -> Begun:
        """
        Begin to connect; `finish` has to be awaited unless it is connected at once.

        Raises:
            OSError, OverflowError: it cannot be reached, or there are no such options.
        """
        started = monotonic()
        sock = self._new_socket(address)
        try:
            is_connected = begin(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        return Begun(sock, address, started, is_connected)

    async def finish(self, begun: Begun) -> socket.socket:
        """
        Wait until what was begun, and is not connected yet, is.

        Raises:
            OSError: it cannot be reached.
        """
        try:
            await finish(begun.sock, begun.address.sockaddr)
        except BaseException:
            begun.sock.close()
            raise
        return begun.sock

    async def connect(self, address: Address) -> socket.socket:
        """
        Connect to an address.

        Raises:
            OSError, OverflowError: as `begin`.
        """
        sock = self._new_socket(address)
        try:
            await connect(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        return sock

    def _new_socket(self, address: Address) -> socket.socket:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in self._options:
                sock.setsockopt(*option)
            if self._local_address is not None:
                sock.bind((self._local_address, 0))
        except BaseException:
            sock.close()
            raise
        return sock


async def connect_unix(path: str) -> socket.socket:
    """
    Connect to a Unix domain socket.

    Raises:
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock
