"""
Transfer codings, chunks, chunk extensions and trailers.
"""

from __future__ import annotations

from conformance._case import Case, Request
from conformance._expected import ok
from conformance._steps import Close, Pause, Send

from ._make import CHUNKED, OK, broken, closing, cut, unclear, valid

_CODING = "RFC 9112 §6.1"
_CHUNK = "RFC 9112 §7.1"
_EXTENSION = "RFC 9112 §7.1.1"
_TRAILER = "RFC 9112 §7.1.2"
_SIZE = "Go TestParseHexUint"

END = b"0\r\n\r\n"
HI = b"2\r\nhi\r\n" + END


def coded(value: bytes) -> bytes:
    """Return a head with this `Transfer-Encoding`."""
    return OK + b"Transfer-Encoding:" + value + b"\r\n\r\n"


VALID: tuple[Case, ...] = (
    valid("one chunk", _CHUNK, CHUNKED + HI, b"hi"),
    valid(
        "two chunks",
        "Go net/http respTests: chunked",
        CHUNKED + b"2\r\nhi\r\n3\r\n ho\r\n" + END,
        b"hi ho",
    ),
    valid("no chunks", _CHUNK, CHUNKED + END),
    valid(
        "200 chunks of one byte",
        "aiohttp GHSA-g84x-mcqj-x9qq",
        CHUNKED + b"1\r\nx\r\n" * 200 + END,
        b"x" * 200,
    ),
    valid(
        "5,000 chunks of one byte",
        "aiohttp GHSA-g84x-mcqj-x9qq",
        CHUNKED + b"1\r\nx\r\n" * 5000 + END,
        b"x" * 5000,
    ),
    valid(
        "a chunk of 256 KiB",
        _CHUNK,
        CHUNKED + b"40000\r\n" + b"x" * 0x40000 + b"\r\n" + END,
        b"x" * 0x40000,
    ),
    valid("a size in capitals", _SIZE, CHUNKED + b"A\r\n0123456789\r\n" + END, b"0123456789"),
    valid("a size in small letters", _SIZE, CHUNKED + b"a\r\n0123456789\r\n" + END, b"0123456789"),
    valid("a size with leading zeros", _SIZE, CHUNKED + b"0002\r\nhi\r\n" + END, b"hi"),
    valid(
        "a size with thirty leading zeros",
        "RFC 9112 §7.1: any number of digits",
        CHUNKED + b"0" * 30 + b"2\r\nhi\r\n" + END,
        b"hi",
    ),
    valid(
        "a last size of many zeros",
        _CHUNK,
        CHUNKED + b"2\r\nhi\r\n" + b"0" * 40 + b"\r\n\r\n",
        b"hi",
    ),
    valid(
        "line ends within a chunk", _CHUNK, CHUNKED + b"6\r\n\r\n\r\n\r\n\r\n" + END, b"\r\n" * 3
    ),
    valid(
        "a chunk that looks like an end",
        _CHUNK,
        CHUNKED + b"5\r\n0\r\n\r\n\r\n" + END,
        b"0\r\n\r\n",
    ),
    valid(
        "a chunk that looks like a response",
        _CHUNK,
        CHUNKED + b"13\r\nHTTP/1.1 200 OK\r\n\r\n\r\n" + END,
        b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    valid(
        "chunks that come one by one",
        _CHUNK,
        CHUNKED,
        b"hi ho",
        Pause(0.02),
        Send(b"2\r\nhi\r\n"),
        Pause(0.02),
        Send(b"3\r\n ho\r\n"),
        Pause(0.02),
        Send(END),
    ),
    valid(
        "a chunk in two halves",
        _CHUNK,
        CHUNKED + b"5\r\nhe",
        b"hello",
        Pause(0.02),
        Send(b"llo\r\n" + END),
    ),
    valid(
        "an end that comes late", _CHUNK, CHUNKED + b"2\r\nhi\r\n", b"hi", Pause(0.02), Send(END)
    ),
    closing("chunks, and then the end", _CHUNK, CHUNKED + HI, b"hi"),
    closing(
        "chunks, with close",
        "RFC 9112 §9.6",
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + HI,
        b"hi",
    ),
    valid(
        "chunks of an error",
        _CHUNK,
        b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n" + HI,
        b"hi",
        status=503,
    ),
    valid("a coding without a blank", _CODING, coded(b"chunked") + HI, b"hi"),
    valid("a coding in capitals", "Go TestParseTransferEncoding", coded(b" CHUNKED") + HI, b"hi"),
    valid("a coding in mixed letters", _CODING, coded(b" ChUnKeD") + HI, b"hi"),
    valid(
        "a coding with a trailing blank", "llhttp: leniency only", coded(b" chunked ") + HI, b"hi"
    ),
    valid(
        "a coding with a trailing tab",
        "httptools 0.9 does not see it",
        coded(b" chunked\t") + HI,
        b"hi",
    ),
    valid(
        "a coding between tabs and blanks",
        "RFC 9110 §5.6.3",
        coded(b"\t \tchunked \t ") + HI,
        b"hi",
    ),
    valid("an extension", _EXTENSION, CHUNKED + b"2;a=b\r\nhi\r\n" + END, b"hi"),
    valid("an extension without a value", _EXTENSION, CHUNKED + b"2;a\r\nhi\r\n" + END, b"hi"),
    valid("several extensions", _EXTENSION, CHUNKED + b"2;a=b;c;d=e\r\nhi\r\n" + END, b"hi"),
    valid(
        "an extension in quotes", _EXTENSION, CHUNKED + b'2;a="b;c \\" d"\r\nhi\r\n' + END, b"hi"
    ),
    valid(
        "an extension of the last chunk", _EXTENSION, CHUNKED + b"2\r\nhi\r\n0;a=b\r\n\r\n", b"hi"
    ),
    valid(
        "a blank before an extension",
        "RFC 9112 §7.1.1: bad white space",
        CHUNKED + b"2 ;a=b\r\nhi\r\n" + END,
        b"hi",
    ),
    valid(
        "blanks around an extension",
        "RFC 9112 §7.1.1: bad white space",
        CHUNKED + b"2 ; a = b\r\nhi\r\n" + END,
        b"hi",
    ),
    valid(
        "an extension of 1 KiB",
        "hyper: 16 KiB in all",
        CHUNKED + b"2;a=" + b"b" * 1024 + b"\r\nhi\r\n" + END,
        b"hi",
    ),
    valid(
        "an extension with each of 100 chunks",
        "aws-chunked",
        CHUNKED + b"2;chunk-signature=abcdef\r\nhi\r\n" * 100 + END,
        b"hi" * 100,
    ),
    valid(
        "a blank behind a size",
        "Go and hyper take it; some servers pad sizes",
        CHUNKED + b"2 \r\nhi\r\n" + END,
        b"hi",
        keeps=None,
    ),
    valid(
        "a size padded to six places",
        "Go, hyper and h11 take it",
        CHUNKED + b"2     \r\nhi\r\n0     \r\n\r\n",
        b"hi",
        keeps=None,
    ),
    valid(
        "a tab behind a size",
        "hyper: linear white space behind a size",
        CHUNKED + b"2\t\r\nhi\r\n" + END,
        b"hi",
        keeps=None,
    ),
    valid(
        "a trailer", _TRAILER, CHUNKED + b"2\r\nhi\r\n0\r\nX: y\r\n\r\n", b"hi", headers={"x": None}
    ),
    valid(
        "two trailers",
        "llhttp: trailing headers",
        CHUNKED + b"2\r\nhi\r\n0\r\nX: y\r\nZ: \r\n\r\n",
        b"hi",
    ),
    valid(
        "a trailer announced",
        "RFC 9110 §6.6.2",
        OK + b"Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n",
        b"hi",
    ),
    valid("a trailer and no chunks", _TRAILER, CHUNKED + b"0\r\nX: y\r\n\r\n"),
    valid(
        "a length in a trailer",
        "RFC 9110 §6.5.1: never merged",
        CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 99\r\n\r\n",
        b"hi",
        headers={"content-length": None},
    ),
    valid(
        "a coding in a trailer",
        "RFC 9110 §6.5.1",
        CHUNKED + b"2\r\nhi\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"hi",
    ),
    valid(
        "a content coding in a trailer",
        "RFC 9110 §6.5.1",
        CHUNKED + b"2\r\nhi\r\n0\r\nContent-Encoding: gzip\r\n\r\n",
        b"hi",
        headers={"content-encoding": None},
    ),
    valid(
        "a cookie in a trailer",
        "RFC 9110 §6.5.1",
        CHUNKED + b"2\r\nhi\r\n0\r\nSet-Cookie: a=b\r\n\r\n",
        b"hi",
        headers={"set-cookie": None},
    ),
    valid(
        "a location in a trailer",
        "RFC 9110 §6.5.1",
        b"HTTP/1.1 302 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nLocation: /x\r\n\r\n",
        b"hi",
        status=302,
    ),
    valid(
        "a status line within a trailer's value",
        _TRAILER,
        CHUNKED + b"0\r\nX: HTTP/1.1 200 OK\r\n\r\n",
    ),
    valid(
        "50 trailers",
        "hyper: 16 KiB in all",
        CHUNKED + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 50 + b"\r\n",
        b"hi",
    ),
)

BROKEN: tuple[Case, ...] = (
    broken("a size with a plus", _SIZE, CHUNKED + b"+2\r\nhi\r\n" + END),
    broken("a negative size", _SIZE, CHUNKED + b"-2\r\nhi\r\n" + END),
    broken("a size with 0x", "aiohttp CVE-2025-69224", CHUNKED + b"0x2\r\nhi\r\n" + END),
    broken("a size with an underscore", "aiohttp CVE-2025-69224", CHUNKED + b"0_2\r\nhi\r\n" + END),
    broken("a size with a point", _SIZE, CHUNKED + b"2.0\r\nhi\r\n" + END),
    broken(
        "a size with a letter behind it",
        "llhttp: invalid character in chunk size",
        CHUNKED + b"2g\r\nhi\r\n" + END,
    ),
    broken("a size of a word", "curl test 36", CHUNKED + b"size\r\nhi\r\n" + END),
    broken("an empty size", _SIZE, CHUNKED + b"\r\nhi\r\n" + END),
    broken("an extension without a size", _EXTENSION, CHUNKED + b";a=b\r\nhi\r\n" + END),
    broken("a blank before a size", "llhttp", CHUNKED + b" 2\r\nhi\r\n" + END),
    broken("a blank within a size", "llhttp", CHUNKED + b"0 2\r\nhi\r\n" + END),
    broken("a size of two numbers", "llhttp", CHUNKED + b"2 2\r\nhi\r\n" + END),
    broken(
        "a size in other digits", "aiohttp CVE-2025-69224", CHUNKED + "２\r\nhi\r\n".encode() + END
    ),
    broken("a size in quotes", _SIZE, CHUNKED + b'"2"\r\nhi\r\n' + END),
    broken("NUL behind a size", _CHUNK, CHUNKED + b"2\x00\r\nhi\r\n" + END),
    broken("a vertical tab behind a size", _CHUNK, CHUNKED + b"2\x0b\r\nhi\r\n" + END),
    broken("a comma behind a size", _CHUNK, CHUNKED + b"2,\r\nhi\r\n" + END),
    broken(
        "a size past 64 bits",
        _SIZE + "; RFC 9112 §7.1",
        CHUNKED + b"10000000000000002\r\nhi\r\n" + END,
        "protocol",
        "too_large",
    ),
    broken(
        "a size of 64 bits",
        "hyper 1068b994",
        CHUNKED + b"FFFFFFFFFFFFFFFF\r\nhi\r\n" + END,
        "protocol",
        "too_large",
    ),
    broken(
        "a size of 63 bits",
        "curl test 1416",
        CHUNKED + b"7FFFFFFFFFFFFFFF\r\nhi\r\n" + END,
        "protocol",
        "too_large",
    ),
    broken(
        "sizes that add up past 64 bits",
        "hyper 1068b994",
        CHUNKED + b"2\r\nhi\r\nFFFFFFFFFFFFFFFE\r\nho\r\n" + END,
        "protocol",
        "too_large",
    ),
    broken(
        "a size of 5,000 digits",
        "Go: line too long",
        CHUNKED + b"1" * 5000 + b"\r\nhi\r\n" + END,
        "protocol",
        "too_large",
    ),
    broken(
        "a size line without end",
        "Node CVE-2024-22019",
        CHUNKED + b"2;" + b"x" * 100_000,
        "protocol",
        "too_large",
    ),
    broken("a line feed behind a size", "Go CVE-2025-22871", CHUNKED + b"2\nhi\r\n" + END),
    broken("a line feed behind a chunk", "h11 GHSA-vqfr-h8mv-ghfj", CHUNKED + b"2\r\nhi\n" + END),
    broken(
        "line feeds for all line ends of chunks", "Go CVE-2025-22871", CHUNKED + b"2\nhi\n0\n\n"
    ),
    broken("a carriage return behind a size", "llhttp", CHUNKED + b"2\rhi\r\n" + END),
    broken("a carriage return behind a chunk", "llhttp", CHUNKED + b"2\r\nhi\r0\r\n\r\n"),
    broken(
        "two other bytes behind a chunk", "h11 GHSA-vqfr-h8mv-ghfj", CHUNKED + b"2\r\nhiXX0\r\n\r\n"
    ),
    broken("a chunk longer than its size", "RFC 9112 §7.1", CHUNKED + b"2\r\nhiho\r\n" + END),
    broken(
        "a chunk shorter than its size",
        "Go TestChunkInvalidInputs",
        CHUNKED + b"5\r\nhi\r\n" + END + b"GET",
    ),
    broken(
        "a chunk without its line end",
        "Go TestChunkInvalidInputs",
        CHUNKED + b"2\r\nhi" + END,
    ),
    broken("a line end before the first size", "hyper", CHUNKED + b"\r\n2\r\nhi\r\n" + END),
    broken("no chunks at all", "curl test 36", CHUNKED + b"hello, this is plain\r\n"),
    broken("HTML for chunks", "llhttp", CHUNKED + b"<html></html>"),
    broken("a response for a chunk", "Bun PR 37438", CHUNKED + b"HTTP/1.1 200 OK\r\n\r\n"),
    broken("a line feed in an extension", "Go CVE-2025-22871", CHUNKED + b"2;a\nb\r\nhi\r\n" + END),
    broken(
        "a carriage return in an extension",
        "aiohttp GHSA-8495-4g3g-x7pr",
        CHUNKED + b"2;a\rb\r\nhi\r\n" + END,
    ),
    broken("NUL in an extension", "llhttp", CHUNKED + b"2;a\x00\r\nhi\r\n" + END),
    broken("a trailer without a colon", "llhttp", CHUNKED + b"0\r\nnonsense\r\n\r\n"),
    broken("a trailer without a name", _TRAILER, CHUNKED + b"0\r\n: y\r\n\r\n"),
    broken(
        "NUL in a trailer",
        "curl test 2106; aiohttp CVE-2026-34520",
        CHUNKED + b"0\r\nX: \x00\r\n\r\n",
    ),
    broken(
        "a carriage return in a trailer", "CVE-2023-30589", CHUNKED + b"0\r\nX: a\rY: b\r\n\r\n"
    ),
    broken("a line feed in a trailer", "Go CVE-2025-22871", CHUNKED + b"0\r\nX: a\nY: b\r\n\r\n"),
    broken("a folded trailer", "RFC 9112 §5.2", CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n"),
    broken("a blank before a trailer's colon", "RFC 9112 §5.1", CHUNKED + b"0\r\nX : a\r\n\r\n"),
    broken("a response for a trailer", "Bun PR 37438", CHUNKED + b"0\r\nHTTP/1.1 200 OK\r\n\r\n"),
    broken(
        "chunks in a body past `max_body`",
        "curl test 457",
        CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n" * 2,
        "too_large",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    cut(
        "a chunk announced past `max_body`, and the end",
        "curl test 457",
        CHUNKED + b"7FFFFFFF\r\n",
        "too_large",
        "truncated",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    broken(
        "a chunk that goes past `max_body`",
        "curl test 457",
        CHUNKED + b"7FFFFFFF\r\n" + b"x" * 2000,
        "too_large",
        request=Request(max_body=1000),
        decided_by="limit",
    ),
    broken(
        "a coding and a length",
        "RFC 9112 §6.3, rule 3; curl test 365",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + HI,
    ),
    broken(
        "a length and a coding",
        "RFC 9112 §6.3, rule 3",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + HI,
    ),
    broken(
        "a coding and a length that fits it",
        "Go respTests takes it",
        OK + b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n" + HI,
    ),
    broken(
        "a coding and a bad length",
        "llhttp",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n" + HI,
    ),
    broken("an unknown coding", "RFC 9112 §6.1", coded(b" bogus") + HI),
    broken(
        "an unknown coding before chunked",
        "Go TestParseTransferEncoding",
        coded(b" bogus, chunked") + HI,
    ),
    broken("a coding behind chunked", "curl test 1722", coded(b" chunked, gzip") + HI),
    broken("chunked and identity", "curl test 1495", coded(b" chunked, identity") + HI),
    broken("identityx", "curl test 2119", coded(b" identityx") + b"hi"),
    broken("xchunked", "RFC 9112 §7", coded(b" xchunked") + HI),
    broken("chunkedx", "llhttp transfer-encoding", coded(b" chunkedx") + HI),
    broken("two words for a coding", "llhttp transfer-encoding", coded(b" chunked chunked") + HI),
    broken("chunked in quotes", "RFC 9112 §7", coded(b' "chunked"') + HI),
    broken(
        "chunked behind a vertical tab", "Node CVE-2022-32213 class", coded(b" \x0bchunked") + HI
    ),
    broken("chunked on a folded line", "Node CVE-2022-32215", coded(b"\r\n chunked") + HI),
    broken(
        "chunked in other letters",
        "RFC 9112 §7",
        coded(" chunKed".replace("K", "\u212a").encode()) + HI,
    ),
)

TRUNCATED: tuple[Case, ...] = tuple(
    cut(f"chunks cut {where}", "Go TestIncompleteChunk", CHUNKED + wire, "truncated")
    for where, wire in {
        "before the first": b"",
        "within a size": b"1",
        "behind a size": b"2",
        "within the end of a size line": b"2\r",
        "behind a size line": b"2\r\n",
        "within a chunk": b"2\r\nh",
        "behind a chunk": b"2\r\nhi",
        "within the end of a chunk": b"2\r\nhi\r",
        "behind the end of a chunk": b"2\r\nhi\r\n",
        "within an extension": b"2;a",
        "within the second chunk": b"2\r\nhi\r\n2\r\nh",
        "behind the last size": b"2\r\nhi\r\n0",
        "behind the last size line": b"2\r\nhi\r\n0\r\n",
        "within the last line end": b"2\r\nhi\r\n0\r\n\r",
        "within a trailer": b"2\r\nhi\r\n0\r\nX: y",
        "behind a trailer": b"2\r\nhi\r\n0\r\nX: y\r\n",
    }.items()
)

UNCLEAR: tuple[Case, ...] = (
    unclear(
        "an identity coding",
        "RFC 2616 §3.6; no longer registered",
        coded(b" identity") + b"hi",
        ok(b"hi"),
        Close(),
        reason="it says that there is no coding, and old servers send it",
    ),
    unclear(
        "an identity coding and a length",
        "curl test 1494",
        OK + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
        ok(b"hi"),
        reason="both framing fields together may be refused (RFC 9112 §6.3)",
    ),
    unclear(
        "identity and chunked",
        "curl test 1493",
        coded(b" identity, chunked") + HI,
        ok(b"hi"),
        reason="identity is no coding, and not registered any more",
    ),
    unclear(
        "chunked twice, in two fields",
        "RFC 9112 §6.1: a sender must not; curl test 1483",
        OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + HI,
        ok(b"hi"),
        reason="most readers take it for once",
    ),
    unclear(
        "chunked twice, in one field",
        "RFC 9112 §6.1: a sender must not; curl test 1482",
        coded(b" chunked, chunked") + HI,
        ok(b"hi"),
        reason="most readers take it for once",
    ),
    unclear(
        "an empty coding before chunked",
        "RFC 9110 §5.6.1.2: empty elements of a list are ignored",
        coded(b" , chunked") + HI,
        ok(b"hi"),
        reason="allowed in a list, and a way to hide the coding from some readers",
    ),
    unclear(
        "an empty coding behind chunked",
        "RFC 9110 §5.6.1.2; hyper reads until the end",
        coded(b" chunked,") + HI,
        ok(b"hi"),
        reason="allowed in a list, and a way to hide the coding from some readers",
    ),
    unclear(
        "an empty coding",
        "RFC 9112 §6.1",
        coded(b"") + b"hi",
        ok(b"hi"),
        Close(),
        reason="no coding at all, or a broken one",
    ),
    unclear(
        "gzip for a transfer coding",
        "RFC 9112 §6.1: only if the client has asked for it; curl test 1496",
        coded(b" gzip, chunked") + HI,
        ok(b"hi"),
        kinds=("protocol", "decode"),
        reason="readers that know no transfer coding but chunked hand on what they get",
    ),
    unclear(
        "a parameter of chunked",
        "RFC 9112 §7.1: chunked has none",
        coded(b" chunked;q=1") + HI,
        ok(b"hi"),
        reason="unknown parameters are an error, or ignored",
    ),
    unclear(
        "chunks in HTTP/1.0",
        "RFC 9112 §6.1: faulty framing; read it and close",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + HI,
        ok(b"hi"),
        Close(),
        reason="the RFC calls it faulty framing; Go reads until the end",
    ),
    unclear(
        "a semicolon behind a size, and nothing else",
        "RFC 9112 §7.1.1: an extension has a name",
        CHUNKED + b"2;\r\nhi\r\n" + END,
        ok(b"hi"),
        reason="extensions are ignored, and few readers look at them",
    ),
    unclear(
        "a size behind blanks on the last line",
        "RFC 9112 §7.1",
        CHUNKED + b"2\r\nhi\r\n0\r\n \r\n\r\n",
        ok(b"hi"),
        reason="a line of blanks is a folded trailer, or nothing",
    ),
)

CASES = VALID + BROKEN + TRUNCATED + UNCLEAR
