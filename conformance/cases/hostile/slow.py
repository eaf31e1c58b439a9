"""
Servers that take their time: what is cut off by the time limit, and what arrives within it.
"""

from __future__ import annotations

import gzip

from conformance._case import Case, Request
from conformance._expected import fails, ok
from conformance._steps import Close, Drip, Pause, ReadRequest, Script, Send

BRIEF = Request(timeout=0.5)
EVERY = 0.03

HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = HEAD + b"Content-Length: 100000\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

SLOWLORIS = "the client's side of slowloris: Go TestClientTimeout"
WITHIN = "aiohttp ClientTimeout(total), reqwest tests/timeouts.rs: a deadline for all of it"


def _cut(name: str, *script: object, source: str = SLOWLORIS, **options: object) -> Case:
    """Make a case that only its time limit ends."""
    return Case(
        name=name,
        source=source,
        script=script,  # type: ignore[arg-type]
        expected=fails("timeout"),
        exact=True,
        **{"request": BRIEF, **options},  # type: ignore[arg-type]
    )


def _silent() -> list[Case]:
    places = {
        "instead of an answer": b"",
        "inside the version": b"HTT",
        "inside the status line": b"HTTP/1.1 200",
        "behind the status line": HEAD,
        "inside a field": HEAD + b"Content-Le",
        "inside the line end of the head": LONG[:-1],
        "in place of the body": LONG,
        "inside a body with a length": LONG + b"x" * 99_999,
        "behind a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
        "behind three 103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3,
        "in place of the first chunk": CHUNKED,
        "inside a chunk's size": CHUNKED + b"5",
        "inside a chunk": CHUNKED + b"5\r\nhel",
        "in place of the last chunk": CHUNKED + b"5\r\nhello\r\n",
        "behind the last chunk": CHUNKED + b"5\r\nhello\r\n0\r\n",
        "inside the trailers": CHUNKED + b"0\r\nX: y\r\n",
        "inside a body that ends with the connection": HEAD + b"\r\nhello",
    }
    rows = [
        _cut(
            f"silence {place}{', over TLS' if tls else ''}",
            ReadRequest(),
            Send(sent),
            Pause(9),
            tls=tls,
        )
        for place, sent in places.items()
        for tls in (None, "valid")
        if tls is None or place in ("instead of an answer", "in place of the body")
    ]
    accepted = _cut(
        "a connection that is taken, and no more",
        Pause(9),
        source="Go TestClientTimeout: a black hole",
    )
    return [*rows, accepted]


def _dripped() -> list[Case]:
    places: dict[str, tuple[bytes, bytes]] = {
        "head": (b"", HEAD + b"X-Very: slow\r\n" * 1000),
        "field without end": (HEAD + b"X: ", b"y"),
        "body with a length": (LONG, b"x"),
        "body in chunks": (CHUNKED, b"1\r\nx\r\n"),
        "chunk extension": (CHUNKED + b"1;", b"x"),
        "row of trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
        "body that ends with the connection": (HEAD + b"\r\n", b"x"),
        "row of 100s": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "compressed body": (
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n",
            gzip.compress(bytes(range(256)) * 64, mtime=0),
        ),
        "body of an error": (b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n", b"x"),
        "body of a redirect": (
            b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 60000\r\n\r\n",
            b"x",
        ),
    }
    return [
        _cut(
            f"a slow {place}{', over TLS' if tls else ''}",
            ReadRequest(),
            Send(before),
            Drip(dripped, EVERY),
            tls=tls,
            needs=frozenset({"total_timeout"}),
        )
        for place, (before, dripped) in places.items()
        # Who does not wait for the body of a redirect is right as well.
        if place != "body of a redirect"
        for tls in (None, "valid")
        if tls is None or place in ("head", "body with a length")
    ]


def _hops() -> list[Case]:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    slow: Script = (ReadRequest(), Send(moved), ReadRequest(), Pause(9))
    steps: list[object] = []
    for _ in range(30):
        steps += [ReadRequest(), Pause(0.05), Send(moved)]
    return [
        _cut("silence behind a redirect", *slow, source=WITHIN),
        _cut(
            "redirects each of which is in time",
            *steps,
            source=WITHIN,
            request=Request(timeout=0.5, max_redirects=50),
            needs=frozenset({"total_timeout"}),
        ),
        _cut(
            "a body that nobody reads",
            Pause(9),
            source="curl's --max-time, RFC 9110 §10.1.1",
            request=Request("PUT", timeout=0.5, body=bytes(24_000_000)),
        ),
    ]


def _in_time() -> list[Case]:
    body = b"slowly but surely"
    gzipped = gzip.compress(body, mtime=0)
    answers = {
        "a length": (HEAD + b"Content-Length: 17\r\n\r\n" + body, ()),
        "chunks": (CHUNKED + b"11\r\n" + body + b"\r\n0\r\n\r\n", ()),
        "the end of the connection": (HEAD + b"\r\n" + body, (Close(),)),
        "gzip": (
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzipped) + gzipped,
            (),
        ),
    }
    return [
        Case(
            name=f"a slow answer in time, with {title}{', over TLS' if tls else ''}",
            source=WITHIN,
            script=(ReadRequest(), Drip(content, 0.004, len(content)), *ending),
            expected=ok(body),
            tls=tls,
            exact=True,
        )
        for title, (content, ending) in answers.items()
        for tls in (None, "valid")
    ]


CASES = (*_silent(), *_dripped(), *_hops(), *_in_time())
