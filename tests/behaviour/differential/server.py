"""The server side of the differential test: one script for all exchanges."""

from __future__ import annotations

import gzip
import zlib
from urllib.parse import parse_qs

from asyncbatch.testing import LoopbackServer, Raw, RecordedRequest, Reply, echo

CHALLENGE = 'Digest realm="r", nonce="abc", qop="auth", algorithm=MD5, opaque="o"'
TEXT = "Zürich, Ελλάδα, 日本 " * 20


def script(server: LoopbackServer) -> None:
    """Teach `server` all paths of the table."""
    server.on("/echo", echo)
    server.on("/go/*", _go)
    server.on("/loop", Reply.redirect("/loop"))
    server.on("/status/*", lambda request: Reply(int(request.path.rsplit("/", 1)[1]), b"body"))
    server.on("/cookie", _set_cookies)
    server.on("/digest", _digest)
    server.on("/basic", _basic)
    for name, answer in ANSWERS.items():
        server.on(f"/answer/{name}", answer)


def _query(request: RecordedRequest, name: str) -> str | None:
    values = parse_qs(request.query, keep_blank_values=True).get(name)
    return values[0] if values else None


def _go(request: RecordedRequest) -> Reply:
    """Redirect with the status in the path to `to` of the query, and set the cookie `cookie`."""
    body = b"x" * int(_query(request, "size") or 20)
    reply = Reply(int(request.path.rsplit("/", 1)[1]), body)
    if (target := _query(request, "to")) is not None:
        reply = reply.with_header("location", target)
    if (cookie := _query(request, "cookie")) is not None:
        reply = reply.with_header("set-cookie", cookie)
    if _query(request, "gzip") is not None:
        reply = reply.gzipped()
    return reply


def _set_cookies(request: RecordedRequest) -> Reply:
    reply = Reply(body=b"cookies")
    for value in parse_qs(request.query).get("set", ()):
        reply = reply.with_header("set-cookie", value)
    return reply


def _digest(request: RecordedRequest) -> Reply:
    authorization = request.headers.get("authorization", "")
    if 'username="user"' in authorization and authorization.startswith("Digest "):
        return Reply(body=b"welcome")
    refusal = Reply(401, b"who are you?").with_header("www-authenticate", CHALLENGE)
    return refusal.with_header("set-cookie", "seen=1") if _query(request, "cookie") else refusal


def _basic(request: RecordedRequest) -> Reply:
    if request.headers.get("authorization", "").startswith("Basic "):
        return Reply(body=b"welcome")
    return Reply(401, b"no").with_header("www-authenticate", 'Basic realm="r"')


def _encoded(coding: str, body: bytes) -> Reply:
    return Reply(body=body, headers={"content-encoding": coding})


def _typed(content_type: str, body: bytes) -> Reply:
    return Reply(body=body, headers={"content-type": content_type})


_GZIP = gzip.compress(TEXT.encode(), mtime=0)
_RAW_DEFLATE = zlib.compressobj(wbits=-15)

ANSWERS: dict[str, Reply | Raw] = {
    "plain": Reply(body=TEXT),
    "empty": Reply(),
    "chunked": Reply(body=TEXT, framing="chunked", chunk=7),
    "until-close": Reply(body=TEXT, framing="close"),
    "close": Reply(body=TEXT, close=True),
    "utf-8": _typed("text/plain; charset=utf-8", TEXT.encode()),
    "latin-1": _typed("text/plain; charset=iso-8859-1", "Zürich".encode("latin-1")),
    "charset-unknown": _typed("text/plain; charset=nonsense", TEXT.encode()),
    "no-charset": _typed("text/plain", "Zürich".encode("latin-1")),
    "json": Reply.json({"a": [1, 2, "ü"]}),
    "bom": _typed("text/plain", b"\xef\xbb\xbf" + TEXT.encode()),
    "gzip": Reply(body=TEXT).gzipped(),
    "x-gzip": _encoded("x-gzip", _GZIP),
    "gzip-in-capitals": _encoded("GZip", _GZIP),
    "gzip-chunked": Reply(body=TEXT, framing="chunked", chunk=11).gzipped(),
    "gzip-empty": _encoded("gzip", b""),
    "gzip-members": Reply(body=TEXT).gzipped(members=3),
    "gzip-cut": Reply(body=TEXT).gzipped().without_tail(10),
    "gzip-trailing": _encoded("gzip", _GZIP + b"garbage"),
    "gzip-corrupt": Reply(body=TEXT * 10).gzipped().corrupted(),
    "gzip-not": _encoded("gzip", b"this is no gzip"),
    "deflate": _encoded("deflate", zlib.compress(TEXT.encode())),
    "deflate-raw": _encoded("deflate", _RAW_DEFLATE.compress(TEXT.encode()) + _RAW_DEFLATE.flush()),
    "identity": _encoded("identity", TEXT.encode()),
    "unknown-coding": _encoded("rot13", TEXT.encode()),
    "stacked": _encoded("deflate, gzip", gzip.compress(zlib.compress(TEXT.encode()), mtime=0)),
    "no-content": Reply(204),
    "not-modified": Raw(
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\nconnection: close\r\n\r\n"
    ),
    "http-1.0": Raw(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nold"),
    "odd-reason": Reply(200, b"x", reason="Quite All Right"),
    "no-reason": Reply(299, b"x"),
    "headers": Reply(
        headers=[("x-a", "1"), ("X-A", "2"), ("vary", "a"), ("Vary", "b"), ("x-l", "\xe9")]
    ),
    "early-hints": Raw(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
        b"connection: close\r\n\r\nok"
    ),
    "trailers": Raw(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        b"2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"
    ),
    "garbage": Raw(b"this is not HTTP\r\n\r\n"),
    "silence": Raw(b""),
    "cut-head": Raw(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "reset-before": Reply().reset(),
    "cut-body": Reply(body=TEXT).cut(body=20),
    "reset-body": Reply(body=TEXT).reset(body=20),
    "cut-chunk": Reply(body=TEXT, framing="chunked", chunk=9).cut(body=20),
    "bad-chunk": Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n"),
    "bad-version": Raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    "two-lengths": Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
    "bad-header": Raw(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"),
}
