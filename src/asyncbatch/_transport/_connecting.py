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
from typing import Any


async def connect(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """
    Connect a non-blocking TCP socket to an address that is resolved.

    Raises:
        OSError: it cannot be reached.
    """
    loop = asyncio.get_running_loop()
    if os.name == "nt":
        # Its event loop cannot watch sockets, and looks nothing up.
        await loop.sock_connect(sock, address)
        return
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        await _until_writable(loop, sock.fileno())
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, f"Connect call failed {address}")


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
