"""Differential test: what h11 makes of the same bytes, and where we differ on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.http11.messages import MALFORMED, OK, TOO_LARGE, TRUNCATED, VALID, Message
from tests.unit.engine.http11.readers import read_h11, read_ours

DOCUMENT = Path(__file__).parents[2] / "docs" / "http-support.md"

# Case to the line of the document that says why; h11 decides the opposite in each of them.
STRICTER = {
    "bare line feeds": "bare line feed",
    "a bare line feed": "bare line feed",
    "a bare line feed in a trailer": "bare line feed",
    "a folded line": "folded line",
    "a folded trailer": "folded line",
    "HTTP/2.0": "version other than 1.x",
    "both framings": "`Transfer-Encoding` together with `Content-Length`",
    "a control in a value": "control character in a field value",
    "DEL in a value": "control character in a field value",
    "NUL in an extension": "control character in a chunk extension",
    "a bare carriage return in an extension": "control character in a chunk extension",
    "extensions that outgrow the body": "chunk extensions",
    "too many fields": "256 fields",
    "too many trailers": "256 fields",
    "too many informational": "20 informational responses",
    "informational heads past the limit": "64 KiB",
    "a head past the limit": "64 KiB",
    "a trailer past the limit": "16 KiB",
    "head and trailers past the limit together": "64 KiB",
    "informational heads and trailers past the limit together": "64 KiB",
}
MORE_LENIENT = {
    "a blank before an extension": "a blank before a chunk extension",
    "identity": "`Transfer-Encoding: identity`",
    "a length with thirty zeros": "more than 20 digits",
    "a chunk size with thirty zeros": "more than 20 digits",
    "thirty zeros as the last chunk": "more than 20 digits",
}


@pytest.mark.parametrize(
    "message", VALID + MALFORMED + TOO_LARGE + TRUNCATED, ids=lambda message: message.name
)
def test_we_read_what_h11_reads_but_for_the_listed_differences(message: Message) -> None:
    """Each difference has a reason in the document; an unlisted one is a bug of ours."""
    ends = message.ends or message.error is not None
    ours = read_ours(message.wire, message.method, ends=ends)
    theirs = read_h11(message.wire, message.method, ends=ends)

    if message.name in STRICTER:
        assert ours is None
        assert theirs is not None
    elif message.name in MORE_LENIENT:
        assert ours is not None
        assert theirs is None
    else:
        assert ours == theirs


@pytest.mark.parametrize("reason", sorted({*STRICTER.values(), *MORE_LENIENT.values()}))
def test_the_differences_are_documented(reason: str) -> None:
    """The list of deliberate differences is the document's."""
    assert reason in DOCUMENT.read_text()


names = st.sampled_from([b"X", b"Date", b"Content-Type", b"Server", b"Connection", b"Vary"])
values = st.sampled_from([b"a", b"", b" a b ", b"close", b"keep-alive", b"x, y", b"\xe4"])
fields = st.lists(st.builds(lambda n, v: n + b":" + v + b"\r\n", names, values), max_size=4)
bodies = st.binary(max_size=40)


def _sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunked(body: bytes) -> bytes:
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _until_close(body: bytes) -> bytes:
    return b"\r\n" + body


framings = st.sampled_from([_sized, _chunked, _until_close])


@given(fields, bodies, framings)
def test_whatever_is_valid_is_read_alike(lines: list[bytes], body: bytes, framing: object) -> None:
    """Random fields, bodies and framings."""
    assert callable(framing)
    wire = OK + b"".join(lines) + framing(body)

    assert read_ours(wire, b"GET", ends=True) == read_h11(wire, b"GET", ends=True) == (200, body)


@given(
    fields,
    bodies,
    framings,
    st.integers(0, 200),
    st.binary(min_size=1, max_size=3),
    st.sampled_from(["replace", "insert", "delete"]),
)
def test_whatever_both_accept_they_read_alike(
    lines: list[bytes], body: bytes, framing: object, place: int, noise: bytes, how: str
) -> None:
    """A valid message with some bytes replaced, inserted or deleted."""
    assert callable(framing)
    wire = OK + b"".join(lines) + framing(body)
    place %= len(wire)
    behind = place if how == "insert" else place + len(noise)
    wire = wire[:place] + (b"" if how == "delete" else noise) + wire[behind:]

    ours = read_ours(wire, b"GET", ends=True)
    theirs = read_h11(wire, b"GET", ends=True)

    assert ours is None or theirs is None or ours == theirs
