"""`Refill`: what receives from a socket in place of its transport."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch._engine.io._refill import Refill


def memory(size: int = 10) -> memoryview:
    return memoryview(bytearray(size))


def giving(*answers: Any) -> Callable[[memoryview], int]:
    """Make a `recv_into` that gives these answers."""
    left = list(answers)

    def receive_into(buffer: memoryview) -> int:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        buffer[: len(answer)] = answer
        return len(answer)

    return receive_into


def test_what_has_come_is_counted() -> None:
    """It goes into the memory that is given."""
    refill, place = Refill(giving(b"abc", b"de"), 100), memory()
    sizes = [refill(place), refill(place)]

    assert sizes == [3, 2]
    assert bytes(place[:3]) == b"dec"
    assert (refill.received, refill.error) == (5, None)


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()])
def test_it_does_not_wait(error: OSError) -> None:
    """It may be called again."""
    refill = Refill(giving(error, b"abc"), 100)

    assert [refill(memory()), refill(memory())] == [0, 3]


def test_it_receives_no_more_than_it_may() -> None:
    """What follows is not its own."""
    asked: list[int] = []

    def receive_into(buffer: memoryview) -> int:
        asked.append(len(buffer))
        return len(buffer)

    refill = Refill(receive_into, 15)

    assert [refill(memory()) for _ in range(3)] == [10, 5, 0]
    assert asked == [10, 5]


@pytest.mark.parametrize("end", [b"", ConnectionResetError("reset")])
def test_behind_the_end_it_does_not_receive(end: Any) -> None:
    """An error is kept for the transport; the end is found again."""
    refill = Refill(giving(b"abc", end), 100)

    assert [refill(memory()) for _ in range(3)] == [3, 0, 0]
    assert refill.error is (end or None)


def test_once_ended_it_does_not_receive() -> None:
    """Whatever calls it."""
    refill = Refill(giving(b"abc"), 100)
    refill.stop_receiving()

    assert refill(memory()) == 0
    assert refill.received == 0


def test_the_end_waits_for_a_call_in_progress() -> None:
    """Afterwards, the socket may be closed."""
    entered, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def receive_into(buffer: memoryview) -> int:
        entered.set()
        go_on.wait(20)
        steps.append("received")
        return 1

    refill = Refill(receive_into, 100)
    thread = threading.Thread(target=refill, args=(memory(),))
    thread.start()
    entered.wait(20)
    ending = threading.Thread(target=lambda: (refill.stop_receiving(), steps.append("ended")))
    ending.start()
    go_on.set()
    for each in (thread, ending):
        each.join(20)

    assert steps == ["received", "ended"]
