"""
`Protocols`: whether an origin is spoken to by HTTP/1.1 or by HTTP/2.

Over TLS the server chooses by ALPN (RFC 7301); without, only prior knowledge leads to HTTP/2.
"""

from __future__ import annotations

import ssl

from asyncbatch._engine._exchange import Origin
from asyncbatch._engine.io._transport import Transport

HTTP11 = ["http/1.1"]
"""The protocols that are offered to proxies, by ALPN."""

MOST_HTTP11_ONLY = 1_000
"""Origins that are known to require HTTP/1.1; one that is forgotten says so again."""


class Protocols:
    """
    The protocols of one engine.

    Args:
        http1: Whether HTTP/1.1 may be spoken. Without it, every connection speaks HTTP/2, with any
            server, and also without TLS.
        http2: Whether HTTP/2 may be spoken; over TLS, the server decides.
    """

    def __init__(self, *, http1: bool, http2: bool) -> None:
        self._http1 = http1 or not http2
        self._http2 = http2
        # Offered to origins. If anything else were offered, servers would speak it.
        self._offered = ["h2"] * self._http2 + HTTP11 * self._http1
        # Origins whose servers have said that they require HTTP/1.1, the newest last.
        self._http11_only: dict[Origin, None] = {}

    def offered_to(self, origin: Origin) -> list[str]:
        """Return the protocols that are offered to an origin by ALPN."""
        return HTTP11 if origin in self._http11_only else self._offered

    def may_speak_http2(self, origin: Origin) -> bool:
        """Whether a connection to an origin may turn out to speak HTTP/2."""
        return self._may_offer_http2(origin) and origin not in self._http11_only

    def speaks_http2(self, transport: Transport, origin: Origin) -> bool:
        """Whether the server at the other end of a transport speaks HTTP/2."""
        if not self._may_offer_http2(origin):
            return False
        tls = transport.get_extra_info("ssl_object") if self._http1 else None
        return not self._http1 or (
            isinstance(tls, ssl.SSLObject) and tls.selected_alpn_protocol() == "h2"
        )

    def require_http11(self, origin: Origin) -> bool:
        """Offer an origin HTTP/1.1 only from now on; return whether that may be spoken at all."""
        if self._http1:
            if len(self._http11_only) >= MOST_HTTP11_ONLY:
                del self._http11_only[next(iter(self._http11_only))]
            self._http11_only[origin] = None
        return self._http1

    def _may_offer_http2(self, origin: Origin) -> bool:
        if not self._http2 or origin.is_forwarded:
            return False
        return origin.is_tls or not self._http1
