"""Request heads: nothing gets in that is not what it says it is."""

from __future__ import annotations

import pytest

from asyncbatch._engine.http11 import (
    InvalidRequest,
    encode_chunk,
    encode_fields,
    encode_request_line,
)

HOST = (b"Host", b"example.org")
CONTROLS = [bytes([code]) for code in (*range(32), 127)]


def test_a_request_line_is_encoded() -> None:
    """Method, target, version."""
    line = encode_request_line(b"PATCH", b"/a?b=c%20d")

    assert line == b"PATCH /a?b=c%20d HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "method", [b"", b"GE T", b"GET\r\n", b"G\x00T", b"G\xe4T", b"GET:", b"GET/"]
)
def test_a_method_must_be_a_token(method: bytes) -> None:
    """RFC 9110 §9.1."""
    with pytest.raises(InvalidRequest, match="method"):
        encode_request_line(method, b"/")


@pytest.mark.parametrize(
    "target",
    [b"", b"/ HTTP/1.1\r\nX: y", b"/a b", b"/\xe4", b"/\x7f", *(b"/a" + c for c in CONTROLS)],
)
def test_a_target_must_be_visible_ascii(target: bytes) -> None:
    """Whatever could end the target, or the line, is refused."""
    with pytest.raises(InvalidRequest, match="target"):
        encode_request_line(b"GET", target)


def test_fields_are_encoded_in_order() -> None:
    """Spelling and order are the caller's; the empty line is ours."""
    fields = encode_fields([HOST, (b"x-A", b"a\tb \xe4"), (b"Empty", b"")])

    assert fields.block == b"Host: example.org\r\nx-A: a\tb \xe4\r\nEmpty: \r\n\r\n"
    assert (fields.length, fields.is_chunked, fields.closes, fields.upgrades) == (
        None,
        False,
        False,
        False,
    )


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a: b\r\nc", b"\xe4", b"a\x00", b"(a)"])
def test_a_field_name_must_be_a_token(name: bytes) -> None:
    """RFC 9110 §5.1."""
    with pytest.raises(InvalidRequest, match="field name"):
        encode_fields([HOST, (name, b"x")])


@pytest.mark.parametrize("control", [c for c in CONTROLS if c != b"\t"])
@pytest.mark.parametrize("name", [b"X", b"Cookie", b"host"])
def test_a_field_value_holds_no_control(name: bytes, control: bytes) -> None:
    """Carriage return, line feed, NUL and their like stay out, and the value out of the error."""
    with pytest.raises(InvalidRequest) as caught:
        encode_fields([(name, b"secret" + control + b"X-Evil: 1")])

    assert "secret" not in str(caught.value)


def test_framing_fields_are_understood() -> None:
    """What the fields say about the body and the connection."""
    sized = encode_fields([HOST, (b"content-length", b" 12 "), (b"Connection", b"x, Close")])
    chunked = encode_fields([HOST, (b"Transfer-Encoding", b"Chunked"), (b"Upgrade", b"h2c")])

    assert (sized.length, sized.is_chunked, sized.closes) == (12, False, True)
    assert (chunked.length, chunked.is_chunked, chunked.upgrades) == (None, True, True)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"1"), (b"Content-Length", b"1")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"1, 1")],
        [(b"Content-Length", "\uff11".encode())],
        [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"content-length", b"1")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [HOST, HOST],
    ],
)
def test_contradictory_fields_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    """A request that two readers could read differently is not sent."""
    with pytest.raises(InvalidRequest):
        encode_fields(fields)


def test_an_empty_piece_does_not_end_a_chunked_body() -> None:
    """A chunk of size zero would be the last one."""
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_fields_are_the_same_with_another_host() -> None:
    """As if they had been encoded with it."""
    others = [(b"Connection", b"close"), (b"content-length", b"3")]
    fields = encode_fields([*others, HOST])
    again = fields.without_host().with_host(b"b.test:81")
    whole = encode_fields([(b"Host", b"b.test:81"), *others])

    assert fields.without_host().block == encode_fields(others).block
    assert again.block == whole.block
    assert (again.closes, again.length, again.is_chunked, again.upgrades) == (True, 3, False, False)
    with pytest.raises(InvalidRequest):
        fields.with_host(b"a\r\nX-Evil: 1")
