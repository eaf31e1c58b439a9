"""
Status lines: what is one, what is nearly one, and what speaks another protocol.
"""

from __future__ import annotations

from conformance._case import Case
from conformance._expected import ok

from ._make import EMPTY, HI, broken, closing, unclear, valid

_STATUS_LINE = "RFC 9112 §4"
_VERSION = "RFC 9110 §2.5"

VALID: tuple[Case, ...] = (
    valid("a plain answer", "RFC 9112 §6.2", b"HTTP/1.1 200 OK\r\n" + HI, b"hi"),
    valid("no reason", _STATUS_LINE, b"HTTP/1.1 200 \r\n" + HI, b"hi"),
    valid(
        "no reason, and no blank before it",
        "Go net/http respTests: 303 without a reason",
        b"HTTP/1.1 200\r\n" + HI,
        b"hi",
    ),
    valid("a reason of one letter", _STATUS_LINE, b"HTTP/1.1 200 K\r\n" + HI, b"hi"),
    valid("a reason of blanks", _STATUS_LINE, b"HTTP/1.1 200    \r\n" + HI, b"hi"),
    valid("a reason with a tab", _STATUS_LINE, b"HTTP/1.1 200 O\tK\r\n" + HI, b"hi"),
    valid("a reason in Latin-1", _STATUS_LINE, b"HTTP/1.1 200 Tr\xe8s bien\r\n" + HI, b"hi"),
    valid(
        "a reason in UTF-8", _STATUS_LINE, "HTTP/1.1 200 Bardzo dobrze ✓\r\n".encode() + HI, b"hi"
    ),
    valid("a reason with colons", _STATUS_LINE, b"HTTP/1.1 200 a: b: c\r\n" + HI, b"hi"),
    valid("a reason that names a version", _STATUS_LINE, b"HTTP/1.1 200 HTTP/1.1\r\n" + HI, b"hi"),
    valid("a reason of other digits", _STATUS_LINE, b"HTTP/1.1 200 404\r\n" + HI, b"hi"),
    valid(
        "a reason of 8 KiB",
        "hyper client_error_parse_too_large, from below",
        b"HTTP/1.1 200 " + b"long " * 1638 + b"\r\n" + HI,
        b"hi",
    ),
    valid("201", _STATUS_LINE, b"HTTP/1.1 201 Created\r\n" + HI, b"hi", status=201),
    valid("203", _STATUS_LINE, b"HTTP/1.1 203 X\r\n" + HI, b"hi", status=203),
    valid(
        "206 with a range",
        "Go net/http respTests: 206",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/99\r\n" + HI,
        b"hi",
        status=206,
        headers={"content-range": "bytes 0-1/99"},
    ),
    valid("226", "RFC 3229 §10.4.1", b"HTTP/1.1 226 IM Used\r\n" + HI, b"hi", status=226),
    valid("299", _STATUS_LINE, b"HTTP/1.1 299 X\r\n" + HI, b"hi", status=299),
    valid(
        "300 without a location", "RFC 9110 §15.4.1", b"HTTP/1.1 300 X\r\n" + HI, b"hi", status=300
    ),
    valid("305", "RFC 9110 §15.4.6", b"HTTP/1.1 305 Use Proxy\r\n" + HI, b"hi", status=305),
    valid("306", "RFC 9110 §15.4.7", b"HTTP/1.1 306 X\r\n" + HI, b"hi", status=306),
    valid(
        "401 without a challenge", "RFC 9110 §15.5.2", b"HTTP/1.1 401 X\r\n" + HI, b"hi", status=401
    ),
    valid(
        "407 from an origin",
        "RFC 9110 §15.5.8",
        b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n" + HI,
        b"hi",
        status=407,
    ),
    valid("418", "RFC 9110 §15.5.19", b"HTTP/1.1 418 I'm a teapot\r\n" + HI, b"hi", status=418),
    valid(
        "426 that offers an upgrade",
        "RFC 9110 §15.5.22",
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" + HI,
        b"hi",
        status=426,
    ),
    valid("500", _STATUS_LINE, b"HTTP/1.1 500 X\r\n" + HI, b"hi", status=500),
    valid("599", _STATUS_LINE, b"HTTP/1.1 599 X\r\n" + HI, b"hi", status=599),
    valid("600", "RFC 9110 §15: unknown classes", b"HTTP/1.1 600 X\r\n" + HI, b"hi", status=600),
    valid("999", "RFC 9110 §15: unknown classes", b"HTTP/1.1 999 X\r\n" + HI, b"hi", status=999),
    closing("HTTP/1.0", "RFC 9112 §2.3", b"HTTP/1.0 200 OK\r\n" + HI, b"hi"),
    closing("HTTP/1.0 without fields", "RFC 9112 §6.3", b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
    valid(
        "HTTP/1.2",
        "RFC 9110 §2.5: a higher minor version is read as the highest one known",
        b"HTTP/1.2 200 OK\r\n" + HI,
        b"hi",
        keeps=None,
    ),
    valid("HTTP/1.9", _VERSION, b"HTTP/1.9 200 OK\r\n" + HI, b"hi", keeps=None),
)

BROKEN: tuple[Case, ...] = (
    broken("a greeting of SMTP", "RFC 9112 §4", b"220 mail.test ESMTP\r\n"),
    broken("a greeting of SSH", "RFC 4253 §4.2", b"SSH-2.0-OpenSSH_9.6\r\n"),
    broken("a greeting of FTP", "RFC 959 §5.4", b"220 Welcome\r\n"),
    broken("a greeting of IMAP", "RFC 9051 §7.1", b"* OK IMAP4rev2 ready\r\n"),
    broken("a greeting of VNC", "RFC 6143 §7.1.1", b"RFB 003.008\n"),
    broken("a greeting of MySQL", "llhttp invalid: not HTTP", b"J\x00\x00\x00\n8.0.36\x00"),
    broken("an alert of TLS", "RFC 8446 §6", b"\x15\x03\x01\x00\x02\x02\x46"),
    broken("settings of HTTP/2", "RFC 9113 §3.4", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    broken("HTML without a head", "curl test 1172: HTTP/0.9", b"<html><p>hello</p></html>\r\n\r\n"),
    broken("JSON without a head", "curl test 1172: HTTP/0.9", b'{"a": 1}\r\n\r\n'),
    broken("zeros", "AFL corpus of h11", b"\x00" * 64),
    broken("random bytes", "AFL corpus of h11", bytes(range(128, 256))),
    broken("RTSP", "llhttp sample: RTSP response", b"RTSP/1.0 200 OK\r\n" + HI),
    broken("ICE", "llhttp sample: ICE response", b"ICE/1.0 200 OK\r\n" + HI),
    broken("ICY", "curl --http0.9: SHOUTcast", b"ICY 200 OK\r\n" + HI),
    broken("SIP", "RFC 3261 §7.2", b"SIP/2.0 200 OK\r\n" + HI),
    broken("HTTPER", "llhttp sample: invalid response start", b"HTTPER/1.1 200 OK\r\n" + HI),
    broken("HTP", "llhttp invalid: incomplete protocol", b"HTP/1.1 200 OK\r\n" + HI),
    broken("HTTP in small letters", "RFC 9112 §2.3", b"http/1.1 200 OK\r\n" + HI),
    broken("HTTP with a capital only", "RFC 9112 §2.3", b"Http/1.1 200 OK\r\n" + HI),
    broken("HTTP without a slash", "RFC 9112 §2.3", b"HTTP1.1 200 OK\r\n" + HI),
    broken("a backslash for the slash", "RFC 9112 §2.3", b"HTTP\\1.1 200 OK\r\n" + HI),
    broken("HTTP without a version", "llhttp invalid: no version", b"HTTP/ 200 OK\r\n" + HI),
    broken(
        "HTTP/0.9", "aiohttp test_http_response_parser_bad_version", b"HTTP/0.9 200 OK\r\n" + HI
    ),
    broken("HTTP/1", "aiohttp test_http_response_parser_bad_version", b"HTTP/1 200 OK\r\n" + HI),
    broken("HTTP/1.", "llhttp invalid: no minor version", b"HTTP/1. 200 OK\r\n" + HI),
    broken("HTTP/1.10", "curl test 1433; RFC 9112 §2.3: one digit", b"HTTP/1.10 200 OK\r\n" + HI),
    broken("HTTP/1.1.1", "RFC 9112 §2.3", b"HTTP/1.1.1 200 OK\r\n" + HI),
    broken("HTTP/01.1", "RFC 9112 §2.3", b"HTTP/01.1 200 OK\r\n" + HI),
    broken("HTTP/1,1", "RFC 9112 §2.3", b"HTTP/1,1 200 OK\r\n" + HI),
    broken("HTTP/2.0", _VERSION, b"HTTP/2.0 200 OK\r\n" + HI),
    broken("HTTP/2", _VERSION, b"HTTP/2 200 OK\r\n" + HI),
    broken("HTTP/3.0", _VERSION, b"HTTP/3.0 200 OK\r\n" + HI),
    broken("HTTP/9.9", "Go TestReadResponseErrors", b"HTTP/9.9 200 OK\r\n" + HI),
    broken(
        "HTTP/1.1 in other digits", "aiohttp CVE-2025-69224", "HTTP/1.١ 200 OK\r\n".encode() + HI
    ),
    broken("HTTP/-1.1", "RFC 9112 §2.3", b"HTTP/-1.1 200 OK\r\n" + HI),
    broken("HTTP/1.a", "llhttp invalid: minor version", b"HTTP/1.a 200 OK\r\n" + HI),
    broken("no status", "h11 test_readers_unusual", b"HTTP/1.1\r\n" + HI),
    broken("a blank for a status", "llhttp invalid", b"HTTP/1.1 \r\n" + HI),
    broken(
        "a word for a status",
        "aiohttp test_http_response_parser_code_not_int",
        b"HTTP/1.1 OK\r\n" + HI,
    ),
    broken("a status of one digit", "llhttp invalid", b"HTTP/1.1 2 OK\r\n" + HI),
    broken("a status of two digits", "llhttp invalid", b"HTTP/1.1 20 OK\r\n" + HI),
    broken(
        "a status of four digits",
        "curl test 1432; aiohttp test_http_response_parser_code_above_999",
        b"HTTP/1.1 2000 OK\r\n" + HI,
    ),
    broken("a status of letters in between", "llhttp invalid", b"HTTP/1.1 2x0 OK\r\n" + HI),
    broken(
        "a status of 100 digits",
        "curl test 1432",
        b"HTTP/1.1 " + b"0123456789" * 10 + b" OK\r\n" + HI,
    ),
    broken("a negative status", "RFC 9112 §4", b"HTTP/1.1 -20 OK\r\n" + HI),
    broken("a status with a sign", "RFC 9112 §4", b"HTTP/1.1 +20 OK\r\n" + HI),
    broken("a status with a point", "RFC 9112 §4", b"HTTP/1.1 20.0 OK\r\n" + HI),
    broken("a status in hexadecimal", "RFC 9112 §4", b"HTTP/1.1 0xC OK\r\n" + HI),
    broken(
        "a status in other digits", "aiohttp CVE-2025-69224", "HTTP/1.1 ２００ OK\r\n".encode() + HI
    ),
    broken("a status that runs into its reason", "llhttp invalid", b"HTTP/1.1 200OK\r\n" + HI),
    broken("status 000", "RFC 9110 §15", b"HTTP/1.1 000 X\r\n" + HI),
    broken("status 099", "Go TestReadResponseErrors", b"HTTP/1.1 099 X\r\n" + HI),
    broken("a blank before the status line", "llhttp invalid", b" HTTP/1.1 200 OK\r\n" + HI),
    broken("a byte order mark", "curl: not HTTP", b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n" + HI),
    broken(
        "garbage before the status line",
        "llhttp invalid",
        b"xyzHTTP/1.1 200 OK\r\n" + HI,
    ),
    broken(
        "a line of garbage before the status line",
        "llhttp invalid",
        b"noise\r\nHTTP/1.1 200 OK\r\n" + HI,
    ),
    broken("a field before the status line", "aiohttp #12826", b"X: y\r\nHTTP/1.1 200 OK\r\n" + HI),
    broken("NUL before the status line", "llhttp invalid", b"\x00HTTP/1.1 200 OK\r\n" + HI),
    broken("NUL in the reason", "aiohttp CVE-2026-34520", b"HTTP/1.1 200 O\x00K\r\n" + HI),
    broken("NUL in the status line", "llhttp invalid", b"HTTP/1.1\x00200 OK\r\n" + HI),
    broken("a carriage return in the reason", "CVE-2023-30589", b"HTTP/1.1 200 O\rK\r\n" + HI),
    broken(
        "a request for an answer", "llhttp invalid: request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
    broken(
        "an echo of the request line",
        "llhttp invalid: request",
        b"GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n" + HI,
    ),
)

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "an empty line before the status line",
        "RFC 9112 §2.2 has it for requests only; hyper and llhttp skip it, curl and Go do not",
        b"\r\nHTTP/1.1 200 OK\r\n" + HI,
        ok(b"hi"),
        reason="the RFC lets servers skip it, and says nothing of clients",
    ),
    unclear(
        "two blanks before the status",
        "RFC 9112 §4: parsers may split at any white space",
        b"HTTP/1.1  200 OK\r\n" + HI,
        ok(b"hi"),
        reason="lenient parsing of the status line is allowed",
    ),
    unclear(
        "a tab before the status",
        "RFC 9112 §4: parsers may split at any white space",
        b"HTTP/1.1\t200 OK\r\n" + HI,
        ok(b"hi"),
        reason="lenient parsing of the status line is allowed",
    ),
    unclear(
        "a status line that ends in a line feed",
        "RFC 9112 §2.2: a recipient may take a line feed for a line end",
        b"HTTP/1.1 200 OK\n" + HI,
        ok(b"hi"),
        reason="taking it for a line end is allowed, and so is refusing it",
    ),
    unclear(
        "a control character in the reason",
        "RFC 9112 §4",
        b"HTTP/1.1 200 O\x1bK\r\n" + EMPTY,
        ok(b""),
        reason="a client should ignore the reason (RFC 9112 §4)",
    ),
)

CASES = VALID + BROKEN + UNCLEAR
