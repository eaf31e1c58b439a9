"""
Header fields: odd ones that mean no harm, and malformed ones.
"""

from __future__ import annotations

from conformance._case import Case
from conformance._expected import ok

from ._make import EMPTY, HI, OK, broken, unclear, valid

_FIELD = "RFC 9110 §5.5"
_NAME = "RFC 9110 §5.1"
_LINE = "RFC 9112 §5.1"

VALID: tuple[Case, ...] = (
    valid("an empty value", _FIELD, OK + b"X:\r\n" + HI, b"hi", headers={"x": ""}),
    valid("a value of blanks", _FIELD, OK + b"X: \t \r\n" + HI, b"hi", headers={"x": ""}),
    valid("no blank behind the colon", _LINE, OK + b"X:y\r\n" + HI, b"hi", headers={"x": "y"}),
    valid("blanks around a value", _LINE, OK + b"X: \t y \t\r\n" + HI, b"hi", headers={"x": "y"}),
    valid("a tab within a value", _FIELD, OK + b"X: a\tb\r\n" + HI, b"hi"),
    valid(
        "a value with colons", _FIELD, OK + b"X: a:b::c\r\n" + HI, b"hi", headers={"x": "a:b::c"}
    ),
    valid("a value in Latin-1", _FIELD, OK + b"X: caf\xe9\r\n" + HI, b"hi"),
    valid(
        "a value in UTF-8",
        "llhttp sample: field values of other bytes",
        OK + "X: 日本語\r\n".encode() + HI,
        b"hi",
        headers={"x": "日本語"},
    ),
    valid(
        "a value of all high bytes",
        _FIELD,
        OK + b"X: " + bytes(range(128, 256)) + b"\r\n" + HI,
        b"hi",
    ),
    valid("quotes that do not end", _FIELD, OK + b'X: "a\r\n' + HI, b"hi", headers={"x": '"a'}),
    valid("names in capitals", _NAME, OK + b"CONTENT-LENGTH: 2\r\n\r\nhi", b"hi"),
    valid("names in small letters", _NAME, OK + b"content-length: 2\r\n\r\nhi", b"hi"),
    valid("names in mixed letters", _NAME, OK + b"cOnTeNt-LeNgTh: 2\r\n\r\nhi", b"hi"),
    valid("an underscore in a name", "llhttp sample: underscore", OK + b"a_b: 1\r\n" + HI, b"hi"),
    valid("a name that begins with a point", "llhttp sample", OK + b".a: 1\r\n" + HI, b"hi"),
    valid("a name of digits", _NAME, OK + b"123: 1\r\n" + HI, b"hi", headers={"123": "1"}),
    valid(
        "a name of every sign that is allowed",
        "RFC 9110 §5.6.2",
        OK + b"!#$%&'*+-.^_`|~: 1\r\n" + HI,
        b"hi",
    ),
    valid("a name of one letter", _NAME, OK + b"a: 1\r\n" + HI, b"hi"),
    valid("a name of 1 KiB", _NAME, OK + b"n" * 1024 + b": 1\r\n" + HI, b"hi"),
    valid(
        "a field twice",
        "RFC 9110 §5.2",
        OK + b"X: 1\r\nX: 2\r\n" + HI,
        b"hi",
        headers={"x": "1, 2"},
    ),
    valid(
        "Date and Server twice",
        "RFC 9110 §5.3: a server should not, and a client lives with it",
        OK + b"Date: a\r\nServer: b\r\nDate: c\r\nServer: d\r\n" + HI,
        b"hi",
    ),
    valid(
        "Content-Type twice",
        "RFC 9110 §5.3",
        OK + b"Content-Type: a/b\r\nContent-Type: c/d\r\n" + HI,
        b"hi",
    ),
    valid("no fields but the length", _LINE, OK + HI, b"hi"),
    valid(
        "100 fields",
        "hyper: at most 100 by default",
        OK + b"".join(b"X-%d: y\r\n" % n for n in range(98)) + HI,
        b"hi",
    ),
    valid(
        "a value of 8,000 bytes",
        "aiohttp: at most 8,190 by default",
        OK + b"X: " + b"y" * 8000 + b"\r\n" + HI,
        b"hi",
    ),
    valid(
        "a value of 32 KiB",
        "httpcore test_http11_header_sub_100kb",
        OK + b"X: " + b"y" * 32768 + b"\r\n" + HI,
        b"hi",
    ),
    valid(
        "a head of 48 KiB", "curl: 300 KiB", OK + (b"X: " + b"y" * 1000 + b"\r\n") * 48 + HI, b"hi"
    ),
    valid(
        "a date that is none",
        "RFC 9110 §5.6.7",
        OK + b"Date: yesterday\r\nExpires: 0\r\nLast-Modified: -1\r\n" + HI,
        b"hi",
    ),
    valid(
        "a content type that is none",
        "RFC 9110 §8.3",
        OK + b"Content-Type: ;;;charset\r\n" + HI,
        b"hi",
    ),
    valid(
        "a charset that is none",
        "RFC 9110 §8.3.2",
        OK + b"Content-Type: text/plain; charset=no-such\r\n" + HI,
        b"hi",
    ),
    valid(
        "a charset that is no text",
        "Python: codecs that are no text encodings",
        OK + b"Content-Type: text/plain; charset=hex\r\n" + HI,
        b"hi",
    ),
    valid(
        "an empty charset",
        "RFC 9110 §8.3.2",
        OK + b'Content-Type: text/plain; charset=""\r\n' + HI,
        b"hi",
    ),
    valid(
        "a charset with NUL escaped",
        "RFC 9110 §8.3.2",
        OK + b'Content-Type: text/plain; charset="\\0"\r\n' + HI,
        b"hi",
    ),
    valid("a link that is none", "RFC 8288 §3", OK + b"Link: <<>>;;rel\r\n" + HI, b"hi"),
    valid(
        "an alternative service",
        "RFC 7838 §3",
        OK + b'Alt-Svc: h3=":443"; ma=86400\r\n' + HI,
        b"hi",
    ),
    valid(
        "strict transport security",
        "RFC 6797 §7.2",
        OK + b"Strict-Transport-Security: max-age=1\r\n" + HI,
        b"hi",
    ),
    valid("Refresh", "browsers only", OK + b"Refresh: 0; url=/elsewhere\r\n" + HI, b"hi"),
    valid("a location with 200", "RFC 9110 §10.2.2", OK + b"Location: /elsewhere\r\n" + HI, b"hi"),
    valid(
        "a location with 404",
        "RFC 9110 §10.2.2",
        b"HTTP/1.1 404 X\r\nLocation: /x\r\n" + HI,
        b"hi",
        status=404,
    ),
    valid(
        "a trailer announced that never comes",
        "RFC 9110 §6.6.2",
        OK + b"Trailer: X\r\n" + HI,
        b"hi",
    ),
    valid(
        "an upgrade offered with 200",
        "RFC 9110 §7.8",
        OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + HI,
        b"hi",
        keeps=None,
    ),
    valid(
        "a length hidden in another name",
        "llhttp content-length",
        OK + b"X-Content-Length: 9\r\n" + HI,
        b"hi",
    ),
    valid(
        "a coding hidden in another name",
        "llhttp invalid",
        OK + b"X-Transfer-Encoding: chunked\r\n" + HI,
        b"hi",
    ),
    valid(
        "a length hidden in a value", "CVE-2023-30589", OK + b"X: Content-Length: 9\r\n" + HI, b"hi"
    ),
    valid(
        "underscores in the name of a length",
        "RFC 9110 §5.1",
        OK + b"Content_Length: 9\r\n" + HI,
        b"hi",
    ),
)

BROKEN: tuple[Case, ...] = (
    broken("a line without a colon", "curl test 398", OK + b"no colon\r\n" + HI),
    broken("a name without a colon", "hyper: invalid header", OK + b"X\r\n" + HI),
    broken("no name", "RFC 9112 §5.1", OK + b": y\r\n" + HI),
    broken("a colon alone", "aiohttp test_invalid_header_spacing", OK + b":\r\n" + HI),
    broken("a blank for a name", _LINE, OK + b" : y\r\n" + HI),
    broken("NUL in a value", "curl test 262; aiohttp CVE-2026-34520", OK + b"X: a\x00b\r\n" + HI),
    broken("NUL in a name", "RFC 9110 §5.6.2", OK + b"X\x00Y: a\r\n" + HI),
    broken("NUL behind the value of a length", _FIELD, OK + b"Content-Length: 2\x00\r\n\r\nhi"),
    broken("NUL as a line", _FIELD, OK + b"\x00\r\n" + HI),
    broken(
        "a carriage return in a value",
        "curl test 2105; llhttp CVE-2023-30589",
        OK + b"X: a\rContent-Length: 9\r\n" + HI,
    ),
    broken("a carriage return in a name", "CVE-2023-30589", OK + b"X\rY: a\r\n" + HI),
    broken(
        "a carriage return for a line end", "llhttp: CVE-2023-30589", OK + b"X: a\rY: b\r\n" + HI
    ),
    broken("a carriage return before the line end", "RFC 9112 §2.2", OK + b"X: a\r\r\n" + HI),
    broken("a name in Latin-1", "RFC 9110 §5.6.2", OK + b"X\xe9: a\r\n" + HI),
    broken("a name in UTF-8", "aiohttp GHSA-69f9-5gxw-wvc2", OK + "Ｘ: a\r\n".encode() + HI),
    broken("a control character in a name", "RFC 9110 §5.6.2", OK + b"X\x1bY: a\r\n" + HI),
    broken("DEL in a name", "RFC 9110 §5.6.2", OK + b"X\x7fY: a\r\n" + HI),
    broken(
        "a second status line among the fields", "Bun PR 37438", OK + b"HTTP/1.1 200 OK\r\n" + HI
    ),
    broken("an empty name and value", _LINE, OK + b"X: a\r\n:\r\n" + HI),
    *(
        broken(
            f"{sign!r} in a name", "RFC 9110 §5.6.2", OK + b"X" + sign.encode() + b"Y: a\r\n" + HI
        )
        for sign in '"(),/;<=>?@[\\]{}'
    ),
)

_LENIENT = "the RFC tells proxies what to do, and leaves it to a client"

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "a blank before the colon",
        "RFC 9112 §5.1; llhttp CVE-2021-22959",
        OK + b"X : y\r\n" + HI,
        ok(b"hi"),
        reason=_LENIENT,
    ),
    unclear(
        "a blank before the colon of a length",
        "RFC 9112 §5.1; llhttp CVE-2021-22959",
        OK + b"Content-Length : 2\r\n\r\nhi",
        ok(b"hi"),
        reason=_LENIENT,
    ),
    unclear(
        "a blank within a name",
        "curl takes it",
        OK + b"X y: a\r\n" + HI,
        ok(b"hi"),
        reason=_LENIENT,
    ),
    unclear(
        "a folded line",
        "RFC 9112 §5.2: a user agent replaces the fold by blanks; curl test 1274",
        OK + b"X: a\r\n b\r\n" + HI,
        ok(b"hi"),
        reason="deprecated, and read differently by different readers",
    ),
    unclear(
        "a line folded by a tab",
        "RFC 9112 §5.2",
        OK + b"X: a\r\n\tb\r\n" + HI,
        ok(b"hi"),
        reason="deprecated, and read differently by different readers",
    ),
    unclear(
        "a folded first line",
        "RFC 9112 §2.2: such lines are dropped, or the message is refused; curl test 1473",
        OK + b" X: a\r\n" + HI,
        ok(b"hi"),
        reason="either is allowed",
    ),
    unclear(
        "a line feed for a line end",
        "RFC 9112 §2.2",
        OK + b"X: a\n" + HI,
        ok(b"hi"),
        reason="taking it for a line end is allowed, and so is refusing it",
    ),
    unclear(
        "line feeds for all line ends",
        "RFC 9112 §2.2; llhttp sample: no carriage return",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        ok(b"hi"),
        reason="taking them for line ends is allowed, and so is refusing them",
    ),
    unclear(
        "an empty line that is a line feed",
        "RFC 9112 §2.2",
        OK + b"Content-Length: 2\r\n\nhi",
        ok(b"hi"),
        reason="taking it for a line end is allowed, and so is refusing it",
    ),
    *(
        unclear(
            f"a control character in a value: {code:#04x}",
            "RFC 9110 §5.5: invalid, and may be kept where that is safe",
            OK + b"X: a%cb\r\n" % code + EMPTY,
            ok(b""),
            reason="invalid, and may be kept",
        )
        for code in (0x01, 0x07, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F)
    ),
)

CASES = VALID + BROKEN + UNCLEAR
