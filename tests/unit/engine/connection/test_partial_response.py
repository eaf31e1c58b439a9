"""A response in pieces: what it is held to until the last of them is there."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine._exchange import NEVER, ExchangeLimits
from asyncbatch._engine._minimum_rate import WINDOW
from asyncbatch._engine.connection._partial_response import (
    HIGH_WATER,
    LEAST_WINDOW,
    MOST_WINDOW,
    REFILLED,
    TOGETHER,
    PartialResponse,
)
from asyncbatch._engine.http11 import ResponseProtocol
from asyncbatch._engine.http11._body import BLOCK
from asyncbatch._engine.io._refill import Refill

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"
MOVED = b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n"
SHARED = memoryview(bytearray(10))


class Transport:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.place = SHARED
        # Whether other threads may receive.
        self.can_refill = True

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def receive_into(self, buffer: memoryview) -> None:
        self.told.append("shared" if buffer is SHARED else "place")
        self.place = buffer

    def refill(self, most: int) -> Refill | None:
        if not self.can_refill:
            return None
        self.told.append(("refill", most))
        return Refill(len, most)


class Rig:
    """A response under way, at the time 0."""

    def __init__(self, **limits: Any) -> None:
        self.protocol, self.transport = ResponseProtocol(), Transport()
        self.protocol.begin_response(False)
        transport: Any = self.transport
        self.partial = PartialResponse(ExchangeLimits(**limits), self.protocol, transport, SHARED)

    def receive(self, content: bytes, now: float = 0.0) -> Any:
        assert not self.protocol.receive(content)
        return self.partial.add(len(content), now)

    def lend(self) -> None:
        """Begin a body that is lent, after its head."""
        self.receive(HEAD + b"x")
        self.partial.lend()
        assert self.partial.take_body() == b"x"

    def fill(self) -> None:
        """Receive as much as there is room for."""
        place = self.transport.place
        assert place is not SHARED
        assert not self.protocol.receive(place)
        self.partial.add(len(place), 0.0)


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

    assert len(rig.partial.take_body()) == HIGH_WATER + 1
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


@pytest.mark.parametrize(
    ("in_use", "size"),
    [
        (1, MOST_WINDOW),
        (TOGETHER // MOST_WINDOW, MOST_WINDOW),
        (10, TOGETHER // 10),
        (1000, LEAST_WINDOW),
    ],
)
def test_bodies_that_are_received_together_take_turns(in_use: int, size: int) -> None:
    """The more there are, the less of each is received at once."""
    rig = Rig()
    rig.protocol.receive(HEAD + b"x")
    rig.partial.add(1, 0.0, in_use)

    assert len(rig.transport.place) == size


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


def test_a_lent_body_is_received_where_its_reader_finds_it() -> None:
    """Reading pauses while there is no room, and goes on elsewhere when all was taken."""
    rig = Rig(streams=True)
    rig.lend()
    first = rig.transport.place
    rig.fill()
    paused = rig.transport.told
    rig.transport.told = []
    piece = rig.partial.take_body()

    assert paused == ["place", "shared", "pause"]
    assert isinstance(piece, memoryview)
    assert piece == first
    assert rig.transport.told == ["place", "resume"]
    assert rig.transport.place.obj is not first.obj


def test_a_body_that_is_not_lent_is_copied() -> None:
    """Its reader may keep the pieces."""
    rig = Rig(streams=True)
    rig.receive(HEAD + b"x" * 1000)

    assert rig.partial.take_body() == b"x" * 1000
    assert rig.transport.told == []


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
    ],
)
def test_a_short_or_chunked_body_is_copied(head: bytes) -> None:
    """Its blocks would cost more, or it is not received as it is."""
    rig = Rig(streams=True)
    rig.receive(head + b"x")
    rig.partial.lend()

    assert rig.partial.take_body() == b"x"
    assert rig.transport.told == []


def test_behind_a_full_piece_its_reader_may_receive() -> None:
    """What it receives is counted with the next piece, and the last bytes come here."""
    rig = Rig(streams=True)
    rig.lend()
    rig.fill()
    rig.partial.take_body()
    left = rig.protocol.announced
    rig.transport.told.clear()
    refill = rig.partial.refill()
    assert refill is not None
    received = sum(refill(memoryview(bytearray(BLOCK))) for _ in range(3))
    rig.partial.take_body()

    (told, most), *_, last = rig.transport.told
    assert (told, last) == ("refill", "resume")
    assert left - 200_000 < most < left
    assert received == 3 * BLOCK
    assert rig.protocol.announced == left - received
    assert refill(memoryview(bytearray(10))) == 0


def test_a_reader_does_not_receive_without_end() -> None:
    """Only what it has received is known to have come."""
    rig = Rig(streams=True)
    rig.receive(HEAD.replace(b"9999999", b"9" * 12) + b"x")
    rig.partial.lend()
    rig.partial.take_body()
    rig.fill()
    rig.partial.take_body()
    rig.partial.refill()

    assert ("refill", REFILLED) in rig.transport.told


@pytest.mark.parametrize("why", ["little came", "more has come", "near the end", "not this one"])
def test_a_reader_may_not_receive_where_it_does_not_pay(why: str) -> None:
    """Or where bytes would come out of order."""
    rig = Rig(streams=True)
    rig.lend()
    if why == "little came":
        rig.receive(b"x" * 1000)
        rig.partial.take_body()
    elif why == "near the end":
        while rig.protocol.announced > BLOCK:
            rig.fill()
            rig.partial.take_body()
    else:
        rig.fill()
        rig.partial.take_body()
    if why == "more has come":
        rig.receive(b"x")
    rig.transport.can_refill = why != "not this one"

    assert rig.partial.refill() is None


def test_after_a_lent_body_the_next_one_is_received_as_before() -> None:
    """Its blocks are its reader's."""
    rig = Rig(streams=True)
    rig.lend()
    rig.partial.leave_place()

    assert rig.transport.place is SHARED
