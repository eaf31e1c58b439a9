"""
Adds the fields of a propagator to a request that does not have them.

`Spans` decides the context, and the hosts that get it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from asyncbatch._values._fields import ASCII_VALUE, TOKEN

# Fields that no propagator may set: they say where a request goes, where it ends, and whose it is.
_FRAMING = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "expect"),
        *("authorization", "proxy-authorization", "cookie"),
    }
)
_BAGGAGE = "baggage"


def allowed_fields(
    injected: dict[str, str], names: Iterable[str], present: Container[str]
) -> list[tuple[str, str]]:
    """
    Return the fields that may be added to a request which has some already.

    A trace is told by several fields at once, so that all of them are the caller's if one is, also
    one that would not be set here, as `tracestate` often is not. The baggage stands alone.

    Args:
        injected: The fields of the propagator, for this request.
        names: The names of all fields that the propagator may set.
        present: The names of the fields that the request has, in lower case.
    """
    fields = [
        (name, value)
        for name, value in injected.items()
        if TOKEN.fullmatch(name) and ASCII_VALUE.fullmatch(value) and name.lower() not in _FRAMING
    ]
    # Every request has fields of its framing, so they say nothing about the trace.
    of_trace = {name.lower() for name in (*injected, *names)} - {_BAGGAGE} - _FRAMING
    is_taken = any(name in present for name in of_trace)
    return [
        (name, value)
        for name, value in fields
        if not (name.lower() in present if name.lower() == _BAGGAGE else is_taken)
    ]
