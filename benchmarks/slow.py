"""
A server whose answers take as long as their path says: `GET /0.05` is answered after 50 ms.

It waits on the loop's timers and does next to nothing else, so that what a client loses shows.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from typing import cast

from benchmarks.workloads import RESOURCES

_BODY = RESOURCES["json"].content
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)


class SlowProtocol(asyncio.Protocol):
    """One connection, on which one request comes after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            seconds = float(head.split(b" ", 2)[1].strip(b"/").partition(b"?")[0])
            self._loop.call_later(seconds, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def serve(port: int, tls_port: int, certificate: str) -> None:
    """Listen on 20 addresses of the loopback interface, and for TLS on one, until a signal."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # One listener for 127.0.0.0/8 would have to be one for the world: so one for each address.
    servers = [
        await loop.create_server(SlowProtocol, f"127.0.0.{n}", port, backlog=8192)
        for n in range(1, 21)
    ]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    secure = await loop.create_server(
        SlowProtocol, "127.0.0.1", tls_port, backlog=8192, ssl=context
    )
    servers.append(secure)
    await stopped.wait()
    for server in servers:
        server.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
