"""
What exceptions came of, and what single causes mean. Decides only.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

# getaddrinfo's answers that asking again does not change. Platforms differ in which they have.
_PERMANENT_DNS = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}

# What this machine has run out of: descriptors, ports, threads, memory.
_EXHAUSTED = {
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.EADDRNOTAVAIL,
    errno.ENOBUFS,
    errno.ENOMEM,
}


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and everything that it came of, each once."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending.extend(link for link in (cause.__cause__, cause.__context__) if link is not None)


def is_exhausted(cause: BaseException) -> bool:
    """Whether `cause` says that this machine has run out of something."""
    # The numbers of getaddrinfo's errors are others.
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in _EXHAUSTED


def is_permanent(cause: BaseException) -> bool:
    """Whether `cause` is a name that does not exist, or a certificate that does not verify."""
    if isinstance(cause, socket.gaierror):
        return cause.errno in _PERMANENT_DNS
    return isinstance(cause, ssl.SSLCertVerificationError)


def is_alert(cause: BaseException) -> bool:
    """Whether the peer said over TLS that it does not like us, our certificate perhaps."""
    return isinstance(cause, ssl.SSLError) and "_ALERT_" in (cause.reason or "")
