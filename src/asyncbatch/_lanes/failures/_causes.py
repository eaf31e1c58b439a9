"""
What exceptions came of, and what single causes mean. Decides only.
"""

from __future__ import annotations

import socket
import ssl

from asyncbatch._engine import causes_of

# getaddrinfo's answers that asking again does not change. Platforms differ in which they have.
_PERMANENT_DNS = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}


def is_permanent(cause: BaseException) -> bool:
    """Whether `cause` is a name that does not exist, or a certificate that does not verify."""
    if isinstance(cause, socket.gaierror):
        return cause.errno in _PERMANENT_DNS
    return isinstance(cause, ssl.SSLCertVerificationError)


_WIRE_PROTOCOLS = {"h11", "h2"}

# What they say of a connection that is in no state to do what is asked.
_WRONG_STATE = (
    "Invalid input ",
    "can't handle event type ",
    "Can't send data when our state ",
    "not in a reusable state",
)


def is_of_connection(error: BaseException, *, sending: bool) -> bool:
    """
    Whether what h11 or h2 calls our mistake is about the connection, and not about the request.

    Args:
        error: A client's error about the local side, with its causes.
        sending: Whether the head of the request was being sent: what h2 refuses in it, it has no
            exception of its own for.
    """
    for cause in causes_of(error):
        if type(cause).__module__.partition(".")[0] not in _WIRE_PROTOCOLS:
            continue
        if str(cause).startswith(_WRONG_STATE):
            return True
        if type(cause).__module__.startswith("h2."):
            # Streams or flow control that one of the two has miscounted, or what was received.
            return type(cause).__name__ != "ProtocolError" or not sending
    return False


def is_alert(cause: BaseException) -> bool:
    """Whether the peer said over TLS that it does not like us, our certificate perhaps."""
    return isinstance(cause, ssl.SSLError) and "_ALERT_" in (cause.reason or "")
