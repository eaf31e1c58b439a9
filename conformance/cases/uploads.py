"""
Answers that come before the request is out.
"""

from __future__ import annotations

import attrs

from conformance._case import Case, Request, Reuse
from conformance._expected import either, fails, ok
from conformance._steps import Close, Pause, ReadHead, ReadRequest, Reset, Send

from ._make import HI, OK, valid

_EARLY = "RFC 9112 §9.5"
LARGE = b"x" * 8_000_000
REFUSED = b"HTTP/1.1 413 Content Too Large\r\n" + HI
REFUSED_AND_CLOSED = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n" + HI

_PLAIN = Request(method="POST", body=LARGE)
_STREAMED = Request(method="POST", body=LARGE, streamed=True)

PLAIN: tuple[Case, ...] = (
    valid(
        "a POST", "RFC 9110 §9.3.3", OK + HI, b"hi", request=Request(method="POST", body=b"body")
    ),
    valid("a POST without a body", "RFC 9110 §8.6", OK + HI, b"hi", request=Request(method="POST")),
    valid("a POST of 8 MB", "RFC 9110 §9.3.3", OK + HI, b"hi", request=_PLAIN),
    valid(
        "a POST in chunks",
        "RFC 9112 §7.1",
        OK + HI,
        b"hi",
        request=Request(method="POST", body=b"body", streamed=True),
    ),
    valid("a POST of 8 MB in chunks", "RFC 9112 §7.1", OK + HI, b"hi", request=_STREAMED),
    valid("a GET with a body", "RFC 9110 §9.3.1", OK + HI, b"hi", request=Request(body=b"body")),
    *(
        case
        for name, request in {"": _PLAIN, " in chunks": _STREAMED}.items()
        for case in (
            Case(
                name=f"413 to the head of a POST{name}, the rest read",
                source=_EARLY,
                script=(ReadHead(), Send(REFUSED), Pause(0.05)),
                request=request,
                expected=ok(b"hi", 413),
            ),
            Case(
                name=f"413 and close to the head of a POST{name}, the rest unread",
                source=_EARLY,
                script=(ReadHead(), Send(REFUSED_AND_CLOSED), Pause(0.1), Close()),
                request=request,
                # The reset that follows may overtake the answer.
                expected=either(ok(b"hi", 413), "protocol", reason="a reset may destroy it"),
                reuse=Reuse.MUST_NOT,
            ),
            Case(
                name=f"an end within a POST{name}",
                source="RFC 9112 §9.5",
                script=(ReadHead(), Close()),
                request=request,
                expected=fails("protocol"),
                reuse=Reuse.MUST_NOT,
            ),
            Case(
                name=f"a reset within a POST{name}",
                source="urllib3 test_broken_pipe_ignore",
                script=(ReadHead(), Reset()),
                request=request,
                expected=fails("protocol"),
                reuse=Reuse.MUST_NOT,
            ),
            Case(
                name=f"garbage within a POST{name}",
                source="RFC 9112 §4",
                script=(ReadHead(), Send(b"garbage\r\n\r\n"), Pause(0.05)),
                request=request,
                expected=fails("protocol"),
                reuse=Reuse.MUST_NOT,
            ),
        )
    ),
    Case(
        name="a POST and an end",
        source="RFC 9110 §9.2.2: not sent twice",
        script=((ReadRequest(), Close()), (ReadRequest(), Send(OK + HI))),
        request=Request(method="POST", body=b"body"),
        expected=fails("protocol"),
        max_requests=1,
    ),
    Case(
        name="a POST and a reset",
        source="curl sends it twice",
        script=((ReadRequest(), Reset()), (ReadRequest(), Send(OK + HI))),
        request=Request(method="POST", body=b"body"),
        expected=fails("protocol"),
        max_requests=1,
    ),
)

# Below TLS a transport may hold what those above take for sent; where it does not let anybody look,
# a connection that could have been kept is not.
CASES = PLAIN + tuple(
    attrs.evolve(
        case,
        name=f"{case.name}, over TLS",
        tls="valid",
        reuse=Reuse.ANY if case.reuse is Reuse.MUST else case.reuse,
    )
    for case in PLAIN
    if case.request.body == LARGE
)
