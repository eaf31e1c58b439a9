"""
Bodies that grow: in every coding, stacked, and wherever a body may be.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable

import brotli

from conformance import _zstd
from conformance._case import Case, Request
from conformance._expected import either, fails, ok
from conformance._steps import Close, ReadRequest, Script, Send

MAX_BODY = 100_000
SIZE = 12_000_000
CAPPED = Request(max_body=MAX_BODY, timeout=10.0)

CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda body: gzip.compress(body, 6, mtime=0)),
    "x-gzip": ("x-gzip", lambda body: gzip.compress(body, 6, mtime=0)),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", lambda body: zlib.compress(body, 6, wbits=-15)),
    "br": ("br", lambda body: brotli.compress(body, quality=5)),
    "zstd": ("zstd", _zstd.compress),
}

SOURCE = "curl tests 293, 457, 1618; undici max-response-size.js; CVE-2025-69223 (aiohttp)"
STACKED = "CVE-2022-32206, CVE-2023-23916 (curl); GHSA-gm62-xv2j-4w53 (urllib3)"


@functools.cache
def bomb(coder: str, size: int = SIZE) -> bytes:
    """Return that many zeros, encoded."""
    return CODERS[coder][1](bytes(size))


def encode(body: bytes, *coders: str) -> bytes:
    """Encode with one coder after the other."""
    for coder in coders:
        body = CODERS[coder][1](body)
    return body


def respond(
    content: bytes, *coders: str, start: bytes = b"HTTP/1.1 200 OK\r\n", framing: str = "length"
) -> bytes:
    """Return a response whose body is in these codings."""
    names = ", ".join(CODERS[coder][0] for coder in coders).encode()
    head = start + b"Content-Encoding: %b\r\n" % names
    match framing:
        case "length":
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
        case "chunked":
            chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk
        case _:
            return head + b"Connection: close\r\n\r\n" + content


def _needs(*coders: str) -> frozenset[str]:
    return frozenset(coders) & {"br", "zstd", "x-gzip", "raw deflate"}


def _case(
    name: str,
    *coders: str,
    script: Script,
    source: str = SOURCE,
    stacked: bool = False,
) -> Case:
    needs = _needs(*coders) | ({"stacked codings"} if stacked else frozenset())
    return Case(
        name=name,
        source=source,
        script=script,
        request=CAPPED,
        expected=fails("too_large"),
        needs=frozenset(needs),
        decided_by="decoding",
        by_request=True,
        exact=True,
    )


def _plain() -> list[Case]:
    return [
        _case(
            f"a bomb in {coder}, {title}",
            coder,
            script=(ReadRequest(), Send(respond(bomb(coder), coder, framing=framing)), *ending),
        )
        for coder in CODERS
        for framing, title, ending in (
            ("length", "with a length", ()),
            ("chunked", "in chunks", ()),
            ("close", "ended by the connection", (Close(),)),
        )
        if framing == "length" or coder != "x-gzip"
    ]


def _elsewhere() -> list[Case]:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    rows = []
    for coder in ("gzip", "deflate", "br", "zstd"):
        answer = Send(respond(bomb(coder), coder))
        behind = (ReadRequest(), Send(moved), ReadRequest(), answer)
        rows.append(_case(f"a bomb in {coder} behind a redirect", coder, script=behind))
        for status in (404, 500):
            start = b"HTTP/1.1 %d Oh\r\n" % status
            error = Send(respond(bomb(coder), coder, start=start))
            rows.append(
                _case(f"a bomb in {coder} as a {status}", coder, script=(ReadRequest(), error))
            )
    return rows


def _of_redirects() -> list[Case]:
    start = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n"
    there = (ReadRequest(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere"))
    return [
        Case(
            name=f"a bomb in {coder} as a redirect's own body",
            source="urllib3 GHSA-38jv-5279-wg99: drained on a redirect",
            script=(ReadRequest(), Send(respond(bomb(coder), coder, start=start)), *there),
            by_request=True,
            request=CAPPED,
            expected=either(ok(b"there"), "too_large", reason="who refuses it is safe as well"),
            needs=_needs(coder),
            decided_by="redirect",
            exact=True,
        )
        for coder in ("gzip", "deflate", "br", "zstd")
    ]


def _stacked() -> list[Case]:
    rows = []
    for coders in (
        ("gzip", "gzip"),
        ("gzip", "deflate"),
        ("br", "gzip"),
        ("zstd", "br"),
        ("gzip", "gzip", "gzip", "gzip", "gzip"),
    ):
        content = encode(bomb(coders[0]), *coders[1:])
        script = (ReadRequest(), Send(respond(content, *coders)))
        name = f"a bomb in {', '.join(coders)}"
        rows.append(_case(name, *coders, script=script, source=STACKED, stacked=True))
    members = bomb("gzip", 90_000) * 200
    rows.append(
        _case(
            "a bomb of many members",
            script=(ReadRequest(), Send(respond(members, "gzip"))),
            source="urllib3 GHSA-2xpw-w6gg-jr37: the second read",
        )
    )
    return rows


def _many() -> list[Case]:
    rows = []
    for count in (6, 20, 1000):
        coders = ("gzip",) * count
        # What the body is does not matter: nobody may get so far as to decode it.
        content = encode(b"hello", *coders[:30])
        rows.append(
            Case(
                name=f"{count} codings",
                source=f"curl MAX_ENCODE_STACK; {STACKED}; CVE-2026-22036 (undici)",
                script=(ReadRequest(), Send(respond(content, *coders))),
                expected=fails("decode", "protocol"),
                needs=frozenset({"stacked codings"}),
                decided_by="decoding",
                exact=True,
            )
        )
    return rows


def _legitimate() -> list[Case]:
    rows = [
        Case(
            name=f"a dense body in {coder} that is as long as allowed",
            source="aiohttp CHANGES 3.14: no limit on the ratio",
            script=(ReadRequest(), Send(respond(bomb(coder, MAX_BODY), coder))),
            request=CAPPED,
            expected=ok(bytes(MAX_BODY)),
            needs=_needs(coder),
            decided_by="decoding",
        )
        for coder in ("gzip", "deflate", "raw deflate", "br", "zstd")
    ]
    rows += [
        Case(
            name=f"a body in {', '.join(coders)}",
            source="RFC 9110 §8.4: codings in the order in which they were applied",
            script=(ReadRequest(), Send(respond(encode(b"hello", *coders), *coders))),
            expected=ok(b"hello"),
            needs=_needs(*coders) | {"stacked codings"},
            decided_by="decoding",
        )
        for coders in (("gzip", "gzip"), ("br", "gzip"), ("gzip",) * 5)
    ]
    return rows


CASES = (*_plain(), *_elsewhere(), *_of_redirects(), *_stacked(), *_many(), *_legitimate())
