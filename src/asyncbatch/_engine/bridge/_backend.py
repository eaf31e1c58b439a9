"""
Network backends for what httpcore does instead of the engine (CONNECT, upgrades).

One applies the address policy, the other closes connections whose handshake was cancelled.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import anyio

from asyncbatch._engine._errors import AddressRefused
from asyncbatch._engine.connect._addresses import AddressPolicy, allowed_by
from asyncbatch._engine.connect._resolver import without_escape
from asyncbatch._values._timeouts import CLOSE_SECONDS


class CheckedBackend:
    """
    An httpcore network backend that connects only to addresses that the policy allows.

    It resolves the name, and httpcore connects to the address that was checked. TLS still verifies
    the name, which httpcore passes separately.
    """

    def __init__(self, backend: Any, policy: AddressPolicy, core: ModuleType) -> None:
        self._backend = backend
        self._policy = policy
        self._core = core

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to the first address of the host that the policy allows and that answers."""
        options = None if socket_options is None else list(socket_options)
        *others, last = await self._allowed(host, port, timeout)
        for address in others:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, options
                )
            except self._core.ConnectError:
                continue
        return await self._backend.connect_tcp(last, port, timeout, local_address, options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Pass on; a path is no address."""
        return await self._backend.connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Pass on."""
        await self._backend.sleep(seconds)

    async def _allowed(self, host: str, port: int, limit: float | None) -> list[str]:
        try:
            with anyio.fail_after(limit):
                asked = without_escape(host)
                found = await anyio.getaddrinfo(asked, port, type=socket.SOCK_STREAM)
        except TimeoutError as exc:
            raise self._core.ConnectTimeout(f"{host!r} was not resolved in time") from exc
        except (OSError, UnicodeError) as exc:
            raise self._core.ConnectError(str(exc)) from exc
        addresses = [_number(sockaddr) for *_, sockaddr in found]
        try:
            allowed = allowed_by(self._policy, host, addresses)
        except AddressRefused as exc:
            # Raised within the `except` block: httpcore drops causes, but keeps contexts.
            raise self._core.ConnectError(str(exc)) from exc
        return [*itertools.compress(addresses, allowed)]


class TidyBackend:
    """
    An httpcore network backend whose connections are closed when a TLS handshake is cancelled.

    httpcore 1.0 closes them only on an `Exception`. It leaves the socket of a cancelled handshake
    to the garbage collector.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, host: str, *args: Any, **options: Any) -> Any:
        """Connect."""
        stream = await self._backend.connect_tcp(without_escape(host), *args, **options)
        return TidyStream(stream)

    async def connect_unix_socket(self, *args: Any, **options: Any) -> Any:
        """Connect."""
        return TidyStream(await self._backend.connect_unix_socket(*args, **options))

    async def sleep(self, seconds: float) -> None:
        """Pass on."""
        await self._backend.sleep(seconds)


class TidyStream:
    """An httpcore network stream that a cancelled handshake closes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # Not wrapped: these are called for each piece of a body.
        self.read = stream.read
        self.write = stream.write
        self.aclose = stream.aclose
        self.get_extra_info = stream.get_extra_info

    async def start_tls(self, *args: Any, **options: Any) -> Any:
        """Begin TLS; close the connection if that fails."""
        try:
            return TidyStream(await self._stream.start_tls(*args, **options))
        except BaseException:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._stream.aclose()
            raise


def _number(sockaddr: tuple[Any, ...]) -> str:
    """Return the numeric address, with its zone, if any: it is not reachable without."""
    zone = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{sockaddr[0]}%{zone}" if zone and "%" not in sockaddr[0] else str(sockaddr[0])
