"""
The table of messages: what a peer may send, and what is to come of it.

Each case is fed whole, byte by byte and cut at every place; the outcome must not depend on that.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncbatch._engine.http11 import (
    ExchangeError,
    ProtocolError,
    ResponseTooLarge,
    TruncatedResponse,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Message:
    """What is sent, and what is to come of it."""

    name: str
    wire: bytes
    body: bytes = b""
    status: int = 200
    keeps: bool = True
    ends: bool = False
    """The peer closes the connection behind the bytes."""
    method: bytes = b"GET"
    error: type[ExchangeError] | None = None


def _ok(name: str, wire: bytes, **expected: object) -> Message:
    return Message(name, wire, **expected)  # type: ignore[arg-type]


def _bad(name: str, wire: bytes, error: type[ExchangeError] = ProtocolError) -> Message:
    return Message(name, wire, error=error)


def _cut(name: str, wire: bytes) -> Message:
    return Message(name, wire, ends=True, error=TruncatedResponse)


VALID = [
    _ok("a length", OK + b"Content-Length: 5\r\n\r\nhello", body=b"hello"),
    _ok("a length of zero", OK + b"Content-Length: 0\r\n\r\n"),
    _ok("a length with leading zeros", OK + b"Content-Length: 005\r\n\r\nhello", body=b"hello"),
    _ok(
        "a length with thirty zeros",
        OK + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello",
        body=b"hello",
    ),
    _ok("a length between blanks", OK + b"Content-Length: \t 5 \t\r\n\r\nhello", body=b"hello"),
    _ok("equal lengths, twice", OK + b"Content-Length: 2\r\n" * 2 + b"\r\nhi", body=b"hi"),
    _ok("equal lengths in a list", OK + b"Content-Length: 2, 2\r\n\r\nhi", body=b"hi"),
    _ok("a name in capitals", OK + b"CONTENT-LENGTH:2\r\n\r\nhi", body=b"hi"),
    _ok("chunks", CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", body=b"hello!"),
    _ok("a chunk size in capitals", CHUNKED + b"0A\r\n0123456789\r\n0\r\n\r\n", body=b"0123456789"),
    _ok("no chunks", CHUNKED + b"0\r\n\r\n"),
    _ok("many zeros as the last chunk", CHUNKED + b"000000\r\n\r\n"),
    _ok("thirty zeros as the last chunk", CHUNKED + b"0" * 30 + b"\r\n\r\n"),
    _ok("blanks behind a chunk size", CHUNKED + b"2 \t\r\nhi\r\n0  \r\n\r\n", body=b"hi"),
    _ok(
        "a chunk size with thirty zeros",
        CHUNKED + b"0" * 30 + b"2\r\nhi\r\n0\r\n\r\n",
        body=b"hi",
    ),
    _ok("chunk extensions", CHUNKED + b'2;a=b;c="d e"\r\nhi\r\n0;x\r\n\r\n', body=b"hi"),
    _ok("a blank before an extension", CHUNKED + b"2 ;a=b\r\nhi\r\n0\r\n\r\n", body=b"hi"),
    _ok("trailers", CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n", body=b"hi"),
    _ok("line ends inside a chunk", CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", body=b"\r\n\r\n"),
    _ok("a coding with trailing blanks", OK + b"Transfer-Encoding: chunked \t\r\n\r\n0\r\n\r\n"),
    _ok("a coding in capitals", OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n"),
    _ok("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", body=b"hi"),
    _ok("HTTP/1.9", b"HTTP/1.9 200 OK\r\nConnection: close\r\n\r\n", keeps=False, ends=True),
    _ok(
        "identity",
        OK + b"Transfer-Encoding: identity\r\n\r\nhello",
        body=b"hello",
        keeps=False,
        ends=True,
    ),
    _ok("until the end", OK + b"\r\nhello", body=b"hello", keeps=False, ends=True),
    _ok("until the end, empty", OK + b"\r\n", keeps=False, ends=True),
    _ok(
        "HTTP/1.0 until the end",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        body=b"hello",
        keeps=False,
        ends=True,
    ),
    _ok("HTTP/1.0 closes", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", keeps=False),
    _ok(
        "HTTP/1.0 that keeps",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
    ),
    _ok(
        "HTTP/1.0 with chunks closes",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\n\r\n",
        body=b"hi",
        keeps=False,
    ),
    _ok("close", OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", keeps=False),
    _ok("close in capitals", OK + b"CONNECTION: CLOSE\r\nContent-Length: 0\r\n\r\n", keeps=False),
    _ok(
        "close in a list",
        OK + b"Connection: keep-alive, \tclose ,x\r\nContent-Length: 0\r\n\r\n",
        keeps=False,
    ),
    _ok(
        "close in a second field",
        OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        keeps=False,
    ),
    _ok("closed is not close", OK + b"Connection: closed\r\nContent-Length: 0\r\n\r\n"),
    _ok("keep-alive", OK + b"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
    _ok("no reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
    _ok("no blank before no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    _ok("a reason of other letters", b"HTTP/1.1 200 \xe4\xf6 ok\t!\r\nContent-Length: 0\r\n\r\n"),
    _ok("a status of one's own", b"HTTP/1.1 799 X\r\nContent-Length: 0\r\n\r\n", status=799),
    _ok("a value of other letters", OK + b"X: \xff\xfe\t\xe4\r\nContent-Length: 0\r\n\r\n"),
    _ok("an empty value", OK + b"X:\r\nContent-Length: 0\r\n\r\n"),
    _ok("a name of odd characters", OK + b"!#$%&'*+-.^_`|~9: x\r\nContent-Length: 0\r\n\r\n"),
    _ok("204", b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    _ok("204 with a length", b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", status=204),
    _ok("204 with a coding", b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", status=204),
    _ok("304 with a length", b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", status=304),
    _ok("205 with a length", b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", status=205),
    _ok("HEAD with a length", OK + b"Content-Length: 5\r\n\r\n", method=b"HEAD"),
    _ok("HEAD with a coding", CHUNKED, method=b"HEAD"),
    _ok(
        "HEAD with both framings",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        method=b"HEAD",
    ),
    _ok(
        "304 with both framings",
        b"HTTP/1.1 304 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        status=304,
    ),
    _ok("HEAD without a length", OK + b"\r\n", method=b"HEAD"),
    _ok("100 before it", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"),
    _ok(
        "100, 102, 103 before it",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nX: y\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nhi",
        body=b"hi",
    ),
    _ok("bytes behind a length", OK + b"Content-Length: 2\r\n\r\nhiEVIL", body=b"hi", keeps=False),
    _ok("bytes behind 204", b"HTTP/1.1 204 X\r\n\r\nEVIL", status=204, keeps=False),
    _ok("bytes behind 304", b"HTTP/1.1 304 X\r\n\r\nE", status=304, keeps=False),
    _ok(
        "a body behind HEAD",
        OK + b"Content-Length: 5\r\n\r\nhello",
        method=b"HEAD",
        keeps=False,
    ),
    _ok("bytes behind chunks", CHUNKED + b"2\r\nhi\r\n0\r\n\r\nE", body=b"hi", keeps=False),
    _ok(
        "a second response",
        OK + b"Content-Length: 2\r\n\r\nhi" + OK + b"Content-Length: 4\r\n\r\nEVIL",
        body=b"hi",
        keeps=False,
    ),
    _ok(
        "rubbish behind a closing response",
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi\x00\x01",
        body=b"hi",
        keeps=False,
    ),
]

MALFORMED = [
    _bad("another protocol", b"220 smtp.example ESMTP\r\n"),
    _bad("TLS", b"\x15\x03\x01\x00\x02\x02"),
    _bad("HTTP/0.9", b"<html>hello</html>\r\n\r\n"),
    _bad("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    _bad("HTTP/1.10", b"HTTP/1.10 200 OK\r\n\r\n"),
    _bad("RTSP", b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    _bad("ICE", b"ICE/1.0 200 OK\r\n\r\n"),
    _bad("small letters", b"http/1.1 200 OK\r\n\r\n"),
    _bad("a line end in front", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    _bad("a blank in front", b" HTTP/1.1 200 OK\r\n\r\n"),
    _bad("two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    _bad("four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    _bad("status 099", b"HTTP/1.1 099 OK\r\n\r\n"),
    _bad("a status with a sign", b"HTTP/1.1 +20 OK\r\n\r\n"),
    _bad("no status", b"HTTP/1.1\r\n\r\n"),
    _bad("two blanks", b"HTTP/1.1  200 OK\r\n\r\n"),
    _bad("NUL in the reason", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"),
    _bad("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    _bad("a bare line feed", OK + b"X: y\nContent-Length: 0\r\n\r\n"),
    _bad("a bare carriage return", OK + b"X: y\rContent-Length: 0\r\n\r\n"),
    _bad("NUL in a value", OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    _bad("a control in a value", OK + b"X: a\x1bb\r\nContent-Length: 0\r\n\r\n"),
    _bad("DEL in a value", OK + b"X: a\x7fb\r\nContent-Length: 0\r\n\r\n"),
    _bad("a blank before the colon", OK + b"X : y\r\nContent-Length: 0\r\n\r\n"),
    _bad("no colon", OK + b"X\r\nContent-Length: 0\r\n\r\n"),
    _bad("no name", OK + b": x\r\nContent-Length: 0\r\n\r\n"),
    _bad("a name with a blank", OK + b"X y: x\r\nContent-Length: 0\r\n\r\n"),
    _bad("a name of other letters", OK + b"X\xe4: x\r\nContent-Length: 0\r\n\r\n"),
    _bad("a folded line", OK + b"X: y\r\n z\r\nContent-Length: 0\r\n\r\n"),
    _bad("a folded first line", OK + b" X: y\r\nContent-Length: 0\r\n\r\n"),
    _bad("101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    _bad("a length with a sign", OK + b"Content-Length: +5\r\n\r\nhello"),
    _bad("a negative length", OK + b"Content-Length: -1\r\n\r\n"),
    _bad("a length in hexadecimal", OK + b"Content-Length: 0x5\r\n\r\nhello"),
    _bad("a length with an underscore", OK + b"Content-Length: 1_0\r\n\r\n"),
    _bad("a length with a point", OK + b"Content-Length: 5.0\r\n\r\nhello"),
    _bad("a length in other digits", OK + "Content-Length: \u0665\r\n\r\nhello".encode()),
    _bad("an empty length", OK + b"Content-Length: \r\n\r\n"),
    _bad("a length of two numbers", OK + b"Content-Length: 5 5\r\n\r\nhello"),
    _bad("a length past 64 bits", OK + b"Content-Length: 18446744073709551621\r\n\r\nhello"),
    _bad("lengths that differ", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    _bad("a list of lengths that differ", OK + b"Content-Length: 5, 6\r\n\r\nhello"),
    _bad("a list with a gap", OK + b"Content-Length: 5,\r\n\r\nhello"),
    _bad(
        "both framings",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _bad("an unknown coding", OK + b"Transfer-Encoding: gzip\r\n\r\n"),
    _bad("a coding before chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    _bad(
        "identity and a length", OK + b"Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\nhi"
    ),
    _bad("chunked twice", OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"),
    _bad("an empty coding", OK + b"Transfer-Encoding:\r\n\r\n"),
    _bad("a coding with a vertical tab", OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n"),
    _bad("xchunked", OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    _bad("an empty chunk size", CHUNKED + b"\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size with a sign", CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n"),
    _bad("a negative chunk size", CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size with 0x", CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size with an underscore", CHUNKED + b"0_2\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size past 64 bits", CHUNKED + b"10000000000000002\r\nhi\r\n0\r\n\r\n"),
    _bad("a blank before a chunk size", CHUNKED + b" 2\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size of two numbers", CHUNKED + b"2 2\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk size and a bare line feed", CHUNKED + b"2\nhi\r\n0\r\n\r\n"),
    _bad("a bare line feed in an extension", CHUNKED + b"2;a\nb\r\nhi\r\n0\r\n\r\n"),
    _bad("a bare carriage return in an extension", CHUNKED + b"2;a\rb\r\nhi\r\n0\r\n\r\n"),
    _bad("NUL in an extension", CHUNKED + b"2;\x00\r\nhi\r\n0\r\n\r\n"),
    _bad("a chunk longer than its size", CHUNKED + b"2\r\nhiX\r\n0\r\n\r\n"),
    _bad("a chunk and a bare line feed", CHUNKED + b"2\r\nhi\n0\r\n\r\n"),
    _bad("a chunk and a bare carriage return", CHUNKED + b"2\r\nhi\rX0\r\n\r\n"),
    _bad("a trailer without a colon", CHUNKED + b"0\r\nX\r\n\r\n"),
    _bad("a folded trailer", CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n"),
    _bad("a bare line feed in a trailer", CHUNKED + b"0\r\nX: y\nZ: 1\r\n\r\n"),
    _bad("NUL in a trailer", CHUNKED + b"0\r\nX: \x00\r\n\r\n"),
]

TOO_LARGE = [
    _bad("a head without end", OK + b"X: " + b"y" * 70_000, ResponseTooLarge),
    _bad("a first line without end", b"HTTP/1.1 200 " + b"y" * 70_000, ResponseTooLarge),
    _bad("a head past the limit", OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n", ResponseTooLarge),
    _bad("too many fields", OK + b"X: y\r\n" * 257 + b"\r\n", ResponseTooLarge),
    _bad(
        "too many informational",
        b"HTTP/1.1 100 X\r\n\r\n" * 21 + OK + b"Content-Length: 0\r\n\r\n",
        ResponseTooLarge,
    ),
    _bad(
        "informational heads past the limit",
        (b"HTTP/1.1 103 X\r\nL: " + b"x" * 10_000 + b"\r\n\r\n") * 7
        + OK
        + b"Content-Length: 0\r\n\r\n",
        ResponseTooLarge,
    ),
    _bad("an extension without end", CHUNKED + b"2;" + b"x" * 5_000, ResponseTooLarge),
    _bad(
        "extensions that outgrow the body",
        CHUNKED + (b"1;" + b"x" * 4_000 + b"\r\na\r\n") * 20 + b"0\r\n\r\n",
        ResponseTooLarge,
    ),
    _bad("trailers without end", CHUNKED + b"0\r\n" + b"X: y\r\n" * 5_000, ResponseTooLarge),
    _bad("too many trailers", CHUNKED + b"0\r\n" + b"X:\r\n" * 300 + b"\r\n", ResponseTooLarge),
    _bad(
        "a trailer past the limit",
        CHUNKED + b"0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        ResponseTooLarge,
    ),
    _bad(
        "head and trailers past the limit together",
        CHUNKED[:-2] + b"X: " + b"y" * 60_000 + b"\r\n\r\n0\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
        ResponseTooLarge,
    ),
    _bad(
        "informational heads and trailers past the limit together",
        (b"HTTP/1.1 103 X\r\nL: " + b"x" * 10_000 + b"\r\n\r\n") * 6
        + CHUNKED
        + b"0\r\nX: "
        + b"y" * 10_000
        + b"\r\n\r\n",
        ResponseTooLarge,
    ),
]

TRUNCATED = [
    _cut("nothing", b""),
    _cut("a piece of the first line", b"HTTP/1.1 2"),
    _cut("a piece of the head", OK + b"Content-Le"),
    _cut("a head without its empty line", OK + b"Content-Length: 0\r\n"),
    _cut("informational only", b"HTTP/1.1 100 Continue\r\n\r\n"),
    _cut("a piece of the body", OK + b"Content-Length: 5\r\n\r\nhell"),
    _cut("a head without its body", OK + b"Content-Length: 5\r\n\r\n"),
    _cut("a piece of a chunk size", CHUNKED + b"5"),
    _cut("a piece of a chunk", CHUNKED + b"5\r\nhel"),
    _cut("a chunk without its end", CHUNKED + b"5\r\nhello"),
    _cut("chunks without the last", CHUNKED + b"5\r\nhello\r\n"),
    _cut("the last chunk without the empty line", CHUNKED + b"5\r\nhello\r\n0\r\n"),
    _cut("a piece of a trailer", CHUNKED + b"0\r\nX: y"),
]
