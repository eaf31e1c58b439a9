"""
How the bytes of a connection become requests.
"""

from __future__ import annotations

import pytest

from asyncbatch.testing._request import MAX_REQUEST, BadRequestError, RequestReader

POST = b"POST /path?a=b HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
TRAILED = CHUNKED[:-2] + b"A: 1\r\nB:\t2 \r\n\r\n"


@pytest.mark.parametrize("content", [POST, CHUNKED, TRAILED, b"\r\n" + POST])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_request_is_read_in_pieces_of_any_size(content: bytes, size: int) -> None:
    """How the bytes are cut makes no difference."""
    reader = RequestReader()
    for start in range(0, len(content), size):
        assert not reader.requests
        reader.feed(content[start : start + size])

    (request,) = reader.requests
    assert request.body == b"body"


def test_a_request_is_recorded_as_sent() -> None:
    """Method, target and headers are kept, the latter in order and with repetitions."""
    reader = RequestReader()
    reader.feed(POST)

    (request,) = reader.requests
    assert (request.method, request.path, request.query) == ("POST", "/path", "a=b")
    assert request.raw_headers[1:3] == ((b"A", b"1"), (b"A", b"2"))
    assert request.headers["a"] == "1, 2"
    assert request.keep_alive
    assert request.http_version == "1.1"


def test_requests_in_one_piece_are_told_apart() -> None:
    """Pipelined requests come out one by one, in order."""
    reader = RequestReader()
    reader.feed(POST + CHUNKED + POST)

    assert [request.path for request in reader.requests] == ["/path", "/c", "/path"]


def test_a_client_that_waits_for_a_100_is_noticed() -> None:
    """`Expect: 100-continue` asks for an answer before the body, and only until it is there."""
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    waiting = reader.wants_continue
    reader.feed(b"body")

    assert waiting
    assert not reader.wants_continue


def test_an_upgrade_is_a_request_like_any_other() -> None:
    """A request to upgrade is answered in HTTP/1.1, and is the last of its connection."""
    reader = RequestReader()
    reader.feed(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    (request,) = reader.requests
    assert not request.keep_alive


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [("1.1", "close", False), ("1.0", "close", False), ("1.0", "keep-alive", True)],
)
def test_the_client_says_whether_the_connection_stays(
    version: str, connection: str, keep_alive: bool
) -> None:
    """`ServerConnection` and the version settle it."""
    reader = RequestReader()
    reader.feed(f"GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n".encode())

    assert reader.requests[0].keep_alive is keep_alive
    assert reader.requests[0].http_version == version


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01 hello",
        b"\rGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nA: 1\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n 2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: +4\r\n\r\nbody",
        b"PUT / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n", 1),
        CHUNKED.replace(b"chunked", b"gzip, chunked"),
        CHUNKED.replace(b"\n4\r", b"\n0x4\r"),
        CHUNKED.replace(b"\n4\r", b"\n3\r"),
        CHUNKED[:-2] + b"A 1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(content: bytes) -> None:
    """What is no HTTP, or could be read in two ways, gets a 400, if it can before its end."""
    with pytest.raises(BadRequestError) as caught:
        RequestReader().feed(content)

    assert caught.value.status == 400


def test_trailers_are_recorded_after_the_headers() -> None:
    """The fields that follow a chunked body are kept like the others."""
    reader = RequestReader()
    reader.feed(TRAILED)

    assert reader.requests[0].raw_headers[1:] == ((b"A", b"1"), (b"B", b"2"))


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"])
def test_what_follows_the_last_request_is_passed_over(head: bytes) -> None:
    """Once a client takes no further response, its bytes are no requests."""
    reader = RequestReader()
    reader.feed(head + POST)
    reader.feed(b"\x00")

    assert len(reader.requests) == 1


def test_a_request_without_end_is_refused() -> None:
    """A request above the limit gets a 413 instead of the memory."""
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
    with pytest.raises(BadRequestError) as caught:
        reader.feed(bytes(MAX_REQUEST))

    assert caught.value.status == 413


def test_many_requests_on_one_connection_are_not_added_up() -> None:
    """The limit is one request's, not the connection's."""
    reader = RequestReader()
    for _ in range(3):
        reader.feed(b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))

    assert len(reader.requests) == 3
