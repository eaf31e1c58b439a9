"""
The address policy for what httpcore does in the engine's place (HTTP/2, CONNECT, upgrades, trio).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio

from asyncbatch._transport._addresses import AddressPolicy, parse_address
from asyncbatch._transport._errors import AddressRefused


class CheckedBackend:
    """
    An httpcore network backend that connects to addresses the policy allows, and only to those.

    The name is resolved here, and the address that was checked is what httpcore connects to;
    TLS still verifies the name, which httpcore hands over apart.
    """

    def __init__(self, backend: Any, policy: AddressPolicy, connect_error: type[Exception]) -> None:
        self._backend = backend
        self._policy = policy
        self._connect_error = connect_error

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to the first address of the host that the policy allows."""
        try:
            found = await anyio.getaddrinfo(host, port)
        except OSError as exc:
            raise self._connect_error(str(exc)) from exc
        addresses = [str(sockaddr[0]) for *_, sockaddr in found]
        allowed = [one for one in addresses if self._policy(parse_address(one))]
        if not allowed:
            try:
                raise AddressRefused(
                    f"{host!r} is at {', '.join(sorted({*addresses}))}, not allowed"
                )
            except AddressRefused as exc:
                # Raised where it can be found again: httpcore drops causes, but not contexts.
                raise self._connect_error(str(exc)) from exc
        return await self._backend.connect_tcp(
            allowed[0], port, timeout, local_address, socket_options
        )

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
