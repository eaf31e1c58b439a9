"""
What replies look like on the wire.
"""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime

import attrs
import pytest

from asyncbatch.testing import Behaviour, End, Raw, RecordedRequest, Reply, echo


def request(
    method: str = "GET", *, target: str = "/", http_version: str = "1.1", keep_alive: bool = True
) -> RecordedRequest:
    return RecordedRequest(
        method=method,
        target=target,
        raw_headers=((b"X-Name", b"value"),),
        body=b"caf\xc3\xa9 \xff",
        http_version=http_version,
        keep_alive=keep_alive,
    )


GET = request()


def wire(behaviour: Behaviour, asked: RecordedRequest = GET) -> tuple[bytes, End]:
    """Return the bytes of an answer that takes no time, and what becomes of the connection."""
    *sent, end = behaviour.steps(asked)
    assert isinstance(end, End)
    assert all(isinstance(step, bytes) for step in sent)
    return b"".join(step for step in sent if isinstance(step, bytes)), end


CHUNKS = b"4\r\nbody\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "sent", "end"),
    [
        (Reply(), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", End.KEEP),
        (
            Reply(404, "körper"),
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nk\xc3\xb6rper",
            End.KEEP,
        ),
        (Reply(body=3), b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxxx", End.KEEP),
        (Reply(799), b"HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n", End.KEEP),
        (
            Reply(reason="Fïne"),
            b"HTTP/1.1 200 F\xefne\r\ncontent-length: 0\r\n\r\n",
            End.KEEP,
        ),
        (
            Reply(headers={"x": "漢"}),
            b"HTTP/1.1 200 OK\r\nx: \xe6\xbc\xa2\r\ncontent-length: 0\r\n\r\n",
            End.KEEP,
        ),
        (
            Reply(body=b"body", framing="chunked"),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
            End.KEEP,
        ),
        (
            Reply(body=b"body", framing="chunked", chunk=3),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n",
            End.KEEP,
        ),
        (
            Reply(body=b"body", framing="close"),
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody",
            End.CLOSE,
        ),
        (
            Reply(close=True),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            End.CLOSE,
        ),
        (
            Reply(headers=[("Content-Length", "9"), ("a", "1"), ("a", "2")], body=b"body"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\na: 1\r\na: 2\r\n\r\nbody",
            End.KEEP,
        ),
        (Reply(204, b"unsent"), b"HTTP/1.1 204 No Content\r\n\r\n", End.KEEP),
        (
            Reply.redirect("/next", status=307),
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n",
            End.KEEP,
        ),
        (
            Reply.json({"a": [1]}),
            (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
                b'{"a": [1]}'
            ),
            End.KEEP,
        ),
    ],
)
def test_a_reply_is_sent_as_http(reply: Reply, sent: bytes, end: End) -> None:
    """Status, headers, framing and body are on the wire as RFC 9112 writes them."""
    assert wire(reply) == (sent, end)


def test_head_gets_the_head_alone() -> None:
    """A HEAD request gets the head of the GET, and no body."""
    content, end = wire(Reply(body=b"body"), request("HEAD"))

    assert content == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert end is End.KEEP


def test_http_1_0_gets_no_chunks() -> None:
    """A client that speaks HTTP/1.0 gets the body up to the close instead of in chunks."""
    reply = Reply(body=b"body", framing="chunked")

    content, end = wire(reply, request(http_version="1.0", keep_alive=True))

    assert content == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody"
    assert end is End.CLOSE


def test_http_1_0_is_told_that_the_connection_stays() -> None:
    """A client that speaks HTTP/1.0 and asked for keep-alive is told that it got it."""
    content, end = wire(Reply(), request(http_version="1.0", keep_alive=True))

    assert b"\r\nconnection: keep-alive\r\n" in content
    assert end is End.KEEP


def test_a_client_that_closes_gets_a_close() -> None:
    """Where the client wants no further response, the server closes and says so."""
    content, end = wire(Reply(), request(keep_alive=False))

    assert b"\r\nconnection: close\r\n" in content
    assert end is End.CLOSE


def test_raw_bytes_are_sent_as_they_are() -> None:
    """A raw response is neither checked nor completed."""
    assert wire(Raw(b"rubbish")) == (b"rubbish", End.CLOSE)
    assert wire(Raw(b"rubbish", End.KEEP)) == (b"rubbish", End.KEEP)


def test_echo_answers_with_the_request() -> None:
    """The echo shows method, target, headers and body."""
    reply = echo(request("PUT", target="/a?b=c"))

    assert json.loads(reply.body) == {
        "method": "PUT",
        "target": "/a?b=c",
        "headers": [["x-name", "value"]],
        "body": "café \\xff",
    }


def test_a_gzipped_body_is_one_member_or_several() -> None:
    """The members of a gzipped body, put together, are the body."""
    one, three = Reply(body=b"0123456789").gzipped(), Reply(body=b"0123456789").gzipped(members=3)

    assert gzip.decompress(one.body) == gzip.decompress(three.body) == b"0123456789"
    assert one.body.count(b"\x1f\x8b\x08") == 1
    assert three.body.count(b"\x1f\x8b\x08") == 3
    assert one.headers == (("content-encoding", "gzip"),)


def test_a_deflated_body_has_a_zlib_header_or_none() -> None:
    """Both readings of deflate that servers have are there."""
    reply = Reply(body=b"body")

    assert zlib.decompress(reply.deflated().body) == b"body"
    assert zlib.decompress(reply.deflated(raw=True).body, -zlib.MAX_WBITS) == b"body"


def test_codings_stack() -> None:
    """Each coding is put around the earlier ones, and named behind them."""
    reply = Reply(body=b"body", headers={"a": "b"}).gzipped().deflated()

    assert gzip.decompress(zlib.decompress(reply.body)) == b"body"
    assert reply.headers == (("a", "b"), ("content-encoding", "gzip, deflate"))


def test_a_coded_body_can_lose_its_tail() -> None:
    """The cut is in the coding, not in the framing."""
    reply = Reply(body=b"body").gzipped()
    cut = reply.without_tail(4)

    assert cut.body == reply.body[:-4]
    assert b"content-length: %d\r\n" % len(cut.body) in wire(cut)[0]


def test_a_tail_longer_than_the_body_is_all_of_it() -> None:
    """Nothing is left of a body shorter than the tail to lose."""
    assert Reply(body=b"body").without_tail(5).body == b""


def test_a_corrupted_body_differs_in_one_byte() -> None:
    """One byte is turned over, so that the length stays."""
    body = Reply(body=b"abc").corrupted().body

    assert body == b"a" + bytes([ord("b") ^ 0xFF]) + b"c"
    assert Reply().corrupted().body == b""


@pytest.mark.parametrize(
    ("when", "value"),
    [
        (1, "1"),
        (0.25, "0.25"),
        (3_000_000, "3000000"),
        ("soon", "soon"),
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "Wed, 02 Jan 2030 03:04:05 GMT"),
    ],
)
def test_retry_after_is_seconds_or_a_date(when: float | str | datetime, value: str) -> None:
    """Seconds are written as a number without padding, a date as RFC 9110 has it, text as is."""
    assert Reply(503).retry_after(when).headers == (("retry-after", value),)


@pytest.mark.parametrize("body", [None, -1, [b"x"]])
def test_a_body_of_another_type_is_refused(body: object) -> None:
    """A body is bytes, text or a length, and the error says so."""
    with pytest.raises(TypeError, match="bytes, text or a length of 0 or more"):
        Reply(body=body)  # type: ignore[arg-type]


def test_a_reply_is_frozen() -> None:
    """A modifier returns a copy, so that one reply can serve many routes."""
    reply = Reply(body=b"body")

    assert reply.delayed(1) is not reply
    assert reply == Reply(body=b"body")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        reply.status = 500  # type: ignore[misc]
