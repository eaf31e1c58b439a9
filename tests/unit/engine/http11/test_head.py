"""Response heads: fields as spelled, framing as judged."""

from __future__ import annotations

import pytest

from asyncbatch._engine.http11._errors import ProtocolError
from asyncbatch._engine.http11._head import CHUNKED, UNTIL_CLOSE, check_partial_head, parse_head

OK = b"HTTP/1.1 200 OK\r\n"


def test_fields_keep_their_order_and_spelling() -> None:
    """Names come as the peer wrote them, values without the blanks around them."""
    head = parse_head(b"HTTP/1.0 404 Not Found\r\nB: 1\r\na-A:\t x y \t\r\nB:\r\n")

    assert (head.version, head.status, head.reason) == (b"HTTP/1.0", 404, b"Not Found")
    assert head.fields == ((b"B", b"1"), (b"a-A", b"x y"), (b"B", b""))


@pytest.mark.parametrize(
    ("block", "length"),
    [
        (OK, UNTIL_CLOSE),
        (OK + b"Content-Length: 12\r\n", 12),
        (OK + b"X-Content-Length: 12\r\n", UNTIL_CLOSE),
        (OK + b"X: Content-Length: 12\r\n", UNTIL_CLOSE),
        (OK + b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"HTTP/1.1 304 X\r\nContent-Length: 12\r\n", 0),
        (b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n", 0),
    ],
)
def test_the_length_follows_from_the_head(block: bytes, length: int) -> None:
    """RFC 9112 §6.3, as far as the method does not matter."""
    assert parse_head(block).length == length


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5),
        (b"timeout=5, max=100", 5),
        (b"max=100, Timeout = 15", 15),
        (b"max=100;timeout=3", 3),
        (b'timeout="7"', 7),
        (b"max=100", None),
        (b"xtimeout=5", None),
        (b"timeout=-5", None),
        (b"timeout=99999999999999999999", 999999999),
    ],
)
def test_the_servers_idle_timeout_is_read(value: bytes, seconds: int | None) -> None:
    """`Keep-Alive` in the spellings servers use; what is no number says nothing."""
    assert parse_head(OK + b"Keep-Alive: " + value + b"\r\n").idle_timeout == seconds


def test_a_server_that_speaks_http2_is_told_by_its_first_frame() -> None:
    """RFC 9113 §3.4; the text names the option, since the user can do something about it."""
    settings = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"

    with pytest.raises(ProtocolError, match="http2=True"):
        check_partial_head(bytearray(settings), 0)
