"""
What exceptions came of, and what single causes mean. Decides only.
"""

from __future__ import annotations

import socket
import ssl

# getaddrinfo's answers that asking again does not change. Platforms differ in which they have.
_PERMANENT_DNS = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}


def is_permanent(cause: BaseException) -> bool:
    """Whether `cause` is a name that does not exist, or a certificate that does not verify."""
    if isinstance(cause, socket.gaierror):
        return cause.errno in _PERMANENT_DNS
    return isinstance(cause, ssl.SSLCertVerificationError)


def is_alert(cause: BaseException) -> bool:
    """Whether the peer said over TLS that it does not like us, our certificate perhaps."""
    return isinstance(cause, ssl.SSLError) and "_ALERT_" in (cause.reason or "")
