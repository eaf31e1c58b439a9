"""
`Retry-After` in every spelling: an answer like any other for who does not try again.
"""

from __future__ import annotations

from conformance._case import Case
from conformance._expected import ok
from conformance._steps import answer

VALUES = {
    "seconds": b"1",
    "none": b"",
    "a time beyond every clock": b"9999999999",
    "more digits than a number may have": b"9" * 5000,
    "a negative time": b"-1",
    "a sign": b"+5",
    "a fraction": b"1.5",
    "an exponent": b"1e9",
    "hexadecimal digits": b"0x10",
    "underscores": b"1_000",
    "not a number": b"nan",
    "infinity": b"inf",
    "digits of another script": "\uff15".encode(),
    "a word": b"soon",
    "a date in the past": b"Thu, 01 Jan 1970 00:00:00 GMT",
    "a date in the far future": b"Fri, 31 Dec 9999 23:59:59 GMT",
    "a date beyond every calendar": b"Fri, 31 Dec 99999 23:59:59 GMT",
    "a date that is none": b"Thu, 99 Foo 2026 99:99:99 GMT",
    "two times": b"1, 2",
}

CASES = tuple(
    Case(
        name=f"a {status} with a Retry-After of {title}",
        source="RFC 9110 §10.2.3; curl test 366; urllib3 2.6.3",
        script=answer(
            b"HTTP/1.1 %d Later\r\nRetry-After: %b\r\nContent-Length: 5\r\n\r\nlater"
            % (status, value)
        ),
        expected=ok(b"later", status),
        max_requests=1,
        exact=True,
    )
    for title, value in VALUES.items()
    for status in ((429, 503) if title in ("seconds", "a time beyond every clock") else (429,))
)
