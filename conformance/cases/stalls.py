"""
Servers that stop in the middle, and servers that are slow, but in time.
"""

from __future__ import annotations

from conformance._case import Case, Request, Reuse
from conformance._expected import fails
from conformance._steps import Pause, ReadRequest, Send

from ._make import CHUNKED, EMPTY, HI, OK, valid

_DEADLINE = "Go TestClientTimeout; curl test 303; httpx #1450"
_IMPATIENT = Request(timeout=0.3)

_STALLS = {
    "before any byte": b"",
    "within the first line": b"HTTP/1.1 20",
    "behind the first line": OK,
    "within a field": OK + b"Content-Le",
    "before the empty line": OK + b"Content-Length: 5\r\n",
    "within the empty line": OK + b"Content-Length: 5\r\n\r",
    "behind 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "behind the head": OK + b"Content-Length: 5\r\n\r\n",
    "within the body": OK + b"Content-Length: 5\r\n\r\nhel",
    "within a body until the end": OK + b"\r\nhello",
    "within a body until the end, in HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "within a chunk size": CHUNKED + b"5",
    "within a chunk": CHUNKED + b"5\r\nhel",
    "behind a chunk": CHUNKED + b"5\r\nhello\r\n",
    "behind the last chunk": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "within a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nX:",
    "within the body of a redirect": b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 5\r\n\r\nh",
    "within the body of an error": b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\nhe",
}


def _drip(wire: bytes, pause: float) -> tuple[Send | Pause | ReadRequest, ...]:
    steps: list[Send | Pause | ReadRequest] = [ReadRequest()]
    for start in range(0, len(wire), 8):
        steps += [Send(wire[start : start + 8], cut=False), Pause(pause)]
    return tuple(steps)


CASES: tuple[Case, ...] = (
    *(
        Case(
            name=f"a stall {where}",
            source=_DEADLINE,
            script=(ReadRequest(), Send(wire, cut=False)),
            request=_IMPATIENT,
            expected=fails("timeout"),
            reuse=Reuse.MUST_NOT,
        )
        for where, wire in _STALLS.items()
    ),
    Case(
        name="an answer that comes too late",
        source="Go TestClientTimeoutKillsConn_BeforeHeaders",
        script=(ReadRequest(), Pause(1.5), Send(OK + HI)),
        request=_IMPATIENT,
        expected=fails("timeout"),
        reuse=Reuse.MUST_NOT,
    ),
    Case(
        name="a body that comes too late",
        source="Go TestClientTimeoutKillsConn_AfterHeaders",
        script=(ReadRequest(), Send(OK + b"Content-Length: 2\r\n\r\n"), Pause(1.5), Send(b"hi")),
        request=_IMPATIENT,
        expected=fails("timeout"),
        reuse=Reuse.MUST_NOT,
    ),
    Case(
        name="bytes that come one by one past the time limit",
        source="Slowloris; httpx #1450: each read in time, and the whole is not",
        script=_drip(OK + b"X: " + b"y" * 400 + b"\r\n" + EMPTY, 0.02),
        request=_IMPATIENT,
        expected=fails("timeout"),
        needs=frozenset({"total_timeout"}),
        reuse=Reuse.MUST_NOT,
    ),
    valid("an answer that comes late, in time", _DEADLINE, b"", b"hi", Pause(0.2), Send(OK + HI)),
    valid(
        "a body that comes late, in time",
        _DEADLINE,
        OK + b"Content-Length: 2\r\n\r\n",
        b"hi",
        Pause(0.2),
        Send(b"hi"),
    ),
    valid(
        "a head in two late halves",
        _DEADLINE,
        OK + b"Content-Le",
        b"hi",
        Pause(0.1),
        Send(b"ngth: 2\r\n\r\nhi"),
    ),
    valid(
        "a late last byte",
        _DEADLINE,
        OK + b"Content-Length: 2\r\n\r\nh",
        b"hi",
        Pause(0.1),
        Send(b"i"),
    ),
)
