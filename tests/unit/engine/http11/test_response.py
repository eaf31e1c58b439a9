"""`ResponseProtocol`: bytes in, head and body out, however the bytes are cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from asyncbatch._engine.http11 import (
    KnownHeads,
    ProtocolError,
    ResponseProtocol,
    ResponseState,
    ResponseTooLarge,
    TruncatedResponse,
)
from tests.unit.engine.http11.messages import (
    CHUNKED,
    MALFORMED,
    OK,
    TOO_LARGE,
    TRUNCATED,
    VALID,
    Message,
)

DRIP_STRIDE = 997  # for messages of many kilobytes: a prime, so that the cuts fall everywhere


def cuts_of(wire: bytes) -> Iterator[list[bytes]]:
    """Yield the wire whole, byte by byte, and in two pieces cut at every place."""
    yield [wire]
    yield [wire[i : i + 1] for i in range(len(wire))]
    stride = 1 if len(wire) < 2_000 else DRIP_STRIDE
    for cut in range(1, len(wire), stride):
        yield [wire[:cut], wire[cut:]]


def feed(protocol: ResponseProtocol, pieces: Iterable[bytes]) -> bool:
    """Feed until the response is complete, and say whether pieces were left over."""
    pieces = iter(pieces)
    for piece in pieces:
        if protocol.receive(memoryview(piece)):
            return any(pieces)
    return False


def read(message: Message, pieces: list[bytes]) -> tuple[ResponseProtocol, bool]:
    protocol = ResponseProtocol()
    protocol.begin_response(message.method == b"HEAD")
    has_rest = feed(protocol, pieces)
    if message.ends and protocol.state is not ResponseState.DONE:
        protocol.receive_eof()
    return protocol, has_rest


@pytest.mark.parametrize("message", VALID, ids=lambda message: message.name)
def test_a_valid_response_reads_the_same_however_it_is_cut(message: Message) -> None:
    """Status, body and the state of the connection depend on the bytes alone."""
    for pieces in cuts_of(message.wire):
        protocol, has_rest = read(message, pieces)

        assert protocol.state is ResponseState.DONE, pieces
        assert protocol.head is not None
        assert protocol.head.status == message.status
        assert protocol.take_body() == message.body
        # What comes in a later piece closes the connection when it comes.
        assert (protocol.is_reusable and not has_rest) is message.keeps, pieces


@pytest.mark.parametrize("message", MALFORMED + TOO_LARGE, ids=lambda message: message.name)
def test_a_broken_response_is_refused_however_it_is_cut(message: Message) -> None:
    """The error is raised by the bytes themselves, without waiting for the connection's end."""
    assert message.error is not None
    for pieces in cuts_of(message.wire):
        protocol = ResponseProtocol()

        with pytest.raises(message.error):
            feed(protocol, pieces)

        assert not protocol.is_reusable


@pytest.mark.parametrize("message", TRUNCATED, ids=lambda message: message.name)
def test_a_cut_response_is_truncated(message: Message) -> None:
    """An early end is never a short success."""
    for pieces in cuts_of(message.wire):
        protocol = ResponseProtocol()
        assert not feed(protocol, pieces)

        with pytest.raises(TruncatedResponse) as caught:
            protocol.receive_eof()

        assert caught.value.received is bool(message.wire)


@pytest.mark.parametrize("message", VALID, ids=lambda message: message.name)
def test_no_prefix_of_a_valid_response_is_an_error_or_complete_too_early(message: Message) -> None:
    """Each prefix waits for more, or holds the whole message."""
    for end in range(len(message.wire)):
        protocol = ResponseProtocol()
        protocol.begin_response(message.method == b"HEAD")

        if protocol.receive(message.wire[:end]):
            assert protocol.take_body() == message.body
            break


@pytest.mark.parametrize("message", VALID, ids=lambda message: message.name)
def test_one_protocol_reads_many_responses(message: Message) -> None:
    """Nothing of a response stays behind for the next on the same connection."""
    protocol = ResponseProtocol()
    before = OK + b"Content-Length: 3\r\n\r\nabc"
    for _ in range(2):
        protocol.begin_response()
        assert protocol.receive(before)
        protocol.begin_response(message.method == b"HEAD")
        feed(protocol, [message.wire])
        if protocol.state is not ResponseState.DONE:
            protocol.receive_eof()

        assert protocol.take_body() == message.body
        assert protocol.is_reusable is message.keeps


@pytest.mark.parametrize("other", VALID, ids=lambda message: message.name)
def test_one_protocol_reads_responses_that_alternate(other: Message) -> None:
    """As each by itself; a head that came before the last is known, as the last is."""
    for message in VALID:
        protocol = ResponseProtocol()
        heads = []
        for each in [message, other] * 3:
            protocol.begin_response(each.method == b"HEAD")
            feed(protocol, [each.wire])
            if protocol.state is not ResponseState.DONE:
                protocol.receive_eof()

            assert protocol.take_body() == each.body
            assert protocol.is_reusable is each.keeps
            assert protocol.head is not None
            heads.append(protocol.head)
        assert [head.block for head in heads[:2]] * 2 == [head.block for head in heads[2:]]


def test_the_last_two_heads_are_not_parsed_again() -> None:
    """A server that redirects each request answers with two in turn."""
    protocol = ResponseProtocol()
    moved = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
    heads = set()
    for wire in [moved, OK + b"Content-Length: 1\r\n\r\na"] * 3:
        protocol.begin_response()
        assert protocol.receive(wire)
        heads.add(protocol.head)

    assert len(heads) == 2


def test_connections_that_share_known_heads_parse_each_head_once() -> None:
    """Also the one that comes after another, as when the second of the date ends."""
    known_heads = KnownHeads()
    protocols = [ResponseProtocol(known_heads) for _ in range(3)]
    heads = []
    for body in b"a", b"bb":
        wire = OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        for protocol in protocols:
            protocol.begin_response()
            assert protocol.receive(wire)
            assert protocol.body == body
            heads.append(protocol.head)

    assert len(set(heads)) == 2


def test_a_long_head_is_not_kept_for_comparison() -> None:
    """A server decides how long a head is, and the heads of many servers are kept."""
    known_heads = KnownHeads()
    protocol = ResponseProtocol(known_heads)
    fill = b"X: " + b"x" * 5000 + b"\r\n"

    assert protocol.receive(OK + fill + b"Content-Length: 0\r\n\r\n")
    assert known_heads.last is None


def test_a_reset_never_completes_a_body() -> None:
    """Only an orderly end ends a body that is framed by the end of the connection."""
    protocol = ResponseProtocol()
    protocol.receive(OK + b"\r\nhello")

    with pytest.raises(TruncatedResponse):
        protocol.receive_eof(is_clean=False)


def test_trailers_stay_apart_from_header_fields() -> None:
    """Trailer fields come out of their own attribute only."""
    protocol = ResponseProtocol()
    wire = CHUNKED + b"0\r\nContent-Length: 7 \r\nX:y\r\n\r\n"

    assert protocol.receive(wire)

    assert protocol.trailers == ((b"Content-Length", b"7"), (b"X", b"y"))
    assert protocol.head is not None
    assert protocol.head.fields == ((b"Transfer-Encoding", b"chunked"),)


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"Content-Length: 11\r\n\r\n",
        CHUNKED + b"B\r\n",
        CHUNKED + b"6\r\nabcdef\r\n5\r\n",
        OK + b"\r\n" + b"a" * 11,
    ],
    ids=["by its length", "by its first chunk", "by a later chunk", "as it comes"],
)
def test_a_body_beyond_the_cap_is_refused(wire: bytes) -> None:
    """The cap holds for every framing, and before the bytes are there where they are announced."""
    protocol = ResponseProtocol()
    protocol.begin_response(max_body=10)

    with pytest.raises(ResponseTooLarge) as caught:
        protocol.receive(wire)

    assert caught.value.limit == 10


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"Content-Encoding: gzip\r\nContent-Length: 3000\r\n\r\n",
        CHUNKED.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\nBB8\r\n",
        OK + b"Content-Encoding: gzip\r\n\r\n" + b"a" * 3_000,
    ],
    ids=["by its length", "by its chunk", "as it comes"],
)
def test_the_cap_that_is_named_is_the_one_that_was_asked_for(wire: bytes) -> None:
    """Not what a body with a coding may have on the wire, which is a little more."""
    protocol = ResponseProtocol()
    protocol.begin_response(max_body=1_000)

    with pytest.raises(ResponseTooLarge, match="larger than 1000 bytes") as caught:
        protocol.receive(wire)

    assert caught.value.limit == 1_000


@pytest.mark.parametrize("tail", [b"Content-Length: 10\r\n\r\n", b"\r\n"])
def test_a_body_as_large_as_the_cap_is_accepted(tail: bytes) -> None:
    """The cap is the largest size that passes."""
    protocol = ResponseProtocol()
    protocol.begin_response(max_body=10)
    if not protocol.receive(OK + tail + b"0123456789"):
        protocol.receive_eof()

    assert protocol.take_body() == b"0123456789"


def test_a_streamed_body_is_handed_over_piece_by_piece() -> None:
    """What was taken is forgotten, and nothing is lost or doubled."""
    protocol = ResponseProtocol()
    wire = CHUNKED + b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
    taken = []
    for i in range(0, len(wire), 7):
        protocol.receive(wire[i : i + 7])
        taken.append(protocol.take_body())

    assert b"".join(taken) == b"helloworld"
    assert protocol.state is ResponseState.DONE


def test_the_whole_head_counts_against_one_limit() -> None:
    """Informational responses leave the final head what they did not use."""
    protocol = ResponseProtocol()
    protocol.receive(b"HTTP/1.1 103 X\r\nL: " + b"x" * 40_000 + b"\r\n\r\n")

    with pytest.raises(ResponseTooLarge):
        protocol.receive(OK + b"X: " + b"x" * 40_000 + b"\r\n\r\n")


def test_an_error_shows_what_was_wrong() -> None:
    """The message names the line, cut to a length that fits a log."""
    protocol = ResponseProtocol()

    with pytest.raises(ProtocolError, match=r"malformed header field: b'Bad Name: xx"):
        protocol.receive(OK + b"Good: 1\r\nBad Name: " + b"x" * 500 + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("length", "coding", "is_taken"),
    [
        (100_000, b"", True),
        (100_001, b"", False),
        (102_024, b"Content-Encoding: gzip\r\n", True),
        (102_025, b"Content-Encoding: gzip\r\n", False),
    ],
)
def test_a_body_past_its_limit_is_refused_before_it_comes(
    length: int, coding: bytes, is_taken: bool
) -> None:
    """A coding may make a body a little longer than what it decodes to, and is judged later."""
    protocol = ResponseProtocol()
    protocol.begin_response(max_body=100_000)
    head = b"HTTP/1.1 200 OK\r\n" + coding + b"Content-Length: %d\r\n\r\n" % length

    if is_taken:
        assert not protocol.receive(head)
    else:
        with pytest.raises(ResponseTooLarge):
            protocol.receive(head)


def test_trailers_that_come_byte_by_byte_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading all of 16 KiB again for each byte would take seconds of processor time."""
    looked_at = 0

    class Counting:
        def search(self, partial: bytes, start: int = 0) -> None:
            nonlocal looked_at
            looked_at += len(partial) - start

    monkeypatch.setattr("asyncbatch._engine.http11._chunked.BROKEN_LINE", Counting())
    trailers = b"X-Trailer: some of them\r\n" * 200
    protocol = ResponseProtocol()
    protocol.begin_response()
    for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers:
        assert not protocol.receive(bytes([byte]))

    assert looked_at <= 4 * len(trailers)
    assert protocol.receive(b"\r\n")
