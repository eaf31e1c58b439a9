"""
Classification of single causes of an exception. Pure.
"""

from __future__ import annotations

import socket
import ssl

from asyncbatch._engine import causes_of

# Answers of getaddrinfo that do not change when it is asked again. Not all platforms have both.
_PERMANENT_DNS = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)
}


def is_permanent(cause: BaseException) -> bool:
    """Whether `cause` is a name that does not exist, or a certificate that does not verify."""
    if isinstance(cause, socket.gaierror):
        return cause.errno in _PERMANENT_DNS
    return isinstance(cause, ssl.SSLCertVerificationError)


_WIRE_PROTOCOLS = {"h11", "h2"}

# How their messages begin when the state of the connection does not allow an action.
_WRONG_STATE = (
    "Invalid input ",
    "can't handle event type ",
    "Can't send data when our state ",
    "not in a reusable state",
)


def is_of_connection(error: BaseException, *, sending: bool) -> bool:
    """
    Whether a local mistake that h11 or h2 reports is about the connection, not the request.

    Args:
        error: A client's error about the local side, with its causes.
        sending: Whether the head of the request was being sent. h2 has no exception of its own for
            a head that it refuses.
    """
    for cause in causes_of(error):
        if type(cause).__module__.partition(".")[0] not in _WIRE_PROTOCOLS:
            continue
        if str(cause).startswith(_WRONG_STATE):
            return True
        if type(cause).__module__.startswith("h2."):
            # One side has miscounted streams or flow control, or what was received is wrong.
            return type(cause).__name__ != "ProtocolError" or not sending
    return False


def is_alert(cause: BaseException) -> bool:
    """Whether the peer refused us by a TLS alert, for example because of our certificate."""
    return isinstance(cause, ssl.SSLError) and "_ALERT_" in (cause.reason or "")
