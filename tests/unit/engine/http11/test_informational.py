"""Informational responses in front of the one that is waited for."""

from __future__ import annotations

import pytest

from asyncbatch._engine.http11 import (
    MAX_HEAD_BYTES,
    MAX_INFORMATIONAL,
    ProtocolError,
    ResponseProtocol,
    ResponseState,
    ResponseTooLarge,
    TruncatedResponse,
)

HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize("together", [True, False])
def test_as_many_as_may_be_are_passed_over(together: bool) -> None:
    """They are counted for each response by itself, also if its head is known already."""
    protocol = ResponseProtocol()
    for _ in range(3):
        protocol.begin_response()
        pieces = [HINTS] * MAX_INFORMATIONAL + [FINAL]
        for piece in [b"".join(pieces)] if together else pieces:
            protocol.receive(piece)

        assert protocol.state is ResponseState.DONE
        assert protocol.take_body() == b"hi"
        assert protocol.is_reusable


def test_one_more_is_refused() -> None:
    """Wherever they were cut."""
    protocol = ResponseProtocol()
    for _ in range(MAX_INFORMATIONAL):
        assert not protocol.receive(HINTS)

    with pytest.raises(ResponseTooLarge):
        protocol.receive(HINTS)


def test_their_bytes_count_for_the_final_head_as_well() -> None:
    """All heads of one response have one limit."""
    hints = b"HTTP/1.1 103 X\r\nL: " + b"x" * (MAX_HEAD_BYTES // 2) + b"\r\n\r\n"
    protocol = ResponseProtocol()
    assert not protocol.receive(hints)

    with pytest.raises(ResponseTooLarge):
        protocol.receive(hints.replace(b"103", b"200"))


def test_switching_protocols_is_nothing_to_pass_over() -> None:
    """Nobody asked for it."""
    with pytest.raises(ProtocolError):
        ResponseProtocol().receive(b"HTTP/1.1 101 X\r\n\r\n")


def test_a_connection_that_ends_behind_one_has_begun_to_answer() -> None:
    """So that the request is not sent again as if nothing had come."""
    protocol = ResponseProtocol()
    protocol.receive(HINTS)

    with pytest.raises(TruncatedResponse) as caught:
        protocol.receive_eof()

    assert caught.value.received
    protocol = ResponseProtocol()
    with pytest.raises(TruncatedResponse) as caught:
        protocol.receive_eof()
    assert not caught.value.received
