"""
`SocksBackend`: reads whole replies from SOCKS5 proxies, since httpcore takes each read for one.

A reply in two pieces is valid, and an end within a reply is the proxy's fault. httpcore reports
both as a malformed reply, and leaves the socket open.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import anyio

from asyncbatch._values._timeouts import CLOSE_SECONDS

_VERSION = 5
_WITH_PASSWORD = 2
_ADDRESS_LENGTHS = {1: 4, 4: 16}
_DOMAIN = 3
_LAST_REPLY_CODE = 8
# The address that the proxy has bound is not needed, and some proxies send an unreadable one.
_NO_ADDRESS = b"\x00\x01" + bytes(6)  # an IPv4 address, after a reserved byte


class SocksBackend:
    """
    A network backend for an httpcore pool that uses a SOCKS5 proxy.

    Args:
        backend: Connects to the proxy.
        core: httpcore or httpcore2, whose exceptions are raised.
    """

    def __init__(self, backend: Any, core: ModuleType) -> None:
        self._backend = backend
        self._core = core

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        **options: Any,
    ) -> Any:
        """Connect to the proxy."""
        stream = await self._backend.connect_tcp(host, port, timeout=timeout, **options)
        return SocksStream(stream, self._core, timeout)


class SocksStream:
    """
    An httpcore network stream that reads one reply at a time until the proxy has connected.

    Args:
        stream: The connection to the proxy.
        core: httpcore or httpcore2, whose exceptions are raised.
        limit: Seconds for each reply; httpcore sets no limit for them.
    """

    def __init__(self, stream: Any, core: ModuleType, limit: float | None) -> None:
        self._stream = stream
        self._core = core
        self._limit = limit
        self._received = b""
        # Reads the next reply; `None` when the proxy has connected.
        self._next: Any = self._read_method
        self.write = stream.write
        self.aclose = stream.aclose
        self.get_extra_info = stream.get_extra_info
        self.start_tls = stream.start_tls

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
    ) -> bytes:
        """
        Return the next reply or, after the last one, received bytes.

        Raises:
            ProxyError: The reply is not valid or not complete; the connection is closed.
        """
        if self._next is None:
            if self._received:
                received, self._received = self._received[:max_bytes], self._received[max_bytes:]
                return received
            content: bytes = await self._stream.read(max_bytes, timeout)
            return content
        try:
            reply: bytes = await self._next()
        except BaseException:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._stream.aclose()
            raise
        return reply

    async def _read_method(self) -> bytes:
        reply = await self._read_exactly(2)
        self._check(reply[0] == _VERSION)
        has_password = reply[1] == _WITH_PASSWORD
        self._next = self._read_password_reply if has_password else self._read_connected
        return reply

    async def _read_password_reply(self) -> bytes:
        self._next = self._read_connected
        return await self._read_exactly(2)

    async def _read_connected(self) -> bytes:
        head = await self._read_exactly(4)
        self._check(head[0] == _VERSION and head[1] <= _LAST_REPLY_CODE)
        length = _ADDRESS_LENGTHS.get(head[3])
        if head[3] == _DOMAIN:
            (length,) = await self._read_exactly(1)
        self._check(length is not None)
        await self._read_exactly((length or 0) + 2)
        self._next = None
        if head[1]:
            # httpcore reports the reason, but does not close the connection.
            await self._stream.aclose()
        return head[:2] + _NO_ADDRESS

    async def _read_exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            content: bytes = await self._stream.read(4096, self._limit)
            if not content:
                raise self._core.ProxyError("The SOCKS proxy closed within its handshake")
            self._received += content
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _check(self, is_right: bool) -> None:
        if not is_right:
            raise self._core.ProxyError("The proxy does not answer as a SOCKS5 proxy does")
