"""
How answers are delivered: in which steps, and where they break.
"""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch.testing import Behaviour, End, Raw, RecordedRequest, Reply

GET = RecordedRequest(
    method="GET", target="/", raw_headers=(), body=b"", http_version="1.1", keep_alive=True
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
REPLY = Reply(body=b"body")


def steps(behaviour: Behaviour, draw: float = 0.0) -> list[bytes | float | End]:
    return list(behaviour.steps(GET, draw))


def test_a_behaviour_alone_answers_nothing() -> None:
    """It says how an answer is delivered, and lacks the answer."""
    behaviour: Any = Behaviour
    with pytest.raises(TypeError, match="abstract"):
        behaviour()


def test_an_answer_goes_out_in_one_piece() -> None:
    """Head and body are one write, as one packet is what most small answers are."""
    assert steps(REPLY) == [HEAD + b"body", End.KEEP]


def test_a_delay_comes_first() -> None:
    """The wait is before the first byte, with the jitter's share of it."""
    assert steps(REPLY.delayed(2)) == [2, HEAD + b"body", End.KEEP]
    assert steps(REPLY.delayed(2, jitter=4), draw=0.25) == [3, HEAD + b"body", End.KEEP]


def test_a_paced_body_goes_out_piece_by_piece() -> None:
    """Between the pieces are waits; the head does not wait for the first."""
    assert steps(REPLY.paced(3, every=0.5)) == [HEAD, b"bod", 0.5, b"y", End.KEEP]


def test_a_head_can_be_paced_too() -> None:
    """With `head=True` the pieces begin at the first byte."""
    answer = steps(Raw(b"12345").paced(2, every=1, head=True))

    assert answer == [b"12", 1, b"34", 1, b"5", End.CLOSE]


@pytest.mark.parametrize(
    ("name", "end"), [("reset", End.RESET), ("cut", End.CUT), ("hang", End.HANG)]
)
@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ({}, b""),
        ({"head": 0}, b""),
        ({"head": 9}, HEAD[:9]),
        ({"body": 0}, HEAD),
        ({"body": 2}, HEAD + b"bo"),
        ({"body": 99}, HEAD + b"body"),
    ],
)
def test_an_answer_breaks_off_at_the_place(
    name: str, end: End, place: dict[str, int], sent: bytes
) -> None:
    """Reset, cut and hang come before the response, within its head, or within its body."""
    assert steps(getattr(REPLY, name)(**place)) == [sent, end]


def test_bytes_of_a_chunked_body_are_counted_on_the_wire() -> None:
    """A break within the body counts the chunk heads."""
    answer = steps(Reply(body=b"body", framing="chunked").cut(body=4))

    assert answer == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nb", End.CUT]


def test_behaviours_compose_in_any_order() -> None:
    """What was said of an answer does not depend on the order in which it was said."""
    one = REPLY.delayed(1).paced(2, every=3).reset(body=3)
    other = REPLY.reset(body=3).paced(2, every=3).delayed(1)

    assert steps(one) == steps(other) == [1, HEAD, b"bo", 3, b"d", End.RESET]


def test_a_break_is_at_one_place() -> None:
    """Head and body together are refused."""
    with pytest.raises(ValueError, match="not both: head=1, body=2"):
        REPLY.cut(head=1, body=2)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("delayed", {"delay": -1}),
        ("delayed", {"delay": 1, "jitter": -1}),
        ("paced", {"size": 0, "every": 1}),
        ("paced", {"size": 1, "every": -1}),
        ("cut", {"body": -1}),
    ],
)
def test_negative_times_and_lengths_are_refused(method: str, arguments: dict[str, int]) -> None:
    """A number that makes no sense is an error where it is written."""
    with pytest.raises(ValueError, match="must be >="):
        getattr(REPLY, method)(**arguments)
