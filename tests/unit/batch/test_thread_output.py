"""The output whose consumer lives in another thread: order, bounds, and waking the batch."""

from __future__ import annotations

import queue
from collections.abc import Callable

import pytest

from asyncbatch._batch._thread_output import ThreadOutput
from tests.samples import success


class Turns(list[Callable[[], None]]):
    """Stands in for the event loop: what is to be called in its next turn."""

    def run(self) -> int:
        """Call it, and return how much there was."""
        due = self.copy()
        self.clear()
        for function in due:
            function()
        return len(due)


class Batch:
    """Stands in for the batch: counts how often it was woken."""

    def __init__(self, thread_output: ThreadOutput) -> None:
        self.woken = 0
        thread_output.wake = self.wake

    def wake(self) -> None:
        self.woken += 1


def make(*, ordered: bool = False, backlog: int = 4) -> tuple[ThreadOutput, Turns, Batch]:
    turns = Turns()
    thread_output = ThreadOutput(ordered=ordered, backlog=backlog, call_soon=turns.append)
    return thread_output, turns, Batch(thread_output)


def taken(thread_output: ThreadOutput, count: int) -> list[int]:
    """Take so many results, and return their indices."""
    results = [thread_output.next_result(0) for _ in range(count)]
    return [result.index for result in results if result is not None]


def test_results_of_a_turn_cross_together() -> None:
    """One call in the loop's next turn hands over all results of this one."""
    thread_output, turns, _ = make()
    for index in (2, 0, 1):
        thread_output.put(success(index))

    assert turns.run() == 1
    assert taken(thread_output, 3) == [2, 0, 1]


def test_nothing_crosses_before_the_turn_ends() -> None:
    """A result that has not crossed cannot be taken."""
    thread_output, _, _ = make()
    thread_output.put(success())

    with pytest.raises(queue.Empty):
        thread_output.next_result(0)


def test_ordered_results_wait_for_their_turn() -> None:
    """In input order, a result is taken after those of all earlier requests."""
    thread_output, turns, _ = make(ordered=True)
    for index in (2, 1):
        thread_output.put(success(index))
    assert turns.run() == 0

    thread_output.put(success(0))
    turns.run()

    assert taken(thread_output, 3) == [0, 1, 2]


def test_results_that_wait_count_until_they_are_taken() -> None:
    """Requests may start while they and all results not taken are fewer than `backlog`."""
    thread_output, turns, _ = make(backlog=4)
    for index in range(3):
        thread_output.put(success(index))
    turns.run()

    assert thread_output.may_start(0)
    assert not thread_output.may_start(1)
    taken(thread_output, 2)
    assert thread_output.may_start(2)
    assert not thread_output.may_start(3)


@pytest.mark.parametrize("ordered", [False, True])
def test_several_results_cross_as_far_as_there_is_room(ordered: bool) -> None:
    """The batch is woken when it was told that there is none."""
    thread_output, turns, batch = make(ordered=ordered, backlog=4)
    rooms = [thread_output.room(1, 1)]
    thread_output.put_all([success(index) for index in range(3)])
    turns.run()
    rooms += [thread_output.room(0, 0), thread_output.room(1, 1)]

    assert rooms == [3, 1, 0]
    assert taken(thread_output, 3) == [0, 1, 2]
    assert batch.woken == 1


def test_ordered_results_count_from_reading() -> None:
    """In input order all that were read and not taken count, early results included."""
    thread_output, turns, _ = make(ordered=True, backlog=4)
    for index in (0, 2):
        thread_output.put(success(index))
    turns.run()

    assert thread_output.may_start(1000)
    assert thread_output.may_take(1)
    assert not thread_output.may_take(2)


def test_a_batch_that_was_refused_is_woken_when_half_is_taken() -> None:
    """One wake-up follows a refusal, as soon as no more than half of the backlog waits."""
    thread_output, turns, batch = make(backlog=8)
    for index in range(8):
        thread_output.put(success(index))
    turns.run()
    assert not thread_output.may_start(0)

    taken(thread_output, 3)
    assert batch.woken == 0
    taken(thread_output, 5)
    assert batch.woken == 1


def test_a_batch_that_was_not_refused_is_not_woken() -> None:
    """Taking results costs no wake-up where the batch had room."""
    thread_output, turns, batch = make(backlog=8)
    for index in range(7):
        thread_output.put(success(index))
        assert thread_output.may_start(0)
    turns.run()
    taken(thread_output, 7)

    assert batch.woken == 0


def test_a_later_yes_does_not_hide_an_earlier_no() -> None:
    """Somebody refused is woken although somebody else found room meanwhile."""
    thread_output, turns, batch = make(backlog=4)
    thread_output.put(success())
    turns.run()
    assert not thread_output.may_start(3)
    assert thread_output.may_start(1)

    taken(thread_output, 1)

    assert batch.woken == 1


def test_the_error_comes_once_behind_the_last_result() -> None:
    """After the last result the consumer gets the error, and then the end."""
    thread_output, _, _ = make()
    thread_output.put(success(5))
    thread_output.close(LookupError("input"))

    assert taken(thread_output, 1) == [5]
    with pytest.raises(LookupError):
        thread_output.next_result(0)
    assert thread_output.next_result(0) is None
    assert thread_output.next_result(0) is None
