"""
Requests that pass a proxy: how they are sent, and how a missing answer is reported.

Only here are credentials for a proxy sent with a request, on connections to the proxy itself. On
connections through a proxy to an origin, they are removed from the request.
"""

from __future__ import annotations

import re

from asyncbatch._engine._errors import ProxyFailed
from asyncbatch._engine._exchange import Exchange, Origin
from asyncbatch._engine.http11 import TruncatedResponse, encode_fields
from asyncbatch._values._proxy import Proxy

_FOR_PROXY = re.compile(rb"\r\nproxy-authorization:[^\r\n]*", re.IGNORECASE)


class ProxiedRequests:
    """
    Rewrites the requests of one connection.

    Args:
        origin: The origin of the requests.
        proxy: The proxy that they pass.
    """

    __slots__ = ("_fields", "_path", "_prefix")

    def __init__(self, origin: Origin, proxy: Proxy) -> None:
        # Makes a request target absolute; `None` in a tunnel.
        self._prefix: bytes | None = None
        self._fields = b""
        # The beginning of a path made absolute, with the space before it.
        self._path = b""
        if origin.is_forwarded:
            name = f"[{origin.host}]" if ":" in origin.host else origin.host
            port = "" if origin.port == 80 else f":{origin.port}"
            self._prefix = f"http://{name}{port}".encode("ascii")
            self._fields = encode_fields(proxy.fields).block[:-2]
            self._path = b" %b/" % self._prefix

    def rewrite(self, payload: bytes) -> bytes:
        """Return a request as it is sent; `payload` begins with its head."""
        if self._prefix is None:
            return self._without_credentials(payload)
        fields = self._fields
        if fields and _FOR_PROXY.search(payload, 0, payload.index(b"\r\n\r\n") + 2):
            fields = b""  # the request has its own
        start = payload.index(b" ")
        if payload.startswith(b" /", start):
            payload = payload.replace(b" /", self._path, 1)
        elif payload.startswith(b" *", start):
            # RFC 9112 §3.2.4: for the whole server, so without a path.
            payload = payload.replace(b" *", b" " + self._prefix, 1)
        return payload.replace(b"\r\n", b"\r\n" + fields, 1) if fields else payload

    def _without_credentials(self, payload: bytes) -> bytes:
        end = payload.index(b"\r\n\r\n") + 2
        if _FOR_PROXY.search(payload, 0, end) is None:
            return payload
        return _FOR_PROXY.sub(b"", payload[:end]) + payload[end:]


def as_proxys_fault(error: Exception, exchange: Exchange) -> Exception:
    """
    Return an error of an exchange as it is, or as that of the proxy that forwarded the request.

    A proxy that closes without a byte of an answer has not asked the origin, or does not say how
    the origin answered: a correct proxy would answer 502.
    """
    origin = exchange.origin
    if not (origin.is_forwarded and isinstance(error, TruncatedResponse)):
        return error
    if exchange.first_byte_at or error.received:
        return error
    assert origin.route is not None
    fault = ProxyFailed(origin.route.label, str(error), is_unsent=not exchange.send_at)
    fault.__cause__ = error
    return fault
