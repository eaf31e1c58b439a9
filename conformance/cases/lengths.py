"""
Bodies by `Content-Length`, and bodies that end with the connection.
"""

from __future__ import annotations

from conformance._case import Case, Request
from conformance._expected import ok
from conformance._steps import Close, HalfClose, Pause, Send

from ._make import OK, broken, closing, cut, unclear, valid

_LENGTH = "RFC 9110 §8.6"
_UNTIL_CLOSE = "RFC 9112 §6.3, rule 8"
_GO = "Go TestParseContentLength"

LARGE = bytes(range(256)) * 1024  # 256 KiB

VALID: tuple[Case, ...] = (
    valid("a length of 0", _LENGTH, OK + b"Content-Length: 0\r\n\r\n"),
    valid("a length of 00", _LENGTH, OK + b"Content-Length: 00\r\n\r\n"),
    valid(
        "a length with leading zeros", _LENGTH, OK + b"Content-Length: 0005\r\n\r\nhello", b"hello"
    ),
    valid(
        "a length with thirty leading zeros",
        "RFC 9110 §8.6: any number of digits",
        OK + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello",
        b"hello",
    ),
    valid(
        "a length between blanks", _LENGTH, OK + b"Content-Length: \t5 \t \r\n\r\nhello", b"hello"
    ),
    valid("a length without a blank", _LENGTH, OK + b"Content-Length:5\r\n\r\nhello", b"hello"),
    valid(
        "a length behind other fields",
        _LENGTH,
        OK + b"A: b\r\n" * 20 + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    valid(
        "a body of every byte",
        _LENGTH,
        OK + b"Content-Length: 256\r\n\r\n" + bytes(range(256)),
        bytes(range(256)),
    ),
    valid(
        "a body of line ends", _LENGTH, OK + b"Content-Length: 8\r\n\r\n" + b"\r\n" * 4, b"\r\n" * 4
    ),
    valid(
        "a body that looks like a response",
        "undici test/response-queue-poisoning.js",
        OK + b"Content-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    valid(
        "a body of zeros",
        _LENGTH,
        OK + b"Content-Length: 100\r\n\r\n" + b"\x00" * 100,
        b"\x00" * 100,
    ),
    valid(
        "a body of 256 KiB", _LENGTH, OK + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE, LARGE
    ),
    valid(
        "a body that comes behind its head",
        "RFC 9112 §6.2",
        OK + b"Content-Length: 5\r\n\r\n",
        b"hello",
        Pause(0.02),
        Send(b"hello"),
    ),
    closing(
        "close and a length",
        "RFC 9112 §9.6",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    valid(
        "close announced, and not done",
        "Go TestTransportReadToEndReusesConn",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        keeps=False,
    ),
    closing(
        "a length, and then the end",
        "RFC 9112 §9.5",
        OK + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    closing("until the end", _UNTIL_CLOSE, OK + b"\r\nhello", b"hello"),
    closing(
        "until the end, with close", _UNTIL_CLOSE, OK + b"Connection: close\r\n\r\nhello", b"hello"
    ),
    closing(
        "until the end, with keep-alive",
        _UNTIL_CLOSE,
        OK + b"Connection: keep-alive\r\n\r\nhello",
        b"hello",
    ),
    closing("until the end, empty", _UNTIL_CLOSE, OK + b"\r\n", b""),
    closing("until the end, 256 KiB", _UNTIL_CLOSE, OK + b"\r\n" + LARGE, LARGE),
    closing(
        "until the end, what looks like chunks",
        _UNTIL_CLOSE,
        OK + b"\r\n2\r\nhi\r\n0\r\n\r\n",
        b"2\r\nhi\r\n0\r\n\r\n",
    ),
    closing(
        "until the end, what looks like a response",
        _UNTIL_CLOSE,
        OK + b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    closing("until the end, HTTP/1.0", _UNTIL_CLOSE, b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    closing(
        "until the end, HTTP/1.0 with keep-alive",
        _UNTIL_CLOSE,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        b"hello",
    ),
    closing(
        "until the end, an error",
        _UNTIL_CLOSE,
        b"HTTP/1.1 500 X\r\n\r\nhello",
        b"hello",
        status=500,
    ),
    valid(
        "until the end, which is half",
        _UNTIL_CLOSE,
        OK + b"\r\nhello",
        b"hello",
        HalfClose(),
        keeps=False,
    ),
    valid(
        "until an end that comes late",
        _UNTIL_CLOSE,
        OK + b"\r\nhel",
        b"hello",
        Pause(0.02),
        Send(b"lo"),
        Pause(0.02),
        Close(),
        keeps=False,
    ),
    closing(
        "multipart, until the end",
        "Go issue 4767: byteranges do not frame themselves",
        b"HTTP/1.1 206 X\r\nContent-Type: multipart/byteranges; boundary=x\r\n\r\n"
        b"--x\r\n\r\na\r\n--x--\r\n",
        b"--x\r\n\r\na\r\n--x--\r\n",
        status=206,
    ),
)

BROKEN: tuple[Case, ...] = (
    broken("a length with a plus", _GO, OK + b"Content-Length: +5\r\n\r\nhello"),
    broken("a negative length", _GO + "; curl test 178", OK + b"Content-Length: -5\r\n\r\nhello"),
    broken("a length of minus zero", _GO, OK + b"Content-Length: -0\r\n\r\n"),
    broken("a length in hexadecimal", "hyper 1fb719e0", OK + b"Content-Length: 0x5\r\n\r\nhello"),
    broken("a length with a point", _LENGTH, OK + b"Content-Length: 5.0\r\n\r\nhello"),
    broken("a length with an exponent", _LENGTH, OK + b"Content-Length: 5e0\r\n\r\nhello"),
    broken(
        "a length with an underscore",
        "aiohttp CVE-2025-69224",
        OK + b"Content-Length: 0_5\r\n\r\nhello",
    ),
    broken("a length with a comma in it", _LENGTH, OK + b"Content-Length: 1,000\r\n\r\nhello"),
    broken("a length with a unit", _LENGTH, OK + b"Content-Length: 5 bytes\r\n\r\nhello"),
    broken("a length in quotes", _LENGTH, OK + b'Content-Length: "5"\r\n\r\nhello'),
    broken("a length of a word", "curl test 394", OK + b"Content-Length: five\r\n\r\nhello"),
    broken("an empty length", _GO, OK + b"Content-Length:\r\n\r\nhello"),
    broken("a length of blanks", _GO, OK + b"Content-Length:  \t\r\n\r\nhello"),
    broken(
        "a length of two numbers", "llhttp content-length", OK + b"Content-Length: 5 5\r\n\r\nhello"
    ),
    broken(
        "a length in Arabic digits",
        "aiohttp CVE-2025-69224",
        OK + "Content-Length: ٥\r\n\r\nhello".encode(),
    ),
    broken(
        "a length in wide digits",
        "aiohttp CVE-2025-69224",
        OK + "Content-Length: ５\r\n\r\nhello".encode(),
    ),
    broken(
        "a length with a vertical tab",
        "curl test 415; RFC 9110 §5.6.3",
        OK + b"Content-Length: \x0b5\r\n\r\nhello",
    ),
    broken("a length with a semicolon", _LENGTH, OK + b"Content-Length: 5;\r\n\r\nhello"),
    broken(
        "a length past 64 bits",
        "RFC 9110 §8.6; llhttp",
        OK + b"Content-Length: 18446744073709551621\r\n\r\nhello",
        "protocol",
        "too_large",
    ),
    broken(
        "a length past 63 bits",
        "curl test 395",
        OK + b"Content-Length: 9223372036854775808\r\n\r\nhello",
        "protocol",
        "too_large",
    ),
    broken(
        "a length of 1,000 digits",
        "curl test 395",
        OK + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\nhello",
        "protocol",
        "too_large",
    ),
    broken(
        "a length of 10,000 digits",
        "Python: int() refuses 4,300",
        OK + b"Content-Length: " + b"1" * 10000 + b"\r\n\r\nhello",
        "protocol",
        "too_large",
    ),
    broken(
        "lengths that differ",
        "RFC 9112 §6.3, rule 5; hyper",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    broken(
        "lengths that differ, the first one right",
        "Go TestReadResponseErrors",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    ),
    broken(
        "lengths that differ, in a list",
        "RFC 9112 §6.3, rule 5",
        OK + b"Content-Length: 5, 6\r\n\r\nhello",
    ),
    broken(
        "lengths that differ, three of them",
        "RFC 9112 §6.3",
        OK + b"Content-Length: 5\r\n" * 2 + b"Content-Length: 6\r\n\r\nhello",
    ),
    broken(
        "a length and a negative one",
        "llhttp",
        OK + b"Content-Length: 5\r\nContent-Length: -5\r\n\r\nhello",
    ),
    broken(
        "a length and an empty one",
        "llhttp",
        OK + b"Content-Length: 5\r\nContent-Length:\r\n\r\nhello",
    ),
    broken(
        "a length on a folded line", "RFC 9112 §5.2", OK + b"Content-Length:\r\n 5\r\n\r\nhello"
    ),
    broken(
        "bad lengths in HTTP/1.0",
        "RFC 9112 §6.3",
        b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\nhello",
    ),
    broken(
        "a length past `max_body`",
        "undici max-response-size.js",
        OK + b"Content-Length: 1001\r\n\r\n",
        "too_large",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    broken(
        "a length past every `max_body`",
        "curl --max-filesize",
        OK + b"Content-Length: 999999999999999\r\n\r\n",
        "too_large",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    broken(
        "a body until the end past `max_body`",
        "curl --max-filesize",
        OK + b"\r\n" + b"x" * 20_000,
        "too_large",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    cut(
        "a body that is short by one",
        "urllib3 test_enforce_content_length_get",
        OK + b"Content-Length: 5\r\n\r\nhell",
        "truncated",
    ),
    cut(
        "a body that does not come",
        "Go TestTransportServerClosingUnexpectedly",
        OK + b"Content-Length: 5\r\n\r\n",
        "truncated",
    ),
    cut(
        "a body cut in HTTP/1.0",
        "RFC 9112 §8",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "truncated",
    ),
    cut(
        "a body cut, with close",
        "aiohttp ClientPayloadError",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhell",
        "truncated",
    ),
    cut(
        "a long body cut",
        "RFC 9112 §8",
        OK + b"Content-Length: 999999\r\n\r\n" + b"x" * 70_000,
        "truncated",
    ),
    cut(
        "the body of an error cut",
        "Go TestTransportServerClosingUnexpectedly",
        b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\nhell",
        "truncated",
    ),
)

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "equal lengths, twice",
        "RFC 9110 §8.6: refuse, or take the one value",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        ok(b"hello"),
        reason="either is allowed",
    ),
    unclear(
        "equal lengths in a list",
        "RFC 9110 §8.6; urllib3 test_length_w_valid_header",
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        ok(b"hello"),
        reason="either is allowed",
    ),
    unclear(
        "equal lengths, spelled differently",
        "RFC 9110 §8.6",
        OK + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello",
        ok(b"hello"),
        reason="the RFC speaks of the same decimal value",
    ),
    unclear(
        "a list of lengths with a gap",
        "RFC 9110 §5.6.1.2: empty elements of a list are ignored",
        OK + b"Content-Length: 5,\r\n\r\nhello",
        ok(b"hello"),
        reason="a length is a list by mistake only",
    ),
    unclear(
        "a length past 32 MiB that is not sent",
        "curl --max-filesize",
        OK + b"Content-Length: 68719476736\r\n\r\n",
        ok(b""),
        Close(),
        kinds=("too_large", "truncated"),
        reason="with a default limit it is refused at once, without one it is cut",
        decided_by="limit",
    ),
)

CASES = VALID + BROKEN + UNCLEAR
