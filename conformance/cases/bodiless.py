"""
Responses without a body, whatever their fields say.
"""

from __future__ import annotations

from conformance._case import Case, Request
from conformance._expected import ok

from ._make import HEAD, HI, OK, broken, closing, unclear, valid

_RULE_1 = "RFC 9112 §6.3, rule 1"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"

VALID: tuple[Case, ...] = (
    valid("HEAD", _RULE_1, OK + b"\r\n", request=HEAD),
    valid(
        "HEAD with a length",
        _RULE_1,
        OK + b"Content-Length: 5\r\n\r\n",
        request=HEAD,
        headers={"content-length": "5"},
    ),
    valid("HEAD with a length of 0", _RULE_1, OK + b"Content-Length: 0\r\n\r\n", request=HEAD),
    valid(
        "HEAD with a huge length",
        "RFC 9112 §6.3, rule 1",
        OK + b"Content-Length: 999999999999\r\n\r\n",
        request=Request(method="HEAD", max_body=1000),
    ),
    valid(
        "HEAD with chunks announced",
        "Go respTests: chunked to HEAD",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        request=HEAD,
    ),
    valid(
        "HEAD with a content coding",
        "RFC 9112 §6.3, rule 1",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 50\r\n\r\n",
        request=HEAD,
    ),
    valid(
        "HEAD, with close",
        _RULE_1,
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\n",
        request=HEAD,
        keeps=False,
    ),
    closing(
        "HEAD in HTTP/1.0",
        "Go respTests: HEAD in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        request=HEAD,
    ),
    valid(
        "HEAD, not found",
        _RULE_1,
        b"HTTP/1.1 404 X\r\nContent-Length: 9\r\n\r\n",
        status=404,
        request=HEAD,
    ),
    valid(
        "HEAD, 100 first",
        _RULE_1,
        b"HTTP/1.1 100 X\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\n",
        request=HEAD,
    ),
    valid(
        "HEAD answered with a body",
        "hyper client_pipeline_responses_extra",
        OK + b"Content-Length: 5\r\n\r\nhello",
        request=HEAD,
        keeps=False,
    ),
    valid(
        "HEAD answered with chunks",
        "httpx #1474",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        request=HEAD,
        keeps=False,
    ),
    valid(
        "HEAD answered with a body and no length",
        "httpx #1474",
        OK + b"\r\nhello",
        request=HEAD,
        keeps=False,
    ),
    valid("204", "RFC 9110 §15.3.5", NO_CONTENT + b"\r\n", status=204),
    valid(
        "204 with a length of 0",
        "RFC 9110 §8.6: must not be sent",
        NO_CONTENT + b"Content-Length: 0\r\n\r\n",
        status=204,
    ),
    valid(
        "204 with a length",
        "RFC 9110 §8.6: must not be sent",
        NO_CONTENT + b"Content-Length: 5\r\n\r\n",
        status=204,
    ),
    valid(
        "204 with chunks announced",
        "RFC 9112 §6.1: must not be sent; curl test 334",
        NO_CONTENT + b"Transfer-Encoding: chunked\r\n\r\n",
        status=204,
    ),
    valid(
        "204 with a content coding",
        _RULE_1,
        NO_CONTENT + b"Content-Encoding: gzip\r\n\r\n",
        status=204,
    ),
    valid(
        "204 with a body",
        "Go respTests: 204 with a body; httpx #1474",
        NO_CONTENT + b"\r\nBody",
        status=204,
        keeps=False,
    ),
    valid(
        "204 with a length and a body",
        "httpx #1474",
        NO_CONTENT + b"Content-Length: 4\r\n\r\nBody",
        status=204,
        keeps=False,
    ),
    valid(
        "204 with chunks",
        "httpx #1474",
        NO_CONTENT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        status=204,
        keeps=False,
    ),
    valid(
        "204, with close",
        _RULE_1,
        NO_CONTENT + b"Connection: close\r\n\r\n",
        status=204,
        keeps=False,
    ),
    closing("204 in HTTP/1.0", _RULE_1, b"HTTP/1.0 204 X\r\n\r\n", status=204),
    valid("304", "RFC 9110 §15.4.5", NOT_MODIFIED + b"\r\n", status=304),
    valid(
        "304 with a length",
        "RFC 9110 §8.6; curl test 249",
        NOT_MODIFIED + b"Content-Length: 5\r\n\r\n",
        status=304,
    ),
    valid(
        "304 with a huge length",
        "RFC 9110 §8.6",
        NOT_MODIFIED + b"Content-Length: 99999999999\r\n\r\n",
        status=304,
        request=Request(max_body=1000),
    ),
    valid(
        "304 with chunks announced",
        "RFC 9112 §6.1",
        NOT_MODIFIED + b"Transfer-Encoding: chunked\r\n\r\n",
        status=304,
    ),
    valid(
        "304 with a content coding",
        _RULE_1,
        NOT_MODIFIED + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n",
        status=304,
    ),
    valid(
        "304 with a body",
        "httpx #1474",
        NOT_MODIFIED + b"Content-Length: 4\r\n\r\nBody",
        status=304,
        keeps=False,
    ),
    valid(
        "304 nobody asked for",
        "RFC 9110 §15.4.5",
        NOT_MODIFIED + b'ETag: "x"\r\n\r\n',
        status=304,
        headers={"etag": '"x"'},
    ),
    valid(
        "205 with a length of 0",
        "RFC 9110 §15.3.6",
        b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n",
        status=205,
    ),
    valid(
        "205 with empty chunks",
        "RFC 9110 §15.3.6",
        b"HTTP/1.1 205 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        status=205,
    ),
    closing("205 until the end", "RFC 9110 §15.3.6", b"HTTP/1.1 205 X\r\n\r\n", status=205),
    valid(
        "OPTIONS",
        "RFC 9110 §9.3.7",
        NO_CONTENT + b"Allow: GET\r\n\r\n",
        status=204,
        request=Request(method="OPTIONS"),
    ),
    valid("DELETE", "RFC 9110 §9.3.5", OK + HI, b"hi", request=Request(method="DELETE")),
    valid(
        "a method of one's own", "RFC 9110 §16.1.1", OK + HI, b"hi", request=Request(method="PURGE")
    ),
)

BROKEN: tuple[Case, ...] = (
    broken(
        "HEAD with lengths that differ",
        "RFC 9112 §6.3",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        request=HEAD,
    ),
    broken("HEAD with a bad field", "RFC 9110 §5.5", OK + b"X: \x00\r\n\r\n", request=HEAD),
    broken("204 with a bad field", "RFC 9110 §5.5", NO_CONTENT + b"X\r\n\r\n"),
    broken("304 with a bad field", "RFC 9110 §5.5", NOT_MODIFIED + b": x\r\n\r\n"),
)

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "205 with a body",
        "RFC 9110 §15.3.6: must not be sent",
        b"HTTP/1.1 205 X\r\n" + HI,
        ok(b"hi", 205),
        reason="it frames itself, and a client may drop it",
    ),
    unclear(
        "HEAD with both framing fields",
        "RFC 9112 §6.3",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ok(b""),
        reason="nothing is to be framed",
        request=HEAD,
    ),
    unclear(
        "204 with a bad length",
        "RFC 9112 §6.3, rule 1",
        NO_CONTENT + b"Content-Length: x\r\n\r\n",
        ok(b"", 204),
        reason="nothing is to be framed",
    ),
    unclear(
        "HEAD with an unknown coding",
        "RFC 9112 §6.3, rule 1",
        OK + b"Transfer-Encoding: bogus\r\n\r\n",
        ok(b""),
        reason="nothing is to be framed",
        request=HEAD,
    ),
)

CASES = VALID + BROKEN + UNCLEAR
