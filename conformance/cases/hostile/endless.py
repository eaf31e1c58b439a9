"""
Answers without an end: each must be refused by a bound, and not by the time limit.
"""

from __future__ import annotations

from conformance._case import Case, Request, Reuse
from conformance._expected import Expected, either, fails, ok
from conformance._steps import Flood, ReadRequest, Send

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CAPPED = Request(max_body=100_000, timeout=10.0)
UNCAPPED = Request(timeout=10.0)
LIMIT = 24 * 1024 * 1024

REFUSED = fails("protocol", "too_large")


def _flood(
    name: str,
    source: str,
    before: bytes,
    flood: bytes,
    *,
    request: Request = UNCAPPED,
    expected: Expected = REFUSED,
    decided_by: str = "limit",
) -> Case:
    return Case(
        name=f"a flood: {name}",
        source=source,
        script=(ReadRequest(), Send(before), Flood(flood, LIMIT)),
        expected=expected,
        request=request,
        reuse=Reuse.MUST_NOT,
        max_requests=1,
        decided_by=decided_by,
        exact=True,
    )


_HEADS = (
    _flood("fields without end", "CVE-2023-38039 (curl)", HEAD, b"X-A: b\r\n"),
    _flood("different fields without end", "curl test 747", HEAD, b"X-A: b\r\nX-B: c\r\n" * 9),
    _flood("a field value without end", "CVE-2026-54277 (aiohttp)", HEAD + b"X: ", b"y"),
    _flood("a field name without end", "CVE-2026-54277 (aiohttp)", HEAD, b"y"),
    _flood("a reason without end", "CVE-2026-54277 (aiohttp)", b"HTTP/1.1 200 ", b"y"),
    _flood("a status without end", "RFC 9112 §4", b"HTTP/1.1 ", b"2"),
    _flood("a version without end", "RFC 9112 §2.3", b"HTTP/", b"1"),
    _flood("empty lines without end", "RFC 9112 §2.2", b"", b"\r\n"),
    _flood("zeros without end", "hyper client_error_parse_too_large", b"", b"\x00"),
    _flood("blanks without end", "RFC 9112 §4", b"", b" "),
    _flood("letters without end", "RFC 9112 §4", b"", b"A"),
    _flood("line feeds without end", "RFC 9112 §2.2", b"", b"\n"),
    _flood("cookies without end", "curl test 1154", HEAD, b"Set-Cookie: a=b\r\n"),
    _flood(
        "folded lines without end", "RFC 9112 §5.2, obs-fold", HEAD + b"X: y\r\n", b" folded\r\n"
    ),
    _flood(
        "100s without end",
        "Go TestTransportLimits1xxResponses",
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    _flood(
        "103s without end",
        "Go TestTransportLimits1xxResponses",
        b"",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
    ),
    _flood(
        "large 103s without end",
        "CVE-2023-38039 (curl): a limit over all heads",
        b"",
        b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"x" * 16000),
    ),
)

_FRAMING = (
    _flood("trailers without end", "CVE-2026-22815 (aiohttp)", CHUNKED + b"0\r\n", b"X-A: b\r\n"),
    _flood("a trailer without end", "CVE-2026-22815 (aiohttp)", CHUNKED + b"0\r\nX: ", b"y"),
    _flood("a chunk extension without end", "CVE-2023-39326 (Go)", CHUNKED + b"1;", b"x"),
    _flood(
        "chunk extensions without end",
        "CVE-2024-22019 (Node)",
        CHUNKED,
        b"1;%b\r\nx\r\n" % (b"e" * 2000),
    ),
    _flood("zeros of a chunk size without end", "Go TestParseHexUint", CHUNKED, b"0"),
    _flood("digits of a chunk size without end", "Go TestParseHexUint", CHUNKED, b"f"),
    _flood("blanks behind a chunk size without end", "RFC 9112 §7.1", CHUNKED + b"1", b" "),
)

_BODIES = (
    _flood(
        "a body with a length beyond the limit",
        "curl --max-filesize",
        HEAD + b"Content-Length: 20000000\r\n\r\n",
        b"x",
        request=CAPPED,
        expected=fails("too_large"),
    ),
    _flood(
        "a body with an absurd length",
        "curl test 393",
        HEAD + b"Content-Length: 9223372036854775000\r\n\r\n",
        b"x",
        request=CAPPED,
        expected=REFUSED,
    ),
    _flood(
        "a body without end",
        "urllib3 GHSA-2xpw-w6gg-jr37",
        HEAD + b"Connection: close\r\n\r\n",
        b"x",
        request=CAPPED,
        expected=fails("too_large"),
    ),
    _flood(
        "chunks without end",
        "undici max-response-size.js",
        CHUNKED,
        b"400\r\n%b\r\n" % (b"x" * 1024),
        request=CAPPED,
        expected=fails("too_large"),
    ),
    _flood(
        "tiny chunks without end",
        "CVE-2025-69229 (aiohttp)",
        CHUNKED,
        b"1\r\nx\r\n",
        request=CAPPED,
        expected=fails("too_large"),
    ),
    _flood(
        "a chunk without end",
        "undici max-response-size.js",
        CHUNKED + b"7fffffffffffff\r\n",
        b"x",
        request=CAPPED,
        expected=REFUSED,
    ),
    _flood(
        "an error's body without end",
        "urllib3 GHSA-38jv-5279-wg99",
        b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n",
        b"x",
        request=CAPPED,
        expected=fails("too_large"),
    ),
    _flood(
        "a 401's chunks without end",
        "urllib3 GHSA-38jv-5279-wg99",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"400\r\n%b\r\n" % (b"x" * 1024),
        request=CAPPED,
        expected=fails("too_large"),
    ),
)

# No body belongs to these, so that what comes is behind a whole response.
_SURPLUS = tuple(
    _flood(
        f"bytes behind {title}",
        "RFC 9112 §6.3",
        head,
        b"x",
        request=Request(method, timeout=10.0),
        expected=either(ok(b"", status), "protocol", reason="it may come before the answer is out"),
        decided_by="transport",
    )
    for title, method, head, status in (
        ("a 204", "GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("a 304", "GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        ("the answer to HEAD", "HEAD", HEAD + b"Content-Length: 9\r\n\r\n", 200),
        ("an empty body", "GET", HEAD + b"Content-Length: 0\r\n\r\n", 200),
    )
)


def _of_redirects() -> list[Case]:
    framings = {
        "with a length": (b"Content-Length: 9000000000\r\n", b"x"),
        "in chunks": (b"Transfer-Encoding: chunked\r\n", b"400\r\n%b\r\n" % (b"x" * 1024)),
        "that ends with the connection": (b"Connection: close\r\n", b"x"),
    }
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n"
    there = (ReadRequest(), Send(HEAD + b"Content-Length: 5\r\n\r\nthere"))
    return [
        Case(
            name=f"a redirect's endless body {title}",
            source="urllib3 GHSA-38jv-5279-wg99; curl tests 477, 498",
            script=(
                (ReadRequest(), Send(moved + fields + b"\r\n"), Flood(flood, LIMIT * 4)),
                there,
            ),
            expected=either(ok(b"there"), "too_large", reason="who refuses it is safe as well"),
            request=Request(timeout=3.0),
            decided_by="redirect",
            exact=True,
        )
        for title, (fields, flood) in framings.items()
    ]


CASES = (*_HEADS, *_FRAMING, *_BODIES, *_SURPLUS, *_of_redirects())
