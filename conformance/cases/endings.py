"""
Connections that end, or are reset, at every point of a message.
"""

from __future__ import annotations

from conformance._case import Case, Reuse
from conformance._expected import fails
from conformance._steps import Close, Reset

from ._make import CHUNKED, OK, cut, reset

_SOURCE = "Go TestTransportServerClosingUnexpectedly, TestIncompleteChunk; curl test 1665"

# What the response is made of, and what a client that has got so far may call it.
_HEADS = {
    "before any byte": b"",
    "behind one byte": b"H",
    "within the protocol": b"HTT",
    "within the version": b"HTTP/1.",
    "behind the version": b"HTTP/1.1",
    "within the status": b"HTTP/1.1 20",
    "behind the status": b"HTTP/1.1 200",
    "within the reason": b"HTTP/1.1 200 O",
    "within the first line end": b"HTTP/1.1 200 OK\r",
    "behind the first line": OK,
    "within a name": OK + b"Content-Le",
    "behind a colon": OK + b"Content-Length:",
    "within a value": OK + b"Content-Length: 1",
    "within the line end of a field": OK + b"Content-Length: 5\r",
    "behind a field": OK + b"Content-Length: 5\r\n",
    "within the empty line": OK + b"Content-Length: 5\r\n\r",
}
_BODIES = {
    "behind the head": OK + b"Content-Length: 5\r\n\r\n",
    "within the body": OK + b"Content-Length: 5\r\n\r\nhel",
    "before the last byte": OK + b"Content-Length: 5\r\n\r\nhell",
    "within a chunk": CHUNKED + b"5\r\nhel",
    "between two chunks": CHUNKED + b"2\r\nhi\r\n",
    "before the last line end": CHUNKED + b"2\r\nhi\r\n0\r\n",
}
_UNTIL_END = {
    "behind the head of a body until the end": OK + b"\r\n",
    "within a body until the end": OK + b"\r\nhello",
    "within a body until the end in HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "within a body until the end, with close": OK + b"Connection: close\r\n\r\nhello",
}

CASES: tuple[Case, ...] = (
    *(cut(f"an end {where}", _SOURCE, wire, "protocol") for where, wire in _HEADS.items()),
    *(cut(f"an end {where}", _SOURCE, wire, "truncated") for where, wire in _BODIES.items()),
    *(reset(f"a reset {where}", _SOURCE, wire, "protocol") for where, wire in _HEADS.items()),
    *(reset(f"a reset {where}", _SOURCE, wire, "truncated") for where, wire in _BODIES.items()),
    *(
        reset(f"a reset {where}", "a reset never ends a body", wire, "truncated")
        for where, wire in _UNTIL_END.items()
    ),
    Case(
        name="an end at once",
        source="Go TestTransportServerClosingUnexpectedly",
        script=(Close(),),
        expected=fails("protocol", "connect"),
        reuse=Reuse.MUST_NOT,
    ),
    Case(
        name="a reset at once",
        source="curl test 160",
        script=(Reset(),),
        expected=fails("protocol", "connect"),
        reuse=Reuse.MUST_NOT,
    ),
)
