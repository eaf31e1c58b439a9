"""
The client that a fetcher makes for itself: httpx's, on our transport.

A subclass that overrides no method but `_init_transport`, because `transport=` would switch off
the proxies of the environment (httpx 0.28); those stay httpx's own transports, as mounts.
"""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any

import httpx

from asyncbatch._lanes._cookies import keep_sendable
from asyncbatch._transport import AddressPolicyTypes, HTTPTransport


class OwnClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` on an `HTTPTransport`."""

    def __init__(self, *, addresses: AddressPolicyTypes = None, **options: Any) -> None:
        self._addresses: AddressPolicyTypes = addresses
        self.own_transport: HTTPTransport | None = None
        super().__init__(**options)
        # A jar of the caller's own keeps what it likes.
        if not isinstance(options.get("cookies"), CookieJar):
            keep_sendable(self.cookies.jar)
        if addresses is not None:
            self._refuse_detours()

    def _init_transport(  # type: ignore[override]  # httpx passes all of it by keyword
        self, transport: Any = None, **options: Any
    ) -> Any:
        if transport is not None:
            return super()._init_transport(transport=transport, **options)
        self.own_transport = HTTPTransport(addresses=self._addresses, **options)
        return self.own_transport

    def _refuse_detours(self) -> None:
        """
        Refuse what would connect without asking `addresses`.

        Raises:
            ValueError: If a proxy, a mount or another transport is in the way.
        """
        detours = [str(pattern.pattern) for pattern, way in self._mounts.items() if way is not None]
        if self.own_transport is None:
            detours.append("transport=")
        if detours:
            raise ValueError(
                f"addresses={self._addresses!r} cannot be kept: {', '.join(detours)} would connect "
                "without it (a proxy, from the environment perhaps: trust_env=False ignores that)"
            )
