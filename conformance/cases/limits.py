"""
Heads and framing that are too large, or never end.
"""

from __future__ import annotations

from conformance._case import Case, Request, Reuse
from conformance._expected import Expected, either, fails, ok
from conformance._steps import Flood, ReadRequest, Send

from ._make import CHUNKED, HI, OK, broken, unclear

# A head that is too large is no response, a body that is has been announced by one.
_TOO_MUCH = fails("protocol", "too_large")


def endless(
    name: str,
    source: str,
    start: bytes,
    again: bytes,
    expected: Expected = _TOO_MUCH,
    **more: object,
) -> Case:
    """Make a case in which the server never stops."""
    return Case(
        name=name,
        source=source,
        script=(ReadRequest(), Send(start), Flood(again)),
        expected=expected,
        reuse=Reuse.MUST_NOT,
        **more,  # type: ignore[arg-type]
    )


_SMALL = Request(max_body=100_000)

CASES: tuple[Case, ...] = (
    broken(
        "10,000 fields",
        "curl test 747; Node: too many headers",
        OK + b"X: y\r\n" * 10_000 + HI,
        "protocol",
        "too_large",
    ),
    broken(
        "a field of 1 MiB",
        "hyper client_error_parse_too_large",
        OK + b"X: " + b"y" * 1_048_576 + b"\r\n" + HI,
        "protocol",
        "too_large",
    ),
    broken(
        "a name of 1 MiB",
        "aiohttp CVE-2026-54277",
        OK + b"X" * 1_048_576 + b": y\r\n" + HI,
        "protocol",
        "too_large",
    ),
    broken(
        "a reason of 1 MiB",
        "aiohttp CVE-2026-54277",
        b"HTTP/1.1 200 " + b"y" * 1_048_576 + b"\r\n" + HI,
        "protocol",
        "too_large",
    ),
    broken(
        "1 MiB of fields",
        "curl test 497",
        OK + (b"X: " + b"y" * 1000 + b"\r\n") * 1024 + HI,
        "protocol",
        "too_large",
    ),
    broken(
        "20,000 trailers",
        "aiohttp CVE-2026-22815",
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        "protocol",
        "too_large",
    ),
    broken(
        "a trailer of 1 MiB",
        "aiohttp CVE-2026-22815",
        CHUNKED + b"0\r\nX: " + b"y" * 1_048_576 + b"\r\n\r\n",
        "protocol",
        "too_large",
    ),
    broken(
        "an extension of 1 MiB",
        "Go CVE-2023-39326",
        CHUNKED + b"2;" + b"x" * 1_048_576 + b"\r\nhi\r\n0\r\n\r\n",
        "protocol",
        "too_large",
    ),
    broken(
        "1 MiB of extensions",
        "Go TestChunkReaderTooMuchOverhead",
        CHUNKED + (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 1048 + b"0\r\n\r\n",
        "protocol",
        "too_large",
    ),
    endless("a reason that does not end", "aiohttp CVE-2026-54277", b"HTTP/1.1 200 ", b"y" * 1000),
    endless("a name without end", "curl CVE-2023-38039", OK, b"y" * 1000),
    endless("a value without end", "curl CVE-2023-38039", OK + b"X: ", b"y" * 1000),
    endless("fields that do not end", "curl CVE-2023-38039", OK, b"X: y\r\n"),
    endless(
        "100 without end",
        "Go TestTransportLimits1xxResponses",
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    endless("103 without end", "RFC 8297 §2", b"", b"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n"),
    endless("line ends without end", "llhttp skips them without a limit", b"", b"\r\n"),
    endless("blanks for a status line that do not end", "llhttp invalid", b"", b" "),
    endless("zeros for a status line that do not end", "curl test 1164", b"", b"\x00"),
    endless("blanks before a value without end", "httptools: quadratic", OK + b"X:", b" \t"),
    endless(
        "a length without end", "Python: int() refuses 4,300 digits", OK + b"Content-Length: ", b"1"
    ),
    endless("zeros of a size without end", "llhttp: no limit", CHUNKED, b"0"),
    endless("a size without end", "Go: line too long", CHUNKED, b"1"),
    endless("an extension without end", "Node CVE-2024-22019", CHUNKED + b"2;", b"x"),
    endless("trailers that do not end", "aiohttp CVE-2026-22815", CHUNKED + b"0\r\n", b"X: y\r\n"),
    endless("a trailer that does not end", "aiohttp CVE-2026-22815", CHUNKED + b"0\r\nX: ", b"y"),
    endless(
        "tiny chunks with long extensions without end",
        "Go CVE-2023-39326",
        CHUNKED,
        b"1;" + b"x" * 100 + b"\r\na\r\n",
        request=_SMALL,
    ),
    endless(
        "chunks past `max_body` that do not end",
        "curl test 457",
        CHUNKED,
        b"400\r\n" + b"x" * 1024 + b"\r\n",
        fails("too_large"),
        request=_SMALL,
        decided_by="limit",
    ),
    endless(
        "tiny chunks past `max_body` that do not end",
        "aiohttp GHSA-g84x-mcqj-x9qq",
        CHUNKED,
        b"1\r\nx\r\n",
        fails("too_large"),
        request=_SMALL,
        decided_by="limit",
    ),
    endless(
        "a body past `max_body` that does not end",
        "undici max-response-size.js",
        OK + b"\r\n",
        b"x" * 1000,
        fails("too_large"),
        request=_SMALL,
        decided_by="limit",
    ),
    endless(
        "a body without end behind its length",
        "RFC 9112 §6.3",
        OK + HI,
        b"EVIL",
        either(
            ok(b"hi"), "protocol", reason="the answer is whole, and the server has lost its mind"
        ),
    ),
    unclear(
        "150 fields",
        "hyper: 100, aiohttp: 128",
        OK + b"X: y\r\n" * 150 + HI,
        ok(b"hi"),
        kinds=("protocol", "too_large"),
        reason="how many are too many is a limit of the client",
    ),
    unclear(
        "1,000 fields",
        "curl: 5,000",
        OK + b"X: y\r\n" * 1000 + HI,
        ok(b"hi"),
        kinds=("protocol", "too_large"),
        reason="how many are too many is a limit of the client",
    ),
    unclear(
        "a head of 100 KiB",
        "httpcore test_http11_header_sub_100kb",
        OK + (b"X: " + b"y" * 1000 + b"\r\n") * 100 + HI,
        ok(b"hi"),
        kinds=("protocol", "too_large"),
        reason="how long is too long is a limit of the client",
    ),
    unclear(
        "an extension of 8 KiB",
        "Go: 4 KiB a line; hyper: 16 KiB in all",
        CHUNKED + b"2;" + b"x" * 8192 + b"\r\nhi\r\n0\r\n\r\n",
        ok(b"hi"),
        kinds=("protocol", "too_large"),
        reason="how long is too long is a limit of the client",
    ),
    unclear(
        "500 trailers",
        "hyper: 16 KiB in all",
        CHUNKED + b"2\r\nhi\r\n0\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        ok(b"hi"),
        kinds=("protocol", "too_large"),
        reason="how many are too many is a limit of the client",
    ),
)
