"""Whose turn it is at a host for which several batches wait."""

from __future__ import annotations

from asyncbatch._schedule._turns import TURN, Turns


class Queue:
    """The queue of a batch: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def make_ready(self) -> None:
        self.told.append("ready")

    def look_again(self) -> None:
        self.told.append("look again")

    def forget_pause(self) -> None:
        raise AssertionError

    def host_paused(self, now: float) -> None:
        self.told.append("paused")


def line(count: int) -> tuple[Turns, list[Queue]]:
    """Return so many queues that wait, in their order."""
    turns, queues = Turns(), [Queue() for _ in range(count)]
    for queue in queues:
        turns.join(queue)
    return turns, queues


def test_turns_go_by_the_order_of_joining() -> None:
    """One at a time: the next one's begins when the first has ended."""
    turns, (first, second) = line(2)
    turns.give_turn(0.0)
    turns.give_turn(0.01)
    assert (first.told, second.told) == (["ready"], [])

    assert turns.end_turn(first)
    turns.give_turn(0.02)
    assert second.told == ["ready"]


def test_while_it_is_the_turn_of_one_no_other_may_start() -> None:
    """Not even one that did not wait."""
    turns, (first,) = line(1)
    turns.give_turn(0.0)

    assert turns.allows(first, 0.01)
    assert not turns.allows(Queue(), 0.01)


def test_a_turn_that_is_not_used_ends_by_itself() -> None:
    """Then anybody may start, and the next in line gets a turn."""
    turns, (first, second) = line(2)
    turns.give_turn(0.0)
    assert turns.turn_until == TURN
    turns.give_turn(TURN)
    assert second.told == ["ready"]

    assert turns.allows(first, 2 * TURN)
    assert not turns.end_turn(second)


def test_only_whose_turn_it_is_can_end_it() -> None:
    """Another one that ends has none to pass on."""
    turns, (first, second) = line(2)
    turns.give_turn(0.0)

    assert not turns.end_turn(second)
    assert not turns.is_idle
    assert turns.end_turn(first)
    assert not turns.end_turn(first)


def test_a_queue_that_leaves_loses_its_place_and_its_turn() -> None:
    """Wherever it stands; one that was never there does no harm."""
    turns, (first, second, third) = line(3)
    turns.give_turn(0.0)
    turns.leave(second)
    turns.leave(first)
    turns.leave(Queue())
    assert list(turns.waiting()) == [third]

    turns.give_turn(0.01)
    assert (second.told, third.told) == ([], ["ready"])


def test_when_all_fail_at_once_nobody_waits() -> None:
    """Whosever turn it is."""
    turns, queues = line(3)
    turns.give_turn(0.0)
    turns.make_all_ready()

    assert [queue.told for queue in queues] == [["ready"]] * 3
    assert turns.is_empty
    assert turns.is_idle
    assert turns.allows(Queue(), 0.0)


def test_a_host_for_which_nobody_waits_has_no_line() -> None:
    """Most hosts never have one."""
    turns = Turns()

    assert turns.is_empty
    assert turns.is_idle
    assert list(turns.waiting()) == []
    assert turns.allows(Queue(), 0.0)
