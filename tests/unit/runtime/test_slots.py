"""`Slots` and `BothSlots`: first come, first served, and given back when cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from asyncbatch._runtime._slots import BothSlots, Slots
from tests.transports import settle


async def test_slots_are_handed_out_first_come_first_served():
    """A released slot goes to the call that has waited longest, and to no other."""
    slots = Slots(1)
    order: list[int] = []

    async def take(number: int) -> None:
        await slots.acquire()
        order.append(number)

    await slots.acquire()
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(take, number)
            await settle()
        assert slots.waiting == 3
        for expected in range(3):
            slots.release()
            await settle()
            assert order == list(range(expected + 1))
            assert slots.taken == 1

    slots.release()
    assert (slots.taken, slots.waiting) == (0, 0)


async def test_permits_cancelled_halfway_are_given_back():
    """Either a slot of each, or none at all."""
    ours, theirs = Slots(2), Slots(1)
    permits = BothSlots(ours, theirs)
    await theirs.acquire()
    with anyio.move_on_after(0):
        await permits.acquire()

    assert ours.taken == 0
    assert theirs.waiting == 0
    theirs.release()
    await permits.acquire()
    assert (ours.taken, theirs.taken) == (1, 1)
    permits.release()
    assert (ours.taken, theirs.taken) == (0, 0)


async def test_permits_tell_whether_somebody_waits():
    """For any of the slots that they are made of."""
    ours, theirs = Slots(2), Slots(1)
    permits = BothSlots(ours, theirs)
    await permits.acquire()
    assert not permits.waiting
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(theirs.acquire)
        await settle()
        assert permits.waiting
        permits.release()

    assert theirs.taken == 1
    theirs.release()


def in_line(permits: Slots | BothSlots, came: list[str], name: str) -> Any:
    """Put a call into the line that notes its name when it has its permit."""

    def call() -> None:
        came.append(name)

    permits.join_line(call)
    return call


def both_with(first: int, second: int) -> tuple[BothSlots, Slots, Slots]:
    """Return permits of two kinds of slots, and the two."""
    ours, theirs = Slots(first), Slots(second)
    return BothSlots(ours, theirs), ours, theirs


def test_calls_come_up_in_their_order_when_slots_are_released() -> None:
    """Each with a slot taken; one that has left the line does not."""
    slots, came = Slots(1), list[str]()
    assert slots.try_acquire()
    assert not slots.try_acquire()
    in_line(slots, came, "first")
    left = in_line(slots, came, "second")
    last = in_line(slots, came, "third")
    assert slots.leave_line(left)
    assert slots.waiting == 2

    for expected in (["first"], ["first", "third"]):
        slots.release()
        assert came == expected
        assert slots.taken == 1
    slots.release()
    assert (slots.taken, slots.waiting) == (0, 0)
    assert not slots.leave_line(last)  # it has had its slot


def test_a_caller_with_as_many_slots_is_passed_over() -> None:
    """It is the last of the line then; one that does not tell its share keeps its place."""
    slots, came = Slots(1), list[str]()
    slots.try_acquire()
    slots.join_line(lambda: came.append("much"), lambda: 3)
    slots.join_line(lambda: came.append("little"), lambda: 2)
    in_line(slots, came, "task")
    assert not slots.pass_over(4)
    assert slots.pass_over(3)

    assert not slots.pass_over(3)
    slots.release()
    assert not slots.pass_over(0)
    slots.release()
    slots.release()
    assert came == ["little", "task", "much"]


def test_the_time_in_which_all_slots_are_taken_is_counted_once() -> None:
    """A slot that is handed over leaves all of them taken."""
    now = 0.0
    slots, came = Slots(2, lambda: now), list[str]()
    slots.try_acquire()
    now = 1.0
    slots.try_acquire()
    in_line(slots, came, "a")
    now = 3.0
    slots.release()
    now = 4.0
    assert slots.full_at(now) == 3.0
    slots.release()
    now = 9.0
    assert slots.full_at(now) == 3.0


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (1, 1)])
def test_a_call_waits_for_one_slot_after_the_other(first: int, second: int) -> None:
    """And has both when it is called."""
    permits, ours, theirs = both_with(first, second)
    came: list[str] = []
    assert permits.try_acquire()
    call = in_line(permits, came, "a")
    assert permits.waiting == 1
    assert not permits.pass_over(0)

    permits.release()
    assert came == ["a"]
    assert (ours.taken, theirs.taken, permits.waiting) == (1, 1, 0)
    assert not permits.leave_line(call)
    permits.release()
    assert (ours.taken, theirs.taken) == (0, 0)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_a_call_that_leaves_the_line_gives_back_what_it_has(first: int, second: int) -> None:
    """It may have the first slot already, and wait for the second."""
    permits, ours, theirs = both_with(first, second)
    came: list[str] = []
    assert permits.try_acquire()
    assert permits.leave_line(in_line(permits, came, "a"))

    assert (ours.taken, theirs.taken, permits.waiting) == (1, 1, 0)
    permits.release()
    assert (ours.taken, theirs.taken, came) == (0, 0, [])


@pytest.mark.asyncio_only
async def test_a_task_that_is_cancelled_as_its_turn_comes_gives_the_slot_on() -> None:
    """To the next one in the line; asyncio cancels tasks that are about to run."""
    slots, came = Slots(1), list[str]()
    slots.try_acquire()
    task = asyncio.create_task(slots.acquire())
    await settle()
    in_line(slots, came, "next")
    slots.release()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert came == ["next"]
    assert slots.taken == 1
