"""
`SocketOpener`: connects sockets to addresses, with the options of the transport.

`loop.sock_connect` is not used: uvloop's resolves the address again, in a thread of libuv. That is
a detour for each connection, and with these threads a forked child dies of SIGSEGV when it exits.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from asyncbatch._engine._event_loop import EventLoop, Future, running_loop
from asyncbatch._engine.connect._resolver import Address

CAN_WATCH = os.name != "nt"
"""Whether event loops can watch a socket; that of Windows cannot, but looks nothing up either."""

# Where the system makes a socket non-blocking, that is one system call less.
_NON_BLOCKING: int = getattr(socket, "SOCK_NONBLOCK", 0)

_UNFINISHED = (errno.EINPROGRESS, errno.EALREADY)

SocketOption: TypeAlias = tuple[Any, ...]


class StartedConnect(NamedTuple):
    """A socket that is connected or connecting."""

    sock: socket.socket
    address: Address
    started: float
    is_connected: bool


class SocketOpener:
    """
    Opens sockets; closes those that cannot be connected.

    Args:
        local_address: The local address of each socket.
        options: Arguments of `setsockopt` for each socket.
    """

    def __init__(self, local_address: str | None, options: Iterable[SocketOption]) -> None:
        self._local_address = local_address
        self._options = tuple(options)

    def begin_connect(self, address: Address) -> StartedConnect:
        """
        Begin to connect; await `finish_connect` unless it is connected at once.

        Raises:
            OSError, OverflowError: The address cannot be reached, or an option is not valid.
        """
        started = monotonic()
        sock = self._new_socket(address)
        try:
            is_connected = begin_connect(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        return StartedConnect(sock, address, started, is_connected)

    async def finish_connect(self, begun: StartedConnect) -> socket.socket:
        """
        Wait until a socket from `begin_connect` is connected.

        Raises:
            OSError: The address cannot be reached.
        """
        try:
            await finish_connect(begun.sock, begun.address.sockaddr)
        except BaseException:
            begun.sock.close()
            raise
        return begun.sock

    async def connect(self, address: Address) -> socket.socket:
        """
        Connect to an address.

        Raises:
            OSError, OverflowError: As `begin_connect`.
        """
        sock = self._new_socket(address)
        try:
            await connect_socket(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        return sock

    def _new_socket(self, address: Address) -> socket.socket:
        sock = socket.socket(address.family, socket.SOCK_STREAM | _NON_BLOCKING)
        try:
            if not _NON_BLOCKING:
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
        OSError: No server listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


def begin_connect(sock: socket.socket, address: tuple[Any, ...]) -> bool:
    """
    Begin to connect a non-blocking TCP socket to a resolved address.

    Returns:
        Whether it is connected; if not, await `finish_connect`.

    Raises:
        OSError: The address cannot be reached.
    """
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS and sys.platform == "linux":
        # To this host, the handshake is complete when the first call returns, even with an error.
        # A second call costs 0.4 µs, and saves a turn of the event loop.
        error = sock.connect_ex(address)
    if error in _UNFINISHED:
        return False
    if error not in (0, errno.EISCONN):
        raise OSError(error, f"Connect call failed {address}")
    return True


async def finish_connect(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """
    Wait until a connecting socket is connected.

    Raises:
        OSError: The address cannot be reached.
    """
    await _until_writable(running_loop(), sock.fileno())
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, f"Connect call failed {address}")


async def connect_socket(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """
    Connect a non-blocking TCP socket to a resolved address.

    Raises:
        OSError: The address cannot be reached.
    """
    if not CAN_WATCH:
        await running_loop().sock_connect(sock, address)
    elif not begin_connect(sock, address):
        await finish_connect(sock, address)


async def _until_writable(loop: EventLoop, descriptor: int) -> None:
    writable: Future[None] = loop.create_future()

    def wake() -> None:
        if not writable.done():
            writable.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await writable
    finally:
        loop.remove_writer(descriptor)
