"""
The server of the soak test, in a process of its own: good answers and every kind of bad one.

Run it as `python -m soak.server`: it prints its port, and ends with its standard input. It listens
on `HOSTS` addresses of the loopback network, so that a fault on one does not slow all.

Not that of the tests: the soak test runs without them, and an `asyncio.Protocol` takes little of
the machine that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

HOSTS = 5
SMALL = b'{"id": 1234, "ok": 1}'
LARGE = bytes(range(256)) * 256
TEXT = SMALL * 50
SLOW_SECONDS = 2.0


def addresses() -> list[str]:
    """Return the addresses it listens on; all of 127/8 is this machine, on Linux."""
    return [f"127.0.0.{number}" for number in range(1, HOSTS + 1)]


def _response(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _chunked(body: bytes, size: int = 1000) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


_ZIPPED = gzip.compress(TEXT, mtime=0)
_GZIP = b"Content-Encoding: gzip"
_ANSWERS = {
    b"good": _response(SMALL, b"Content-Type: application/json"),
    b"large": _response(LARGE),
    b"chunked": _chunked(TEXT),
    b"gzip": _response(_ZIPPED, _GZIP),
    b"redirect": _response(b"", b"Location: /good", status=b"302 Found"),
    b"cookie": _response(SMALL, b"Set-Cookie: a=b; Max-Age=0"),
    b"missing": _response(b"not here", status=b"404 Not Found"),
    b"busy": _response(b"busy", status=b"503 Service Unavailable"),
    b"surplus": _response(SMALL) + b"HTTP/1.1 200 OK\r\n",
}
_LAST_WORDS = {
    b"cut": _response(LARGE)[:5000],
    b"cut-gzip": _response(_ZIPPED[:-20], _GZIP),
    b"garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
    b"silent": b"",
}


class _Peer(asyncio.Protocol):
    """One connection; a request is small, and comes in one piece."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set on connecting
        self._pending = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while True:
            request, end, rest = self._pending.partition(b"\r\n\r\n")
            if not end:
                return
            self._pending = rest
            self._answer(request.split(b" ", 2)[1].lstrip(b"/").partition(b"?")[0])

    def _answer(self, kind: bytes) -> None:
        if (answer := _ANSWERS.get(kind)) is not None:
            self._transport.write(answer)
        elif (words := _LAST_WORDS.get(kind)) is not None:
            self._transport.write(words)
            self._transport.close()
        else:
            self._acts[kind](self)

    def _reset(self) -> None:
        if self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _reset_in_body(self) -> None:
        self._transport.write(_response(LARGE)[:20_000])
        asyncio.get_running_loop().call_later(0.01, self._reset)

    def _delay(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SLOW_SECONDS, self._transport.write, _ANSWERS[b"good"])

    _acts: dict[bytes, Callable[[_Peer], None]] = {  # noqa: RUF012  # by name, of this class alone
        b"reset": _reset,
        b"reset-body": _reset_in_body,
        b"slow": _delay,
    }


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    port = 0
    servers = []
    for address in addresses():
        server = await loop.create_server(_Peer, address, port, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        servers.append(server)
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


def _runner() -> Callable[..., None]:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run
    return asyncio.run


if __name__ == "__main__":
    _runner()(_serve())
