"""
Short forms for the commonest kinds of case.
"""

from __future__ import annotations

from typing import Any

from conformance._case import Case, Request, Reuse
from conformance._expected import Expected, either, fails, ok
from conformance._steps import Close, Reset, Step, answer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
HI = b"Content-Length: 2\r\n\r\nhi"

HEAD = Request(method="HEAD")


def valid(
    name: str,
    source: str,
    wire: bytes,
    body: bytes = b"",
    *then: Step,
    status: int = 200,
    headers: dict[str, str | None] | None = None,
    keeps: bool | None = True,
    **more: Any,
) -> Case:
    """Make a case that must succeed: `wire` is sent, and the steps of `then` taken."""
    reuse = {True: Reuse.MUST, False: Reuse.MUST_NOT, None: Reuse.ANY}[keeps]
    expected = ok(body, status, headers)
    return Case(
        name=name,
        source=source,
        script=answer(wire, *then),
        expected=expected,
        reuse=reuse,
        **more,
    )


def closing(name: str, source: str, wire: bytes, body: bytes = b"", **more: Any) -> Case:
    """Make a case that must succeed, and whose server closes behind it."""
    return valid(name, source, wire, body, Close(), keeps=False, **more)


def broken(name: str, source: str, wire: bytes, *kinds: str, **more: Any) -> Case:
    """Make a case that must fail at once: the server then waits, and would for ever."""
    return Case(
        name=name,
        source=source,
        script=answer(wire),
        expected=fails(*(kinds or ("protocol",))),
        reuse=Reuse.MUST_NOT,
        **more,
    )


def cut(name: str, source: str, wire: bytes, *kinds: str, **more: Any) -> Case:
    """Make a case in which the server closes too early."""
    return Case(
        name=name,
        source=source,
        script=answer(wire, Close()),
        expected=fails(*kinds),
        reuse=Reuse.MUST_NOT,
        **more,
    )


def reset(name: str, source: str, wire: bytes, *kinds: str, **more: Any) -> Case:
    """Make a case in which the server resets the connection."""
    return Case(
        name=name,
        source=source,
        script=answer(wire, Reset()),
        expected=fails(*kinds),
        reuse=Reuse.MUST_NOT,
        **more,
    )


def unclear(
    name: str,
    source: str,
    wire: bytes,
    expected: Expected,
    *then: Step,
    kinds: tuple[str, ...] = ("protocol",),
    reason: str,
    **more: Any,
) -> Case:
    """Make a case in which a response and a failure are both right."""
    return Case(
        name=name,
        source=source,
        script=answer(wire, *then),
        expected=either(expected, *kinds, reason=reason),
        **more,
    )
