"""
A proxy that passes every byte on as it comes, in a thread of its own: between a client and a case.

It forwards requests in absolute form, and opens tunnels by CONNECT and SOCKS5. An end is passed on
as it was, a reset as a reset. The tests have a proxy of their own, which does things wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from types import TracebackType
from typing import Self

from ._trust import HOST

SECONDS_TO_STOP = 5.0

_PIECE = 65536
_LONGEST_HEAD = 1 << 24
# The start of a request in absolute form. The client sends one when the last answer has ended, so
# it begins what is received.
_ABSOLUTE = re.compile(rb"\A([A-Z]+ )http://([^/ ?]+)/?", re.IGNORECASE)
_MADE = b"HTTP/1.1 200 Made\r\n\r\n"
_SOCKS_MADE = b"\x05\x00\x00\x01" + bytes(6)
_RESET = struct.pack("ii", 1, 0)


class RelayProxy:
    """The proxy; a context manager, to be entered and left by code that may block for a moment."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=256)
        self.authority = f"{HOST}:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._run, name="relay proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS_TO_STOP)

    def _run(self) -> None:
        try:
            serving = asyncio.start_server(self._serve, sock=self._listener, limit=_LONGEST_HEAD)
            server = self._loop.run_until_complete(serving)
            self._loop.run_forever()
            server.close()
            self._loop.run_until_complete(_end_others())
        finally:
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            try:
                await _connect(reader, writer)
            finally:
                writer.close()


async def _end_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what is asked for, connect, and carry bytes until either side ends."""
    first = await reader.readexactly(1)
    start = b""
    if first == b"\x05":
        host, port = await _asked_by_socks(reader, writer)
        reply = _SOCKS_MADE
    else:
        head = first + await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].split(b" ", 2)
        if method == b"CONNECT":
            authority, reply = target, _MADE
        else:
            found = _ABSOLUTE.match(head)
            if found is None:
                raise ValueError("not in absolute form")
            authority, reply, start = found[2], b"", _in_origin_form(head)
        name, _, digits = authority.decode().partition(":")
        host, port = name, int(digits or 80)
    upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
    try:
        writer.write(reply)
        upstream_writer.write(start)
        tasks = [
            asyncio.ensure_future(_carry(reader, upstream_writer, is_request=not reply)),
            asyncio.ensure_future(_carry(upstream_reader, writer)),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if tasks[1] in ended and isinstance(tasks[1].exception(), ConnectionResetError):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
    finally:
        upstream_writer.close()


async def _asked_by_socks(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[str, int]:
    (count,) = await reader.readexactly(1)
    await reader.readexactly(count)
    writer.write(b"\x05\x00")
    *_, kind = await reader.readexactly(4)
    if kind == 3:
        (length,) = await reader.readexactly(1)
        host = (await reader.readexactly(length)).decode("ascii")
    else:
        host = socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
    return host, int.from_bytes(await reader.readexactly(2))


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool = False
) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(_in_origin_form(piece) if is_request else piece)
        await writer.drain()


def _in_origin_form(piece: bytes) -> bytes:
    return _ABSOLUTE.sub(rb"\1/", piece)
