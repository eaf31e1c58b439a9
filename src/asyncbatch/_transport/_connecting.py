"""
Connecting a socket to an address, on any event loop.

Not by `loop.sock_connect`: uvloop's looks the address up once more, in a thread of libuv's. That
is a detour for each connection, and those threads make a forked child that exits die of SIGSEGV.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from typing import Any

CAN_WATCH = os.name != "nt"
"""Whether event loops can watch a socket; that of Windows cannot, and looks nothing up either."""

_UNFINISHED = (errno.EINPROGRESS, errno.EALREADY)


def begin(sock: socket.socket, address: tuple[Any, ...]) -> bool:
    """
    Begin to connect a non-blocking TCP socket to an address that is resolved.

    Returns:
        Whether it is connected; else `finish` has to be awaited.

    Raises:
        OSError: it cannot be reached.
    """
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS and sys.platform == "linux":
        # To this host the handshake is over when the first call returns, whatever that says. To
        # ask again takes 0.4 us, and spares a turn of the event loop.
        error = sock.connect_ex(address)
    if error in _UNFINISHED:
        return False
    if error not in (0, errno.EISCONN):
        raise OSError(error, f"Connect call failed {address}")
    return True


async def finish(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """
    Wait until a socket is connected that has begun to.

    Raises:
        OSError: it cannot be reached.
    """
    await _until_writable(asyncio.get_running_loop(), sock.fileno())
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, f"Connect call failed {address}")


async def connect(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """
    Connect a non-blocking TCP socket to an address that is resolved.

    Raises:
        OSError: it cannot be reached.
    """
    if not CAN_WATCH:
        await asyncio.get_running_loop().sock_connect(sock, address)
    elif not begin(sock, address):
        await finish(sock, address)


async def _until_writable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    writable = loop.create_future()

    def wake() -> None:
        if not writable.done():
            writable.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await writable
    finally:
        loop.remove_writer(descriptor)
