"""
What may follow on a connection: keep-alive in every spelling, bytes behind a response, and
responses that nobody asked for.
"""

from __future__ import annotations

from conformance._case import Case, Request, Reuse
from conformance._expected import either, fails, ok
from conformance._steps import (
    Close,
    HalfClose,
    Pause,
    ReadRequest,
    Reset,
    Send,
    UntilOutcome,
    answer,
)

from ._make import CHUNKED, EMPTY, HI, OK, closing, valid

_PERSISTENCE = "RFC 9112 §9.3"
_EXTRA = "RFC 9112 §6.3: extra data is never a response"
_UNASKED = "undici GHSA-35p6-xmwp-9g52; aiohttp #13656"
EVIL = OK + b"Content-Length: 4\r\n\r\nEVIL"
OLD = b"HTTP/1.0 200 OK\r\n"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

KEEPING: tuple[Case, ...] = (
    valid("keep-alive", _PERSISTENCE, OK + b"Connection: keep-alive\r\n" + HI, b"hi"),
    valid("Keep-Alive", _PERSISTENCE, OK + b"Connection: Keep-Alive\r\n" + HI, b"hi"),
    valid("KEEP-ALIVE", _PERSISTENCE, OK + b"CONNECTION: KEEP-ALIVE\r\n" + HI, b"hi"),
    valid("an empty connection field", _PERSISTENCE, OK + b"Connection:\r\n" + HI, b"hi"),
    valid("connection: a comma", "RFC 9110 §5.6.1.2", OK + b"Connection: ,\r\n" + HI, b"hi"),
    valid("closed is not close", _PERSISTENCE, OK + b"Connection: closed\r\n" + HI, b"hi"),
    valid("close within a word", _PERSISTENCE, OK + b"Connection: x-close-y\r\n" + HI, b"hi"),
    valid(
        "Proxy-Connection: close",
        "RFC 9112 §C.2.2",
        OK + b"Proxy-Connection: close\r\n" + HI,
        b"hi",
        keeps=None,
    ),
    valid(
        "keep-alive with parameters",
        "RFC 2068 §19.7.1",
        OK + b"Connection: keep-alive\r\nKeep-Alive: timeout=5, max=100\r\n" + HI,
        b"hi",
    ),
    valid(
        "a keep-alive of 0 seconds",
        "RFC 2068 §19.7.1",
        OK + b"Keep-Alive: timeout=0\r\n" + HI,
        b"hi",
        keeps=None,
    ),
    valid(
        "a keep-alive of nonsense",
        "undici test/client-keep-alive.js",
        OK + b"Keep-Alive: timeout=never, max=x\r\n" + HI,
        b"hi",
    ),
    valid(
        "a keep-alive of minus one",
        "undici test/client-keep-alive.js",
        OK + b"Keep-Alive: timeout=-1\r\n" + HI,
        b"hi",
    ),
    valid(
        "a keep-alive of ages",
        "undici test/client-keep-alive.js",
        OK + b"Keep-Alive: timeout=99999999999999999999\r\n" + HI,
        b"hi",
    ),
    valid(
        "HTTP/1.0 that keeps", "RFC 9112 §C.2.2", OLD + b"Connection: keep-alive\r\n" + HI, b"hi"
    ),
    valid(
        "HTTP/1.0 that keeps, in capitals",
        "RFC 9112 §C.2.2",
        OLD + b"Connection: Keep-Alive\r\n" + HI,
        b"hi",
    ),
    valid("close", "RFC 9112 §9.6", OK + b"Connection: close\r\n" + HI, b"hi", keeps=False),
    valid("Close", "RFC 9112 §9.6", OK + b"Connection: Close\r\n" + HI, b"hi", keeps=False),
    valid("CLOSE", "RFC 9112 §9.6", OK + b"Connection: CLOSE\r\n" + HI, b"hi", keeps=False),
    valid(
        "close between blanks",
        "RFC 9110 §5.6.1",
        OK + b"Connection: \t close \t\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "keep-alive, close",
        "Go issue 8840",
        OK + b"Connection: keep-alive, close\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "close, keep-alive",
        "Go issue 8840",
        OK + b"Connection: close, keep-alive\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "keep-alive and close in two fields",
        "Go issue 8840",
        OK + b"Connection: keep-alive\r\nConnection: close\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "close and keep-alive in two fields",
        "Go issue 8840",
        OK + b"Connection: close\r\nConnection: keep-alive\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "close within a list",
        "RFC 9110 §7.6.1",
        OK + b"Connection: x,close ,y\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "close behind empty elements",
        "RFC 9110 §5.6.1.2",
        OK + b"Connection: ,,close\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid("HTTP/1.0 does not keep", _PERSISTENCE, OLD + HI, b"hi", keeps=False),
    valid(
        "HTTP/1.0 with close", _PERSISTENCE, OLD + b"Connection: close\r\n" + HI, b"hi", keeps=False
    ),
    valid(
        "HTTP/1.0, keep-alive and close",
        _PERSISTENCE,
        OLD + b"Connection: keep-alive, close\r\n" + HI,
        b"hi",
        keeps=False,
    ),
    valid(
        "close, and no more said",
        "hackney #884",
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        keeps=False,
    ),
    closing("an end that was not announced", "RFC 9112 §9.5", OK + HI, b"hi"),
    valid(
        "an end a little later",
        "RFC 9112 §9.5",
        OK + HI,
        b"hi",
        UntilOutcome(),
        Close(),
        keeps=False,
    ),
    valid(
        "half an end a little later",
        "hyper: half-closed",
        OK + HI,
        b"hi",
        UntilOutcome(),
        HalfClose(),
        keeps=False,
    ),
    valid(
        "a reset a little later",
        "urllib3: connection reset on reuse",
        OK + HI,
        b"hi",
        UntilOutcome(),
        Reset(),
        keeps=False,
    ),
    valid(
        "a reset right behind an answer",
        "Go TestTransportServerClosingUnexpectedly",
        OK + HI,
        b"hi",
        Reset(),
        keeps=False,
    ),
    valid(
        "a reset right behind chunks",
        "Go TestTransportServerClosingUnexpectedly",
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
        b"hi",
        Reset(),
        keeps=False,
    ),
)


def _followed(what: str, behind: bytes, source: str = _EXTRA) -> tuple[Case, ...]:
    """Make the cases of bytes behind a response, in its segment and in a later one."""
    return (
        valid(f"{what} behind an answer", source, OK + HI + behind, b"hi", keeps=False),
        valid(
            f"{what} behind chunks",
            source,
            CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + behind,
            b"hi",
            keeps=False,
        ),
        valid(f"{what} behind an empty answer", source, OK + EMPTY + behind, b"", keeps=False),
        valid(
            f"{what} on an idle connection",
            _UNASKED,
            OK + HI,
            b"hi",
            UntilOutcome(),
            Send(behind, cut=False),
            keeps=False,
        ),
    )


EXTRA: tuple[Case, ...] = (
    *_followed("a response", EVIL),
    *_followed("a byte", b"x"),
    *_followed("a line end", b"\r\n", "curl: excess found; some servers send it"),
    *_followed("garbage", b"\x00\xff garbage \r\n\r\n"),
    *_followed("408", TIMED_OUT, "Go TestTransportIgnores408"),
    valid(
        "100 behind an answer",
        "Bun PR 37438",
        OK + HI + b"HTTP/1.1 100 Continue\r\n\r\n",
        b"hi",
        keeps=False,
    ),
    valid(
        "100 on an idle connection",
        _UNASKED,
        OK + HI,
        b"hi",
        UntilOutcome(),
        Send(b"HTTP/1.1 100 Continue\r\n\r\n", cut=False),
        keeps=False,
    ),
    valid(
        "half a head on an idle connection",
        _UNASKED,
        OK + HI,
        b"hi",
        UntilOutcome(),
        Send(b"HTTP/1.1 200 OK\r\n", cut=False),
        keeps=False,
    ),
    valid(
        "a response and the end, on an idle connection",
        _UNASKED,
        OK + HI,
        b"hi",
        UntilOutcome(),
        Send(EVIL, cut=False),
        Close(),
        keeps=False,
    ),
    valid("ten responses behind an answer", _EXTRA, OK + HI + EVIL * 10, b"hi", keeps=False),
    valid("60 KiB behind an answer", _EXTRA, OK + HI + b"x" * 60_000, b"hi", keeps=False),
    valid(
        "a response behind close",
        "aiohttp: data after close",
        OK + b"Connection: close\r\n" + HI + EVIL,
        b"hi",
        keeps=False,
    ),
    valid(
        "garbage behind close",
        "llhttp: closed connection; aiohttp loses the answer",
        OK + b"Connection: close\r\n" + HI + b"\x00\x01",
        b"hi",
        keeps=False,
    ),
    valid(
        "a response behind 204",
        "Bun PR 37438",
        b"HTTP/1.1 204 X\r\n\r\n" + EVIL,
        status=204,
        keeps=False,
    ),
    valid(
        "a response behind 304",
        "Bun PR 37438",
        b"HTTP/1.1 304 X\r\n\r\n" + EVIL,
        status=304,
        keeps=False,
    ),
    valid(
        "a response behind HEAD",
        "Bun PR 37438",
        OK + b"Content-Length: 4\r\n\r\n" + EVIL,
        keeps=False,
        request=Request(method="HEAD"),
    ),
    valid(
        "a response behind a trailer", _EXTRA, CHUNKED + b"0\r\nX: y\r\n\r\n" + EVIL, keeps=False
    ),
    valid(
        "a second line end behind chunks",
        _EXTRA,
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n\r\n",
        b"hi",
        keeps=False,
    ),
    valid(
        "a length that is too small",
        "httpx #1474",
        OK + b"Content-Length: 2\r\n\r\nhi there",
        b"hi",
        keeps=False,
    ),
    valid(
        "a length of 0 and a body",
        "httpx #1474",
        OK + b"Content-Length: 0\r\n\r\nEVIL",
        keeps=False,
    ),
    valid(
        "a response behind an error",
        _EXTRA,
        b"HTTP/1.1 500 X\r\n" + HI + EVIL,
        b"hi",
        status=500,
        keeps=False,
    ),
    valid(
        "a response behind a redirect",
        "urllib3 GHSA-38jv-5279-wg99",
        b"HTTP/1.1 302 X\r\nLocation: /next\r\n" + HI + EVIL,
        b"hi",
        status=302,
        keeps=False,
        request=Request(follow_redirects=False),
    ),
    valid(
        "a response, late by 50 ms",
        _UNASKED,
        OK + HI,
        b"hi",
        UntilOutcome(),
        Pause(0.05),
        Send(EVIL, cut=False),
        keeps=False,
    ),
)

_SECOND = (ReadRequest(), Send(OK + HI))
_POST = Request(method="POST", body=b"x")

RACES: tuple[Case, ...] = (
    Case(
        name="a kept connection that ends when it is used",
        source="Go TestRetryRequestsOnError; urllib3 test_recovery_when_server_closes_connection",
        script=((ReadRequest(), Close()), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=2,
    ),
    Case(
        name="a kept connection that is reset when it is used",
        source="Go TestRetryRequestsOnError",
        script=((ReadRequest(), Reset()), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=2,
    ),
    Case(
        name="a kept connection that ends before it is used",
        source="curl test 160",
        script=((Close(),), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that is reset before it is used",
        source="curl test 160",
        script=((Reset(),), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that ends before a POST",
        source="Go shouldRetryRequest",
        script=((Close(),), _SECOND),
        warm=1,
        request=_POST,
        expected=ok(b"hi"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that ends when a POST is sent",
        source="RFC 9110 §9.2.2: a POST is not sent twice",
        script=((ReadRequest(), Close()), _SECOND),
        warm=1,
        request=_POST,
        expected=fails("protocol"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that brings a response before it is used",
        source=_UNASKED,
        script=((Send(EVIL, cut=False),), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that brings 408 and ends",
        source="Go TestTransportIgnores408",
        script=((Send(TIMED_OUT, cut=False), Close()), _SECOND),
        warm=1,
        expected=ok(b"hi"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that ends within the head",
        source="Go shouldRetryRequest: not behind the first byte",
        script=((ReadRequest(), Send(b"HTTP/1.1 200 OK\r\nContent-"), Close()), _SECOND),
        warm=1,
        expected=fails("protocol"),
        max_requests=1,
    ),
    Case(
        name="a kept connection that ends within the body",
        source="Go shouldRetryRequest: not behind the first byte",
        script=((ReadRequest(), Send(OK + b"Content-Length: 5\r\n\r\nhe"), Close()), _SECOND),
        warm=1,
        expected=fails("truncated"),
        max_requests=1,
    ),
    Case(
        name="connections that all end when they are used",
        source="urllib3 test_early_eof_doesnt_cause_infinite_loop; Go: never on a fresh one",
        script=(ReadRequest(), Close()),
        warm=1,
        expected=fails("protocol"),
        max_requests=2,
    ),
    Case(
        name="a fresh connection that ends when it is used",
        source="Go shouldRetryRequest: never on a fresh one",
        script=((ReadRequest(), Close()), _SECOND),
        expected=fails("protocol"),
        max_requests=1,
    ),
    Case(
        name="an answer before the question",
        source="hyper: received unexpected message from connection",
        script=(Send(OK + b"Connection: close\r\n" + HI), ReadRequest(), Close()),
        expected=either(ok(b"hi"), "protocol", reason="it came on the connection it is for"),
        reuse=Reuse.MUST_NOT,
    ),
    Case(
        name="an answer before the question, and another one",
        source="hyper: received unexpected message from connection",
        script=(Send(OK + b"Content-Length: 5\r\n\r\nearly", cut=False), *answer(OK + HI)),
        expected=either(ok(None), "protocol", reason="it came on the connection it is for"),
        reuse=Reuse.MUST_NOT,
    ),
)

CASES = KEEPING + EXTRA + RACES
