"""
Bytes behind a response, and on idle connections: nobody's, and never the next response.
"""

from __future__ import annotations

from conformance._case import Case, Request, Reuse
from conformance._expected import Expected, ok
from conformance._steps import ReadRequest, Script, Send, UntilOutcome

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo bad"
THERE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere"

RFC = "RFC 9112 §6.3: extra data must not be processed as a separate response"

# What is answered, how, and what is to come of it.
_Answered = tuple[Request, bytes, Expected]

ANSWERS: dict[str, _Answered] = {
    "a body with a length": (
        Request(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ok(b"hello"),
    ),
    "a body in chunks": (
        Request(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ok(b"hello"),
    ),
    "an empty body": (Request(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ok(b"")),
    "a 204": (Request(), b"HTTP/1.1 204 No Content\r\n\r\n", ok(b"", 204)),
    "a 304": (Request(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n", ok(b"", 304)),
    "the answer to HEAD": (
        Request("HEAD"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n",
        ok(b""),
    ),
    "a final answer behind a 100": (
        Request(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ok(b"hello"),
    ),
    "an answer in HTTP/1.0 that keeps the connection": (
        Request(),
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        ok(b"hello"),
    ),
    "an error": (
        Request(),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry",
        ok(b"sorry", 404),
    ),
}

SURPLUS = {
    "another response": (EVIL, "GHSA-35p6-xmwp-9g52 (undici), CVE-2026-48931 (Node)"),
    "a 408 that closes": (TIMED_OUT, "Go TestTransportIgnores408"),
    "rubbish": (b"\x00\xff\xfe rubbish \r\n\r\n", "hyper, require_empty_read"),
}

ON_IDLE = {
    **SURPLUS,
    "one byte": (b"H", RFC),
    "an empty line": (b"\r\n", RFC),
    "the beginning of a head": (b"HTTP/1.1 200 OK\r\nX-Evil: 1", RFC),
    "a head whose body is the next answer": (
        b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 500\r\n\r\n",
        "response splitting: CWE-113",
    ),
    "a 100": (b"HTTP/1.1 100 Continue\r\n\r\n", "RFC 9110 §15.2"),
    "a 103 with a whole response": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + EVIL, RFC),
    "two responses": (EVIL + EVIL, "undici, test/response-queue-poisoning.js"),
    "a thousand responses": (EVIL * 1000, "undici, test/response-queue-poisoning.js"),
}


def _with(name: str, answered: _Answered, script: Script, source: str, tls: str | None) -> Case:
    request, _, expected = answered
    return Case(
        name=name + (", over TLS" if tls else ""),
        source=source,
        request=request,
        expected=expected,
        script=script,
        tls=tls,
        reuse=Reuse.MUST_NOT,
        max_requests=1,
        # What is cut into bytes is the answer; the matter here is what follows it.
        exact=True,
    )


def _behind() -> list[Case]:
    return [
        _with(
            f"{title} behind {of}",
            answered,
            (ReadRequest(), Send(answered[1] + surplus)),
            source,
            tls,
        )
        for of, answered in ANSWERS.items()
        for title, (surplus, source) in SURPLUS.items()
        for tls in (None, "valid")
        if tls is None or title == "another response"
    ]


def _idle() -> list[Case]:
    first = ANSWERS["a body with a length"]
    rows = [(of, answered, "another response") for of, answered in ANSWERS.items()]
    rows += [("a body with a length", first, title) for title in ON_IDLE if title != rows[0][2]]
    return [
        _with(
            f"{title} on the connection left idle by {of}",
            answered,
            (ReadRequest(), Send(answered[1]), UntilOutcome(), Send(ON_IDLE[title][0])),
            ON_IDLE[title][1],
            tls,
        )
        for of, answered, title in rows
        for tls in (None, "valid")
        if tls is None or answered is first
    ]


def _behind_redirects() -> list[Case]:
    """The request that a redirect makes is the first that could be answered by a stranger."""
    return [
        Case(
            name=f"{title} behind a {status} that is followed{', over TLS' if tls else ''}",
            source="GHSA-35p6-xmwp-9g52 (undici), on the way of a redirect",
            script=(
                ReadRequest(),
                Send(
                    b"HTTP/1.1 %d Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n%s"
                    % (status, surplus)
                ),
                ReadRequest(),
                Send(THERE),
            ),
            by_request=True,
            expected=ok(b"there"),
            tls=tls,
            max_requests=2,
            decided_by="redirect",
            exact=True,
        )
        for status in (301, 303, 307)
        for title, (surplus, _) in SURPLUS.items()
        for tls in (None, "valid")
        if tls is None or (status == 301 and title == "another response")
    ]


CASES = (*_behind(), *_idle(), *_behind_redirects())
