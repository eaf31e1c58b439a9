"""The permits of a batch, and its place in the line for the next one."""

from __future__ import annotations

from asyncbatch._batch._permits import BatchPermits
from asyncbatch._runtime._slots import Slots


class Taker:
    """The permits of one batch, and its workers."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.workers: list[None] = []
        self.woken = 0
        self.permits = BatchPermits(slots, self.workers, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def start(self, most: int = 1) -> int:
        """Start workers as far as there are permits; return how many were started."""
        for number in range(most):
            if not self.permits.take_permit():
                return number
            self.workers.append(None)
        return most

    def end(self) -> None:
        """End a worker."""
        self.workers.pop()
        self.slots.release()


def test_a_batch_is_in_the_line_once() -> None:
    """However often it asks for a permit that is not free."""
    slots = Slots(1)
    mine = Taker(slots)
    assert mine.start() == 1
    assert not mine.permits.is_in_line
    assert mine.start() == mine.start() == 0
    assert mine.permits.is_in_line
    assert slots.waiting == 1

    mine.end()
    assert (mine.woken, mine.permits.is_in_line, slots.waiting) == (1, False, 0)
    assert mine.start() == 1
    assert mine.start() == 0


def test_permits_that_have_come_are_taken_before_any_other() -> None:
    """They would be kept for nothing otherwise."""
    slots = Slots(2)
    mine = Taker(slots)
    mine.start(3)
    mine.end()
    mine.end()
    assert slots.taken == 1

    assert mine.start() == 1
    assert slots.taken == 1


def test_a_batch_comes_to_have_as_many_as_the_others() -> None:
    """No worker gives its permit to a batch that has as many, and any gives it to one with less."""
    slots = Slots(16)
    mine, others = Taker(slots), Taker(slots)
    mine.start(17)
    others.start()
    given = []
    for _ in range(6):  # the turns of an event loop
        given.append(0)
        for _ in list(mine.workers):
            if slots.waiting and mine.permits.must_give_way():
                mine.end()
                given[-1] += 1
        mine.start()
        others.start(17)

    assert given == [1, 1, 2, 4, 0, 0]
    assert len(mine.workers) == len(others.workers) == 8
    assert not others.permits.must_give_way()


def test_a_batch_gives_way_to_a_task() -> None:
    """A task does not tell what it has, and is served when it is the first of the line."""
    slots, came = Slots(1), list[str]()
    mine = Taker(slots)
    mine.start(2)
    slots.join_line(lambda: came.append("task"))
    assert not mine.permits.must_give_way()

    assert mine.permits.must_give_way()
    mine.end()
    assert came == ["task"]


def test_what_is_given_up_goes_to_the_next() -> None:
    """Both the place in the line and a permit that has come."""
    slots = Slots(1)
    mine, others, last = Taker(slots), Taker(slots), Taker(slots)
    assert mine.start() == 1
    for batch in (mine, others, last):
        assert batch.start() == 0
    mine.end()
    assert mine.woken == 1
    others.permits.give_up_waiting()
    assert slots.waiting == 1
    mine.permits.give_up_waiting()

    assert (mine.woken, others.woken, last.woken) == (1, 0, 1)
    assert last.start() == 1
    last.end()
    assert slots.taken == 0
