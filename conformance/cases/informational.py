"""
Responses before the response, and what switches protocols.
"""

from __future__ import annotations

from conformance._case import Case, Request
from conformance._expected import ok
from conformance._steps import Pause, ReadHead, ReadRequest, Send

from ._make import HI, OK, broken, closing, cut, unclear, valid

_1XX = "RFC 9110 §15.2"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
FINAL = OK + HI

_POST = Request(method="POST", body=b"body")
_EXPECTING = Request(method="POST", body=b"body", headers=(("Expect", "100-continue"),))

VALID: tuple[Case, ...] = (
    valid("100 that nobody asked for", "RFC 9110 §15.2.1", CONTINUE + FINAL, b"hi"),
    valid("102 first", "RFC 2518 §10.1", PROCESSING + FINAL, b"hi"),
    valid("103 first", "RFC 8297 §2", HINTS + FINAL, b"hi", headers={"link": None}),
    valid("104 first", "draft of resumable uploads", b"HTTP/1.1 104 Upload\r\n\r\n" + FINAL, b"hi"),
    valid("199 first", _1XX, b"HTTP/1.1 199 X\r\n\r\n" + FINAL, b"hi"),
    valid("100 twice", "RFC 9110 §15.2", CONTINUE * 2 + FINAL, b"hi"),
    valid("100, 102 and 103 first", _1XX, CONTINUE + PROCESSING + HINTS + FINAL, b"hi"),
    valid(
        "103 five times", "Go TestTransportLimits1xxResponses, from below", HINTS * 5 + FINAL, b"hi"
    ),
    valid("100 without a reason", _1XX, b"HTTP/1.1 100\r\n\r\n" + FINAL, b"hi"),
    valid(
        "100 with fields",
        "curl test 1942",
        b"HTTP/1.1 100 X\r\nServer: a\r\nX: y\r\n\r\n" + FINAL,
        b"hi",
        headers={"x": None},
    ),
    valid(
        "100 with a length",
        "Go: 1xx have no body",
        b"HTTP/1.1 100 X\r\nContent-Length: 5\r\n\r\n" + FINAL,
        b"hi",
    ),
    valid(
        "103 with a coding",
        "RFC 9112 §6.1: must not be sent",
        b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n" + FINAL,
        b"hi",
    ),
    valid(
        "100 with close",
        "RFC 9112 §9.6",
        b"HTTP/1.1 100 X\r\nConnection: close\r\n\r\n" + FINAL,
        b"hi",
        keeps=None,
    ),
    valid(
        "103 with a cookie",
        "RFC 8297 §3",
        b"HTTP/1.1 103 X\r\nSet-Cookie: early=1\r\n\r\n" + FINAL,
        b"hi",
        headers={"set-cookie": None},
    ),
    valid(
        "103 with a location",
        "RFC 8297 §2",
        b"HTTP/1.1 103 X\r\nLocation: /x\r\n\r\n" + FINAL,
        b"hi",
    ),
    valid("100 in HTTP/1.0", _1XX, b"HTTP/1.0 100 Continue\r\n\r\n" + FINAL, b"hi"),
    valid("100, and then the answer", _1XX, CONTINUE, b"hi", Pause(0.02), Send(FINAL)),
    valid("103, and then the answer", "RFC 8297 §2", HINTS, b"hi", Pause(0.02), Send(FINAL)),
    valid("100 to a POST", "RFC 9110 §10.1.1", CONTINUE + FINAL, b"hi", request=_POST),
    valid(
        "100 to a HEAD",
        _1XX,
        CONTINUE + OK + b"Content-Length: 9\r\n\r\n",
        b"",
        request=Request(method="HEAD"),
    ),
    valid(
        "100 before chunks",
        _1XX,
        CONTINUE + OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
    ),
    valid("100 before 204", _1XX, CONTINUE + b"HTTP/1.1 204 X\r\n\r\n", b"", status=204),
    valid("100 before 404", _1XX, CONTINUE + b"HTTP/1.1 404 X\r\n" + HI, b"hi", status=404),
    closing("100 before a body until the end", _1XX, CONTINUE + OK + b"\r\nhello", b"hello"),
    Case(
        name="100 that was asked for",
        source="RFC 9110 §10.1.1",
        script=(ReadHead(), Send(CONTINUE), Pause(0.02), Send(FINAL)),
        request=_EXPECTING,
        expected=ok(b"hi"),
    ),
    Case(
        name="100 asked for, and refused",
        source="Go CVE-2024-24791: the connection must not be used again",
        script=(ReadHead(), Send(b"HTTP/1.1 417 Expectation Failed\r\n" + HI)),
        request=_EXPECTING,
        expected=ok(b"hi", 417),
    ),
    Case(
        name="100 asked for, and the answer at once",
        source="RFC 9110 §10.1.1",
        script=(ReadRequest(), Send(FINAL)),
        request=_EXPECTING,
        expected=ok(b"hi"),
    ),
    Case(
        name="100 asked for, and never sent",
        source="RFC 9110 §10.1.1: a client does not wait for ever",
        script=(ReadRequest(), Pause(0.05), Send(FINAL)),
        request=_EXPECTING,
        expected=ok(b"hi"),
    ),
)

BROKEN: tuple[Case, ...] = (
    broken(
        "101 that nobody asked for",
        "RFC 9110 §15.2.2",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ),
    broken(
        "101 and bytes of another protocol",
        "undici test/client-upgrade",
        b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n\x81\x05hello",
    ),
    broken(
        "101 and a response",
        "hyper client: unexpected upgrade",
        b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n" + FINAL,
    ),
    broken("100 with a bad field", "llhttp", b"HTTP/1.1 100 X\r\nX\x00: y\r\n\r\n" + FINAL),
    broken("100 and garbage", "llhttp", CONTINUE + b"garbage\r\n\r\n"),
    broken("100 and a blank line", "hyper", b"HTTP/1.1 100 Continue\r\n\r\nX: y\r\n\r\n" + FINAL),
    broken(
        "1,000 times 100",
        "Go TestTransportLimits1xxResponses",
        CONTINUE * 1000,
        "protocol",
        "too_large",
    ),
    broken(
        "100 of 60 KiB, again and again",
        "curl CVE-2023-38039",
        (b"HTTP/1.1 103 X\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 60 + b"\r\n") * 12,
        "protocol",
        "too_large",
    ),
    cut("100 and no more", "curl test 158", CONTINUE, "protocol"),
    cut("103 and no more", "RFC 8297 §2", HINTS, "protocol"),
    cut(
        "100 and half a head",
        "Go TestTransportServerClosingUnexpectedly",
        CONTINUE + b"HTTP/1.1 200 OK\r\nContent-",
        "protocol",
    ),
    cut(
        "100 and half a body",
        "RFC 9112 §8",
        CONTINUE + OK + b"Content-Length: 5\r\n\r\nhe",
        "truncated",
    ),
)

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "103 fifteen times",
        "Go: at most 5; hyper: any number",
        HINTS * 15 + FINAL,
        ok(b"hi"),
        reason="how many are too many is a limit of the client",
    ),
)

CASES = VALID + BROKEN + UNCLEAR
