"""A response in pieces: what it is held to until the last of them is there."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine._exchange import NEVER, ExchangeLimits
from asyncbatch._engine._minimum_rate import WINDOW
from asyncbatch._engine.connection._partial_response import HIGH_WATER, PartialResponse
from asyncbatch._engine.http11 import ResponseProtocol

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"
MOVED = b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n"
SHARED = memoryview(bytearray(10))


class Transport:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def receive_into(self, buffer: memoryview) -> None:
        self.told.append("shared" if buffer is SHARED else "place")


class Rig:
    """A response under way, at the time 0."""

    def __init__(self, **limits: Any) -> None:
        self.protocol, self.transport = ResponseProtocol(), Transport()
        self.protocol.begin(False)
        transport: Any = self.transport
        self.partial = PartialResponse(ExchangeLimits(**limits), self.protocol, transport, SHARED)

    def receive(self, content: bytes, now: float = 0.0) -> Any:
        assert not self.protocol.receive(content)
        return self.partial.add(len(content), now)


def test_without_a_least_rate_no_response_is_too_slow() -> None:
    """However it comes."""
    rig = Rig()
    rig.receive(HEAD)

    assert rig.partial.too_slow_at == NEVER
    rig.partial.take_out(5.0)
    assert rig.partial.too_slow_at == NEVER


def test_a_response_has_to_come_at_the_least_rate_from_its_first_byte_on() -> None:
    """Time in which the loop stood still is nobody's."""
    rig = Rig(minimum_rate=100.0)
    rig.receive(HEAD[:20])
    due = rig.partial.too_slow_at
    assert WINDOW <= due <= WINDOW + 2

    rig.partial.take_out(5.0)
    assert rig.partial.too_slow_at == due + 5.0


def test_behind_an_informational_response_the_server_may_think() -> None:
    """As before the first byte."""
    rig = Rig(minimum_rate=100.0)
    rig.receive(b"HTTP/1.1 103 Early Hints\r\n")
    assert rig.partial.too_slow_at < NEVER
    rig.receive(b"Link: x\r\n\r\n")

    assert rig.partial.too_slow_at == NEVER


def test_the_pace_of_a_streamed_body_is_its_readers() -> None:
    """Only its head has to come at the least rate."""
    rig = Rig(minimum_rate=100.0, streams=True)
    rig.receive(HEAD[:20])
    assert rig.partial.too_slow_at < NEVER
    rig.receive(HEAD[20:] + b"x")

    assert rig.partial.too_slow_at == NEVER


def test_a_streamed_body_that_is_not_read_is_left_with_the_kernel() -> None:
    """It is told once, and goes on when something has been taken."""
    rig = Rig(streams=True)
    rig.receive(HEAD + bytes(HIGH_WATER - 1))
    assert rig.transport.told == []
    rig.receive(b"x")
    rig.receive(b"y")
    assert rig.transport.told == ["pause"]

    assert len(rig.partial.take()) == HIGH_WATER + 1
    rig.partial.read_on()
    assert rig.transport.told == ["pause", "resume"]


def test_a_long_body_is_received_where_it_stays() -> None:
    """And no more once it is left."""
    rig = Rig()
    rig.receive(HEAD + b"x")
    assert rig.transport.told == ["place"]
    rig.partial.leave_place()
    rig.partial.leave_place()

    assert rig.transport.told == ["place", "shared"]


def test_a_short_body_is_received_as_before() -> None:
    """A place of its own would cost more than the copy."""
    rig = Rig()
    rig.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    rig.partial.leave_place()

    assert rig.transport.told == []


@pytest.mark.parametrize(
    ("wire", "is_refused"),
    [
        (MOVED + b"Content-Length: 11\r\n\r\n", True),
        (MOVED + b"Content-Length: 10\r\n\r\n", False),
        (MOVED + b"Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a", True),
        (MOVED + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", False),
        (MOVED, False),
    ],
)
def test_the_rest_of_a_long_redirect_is_not_worth_reading(wire: bytes, is_refused: bool) -> None:
    """A new connection is cheaper. Its length tells, or what has come of it."""
    refusal = Rig(max_redirect_body=10).receive(wire)

    assert (refusal is not None) is is_refused
    assert refusal is None or refusal.limit == 10
