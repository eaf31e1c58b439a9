"""
Status lines and header fields.
"""

from __future__ import annotations

from conformance._case import Case, Reuse
from conformance._expected import fails, ok
from conformance._steps import answer

CASES = (
    Case(
        name="a plain answer",
        source="RFC 9112 §6.2",
        script=answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        expected=ok(b"hello"),
        reuse=Reuse.MUST,
    ),
    Case(
        name="a greeting of SMTP",
        source="RFC 9112 §4",
        script=answer(b"220 mail.test ESMTP\r\n"),
        expected=fails("protocol"),
    ),
)
