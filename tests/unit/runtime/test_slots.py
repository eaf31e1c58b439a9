"""`Slots` and `BothSlots`: first come, first served, and given back when cancelled."""

from __future__ import annotations

import anyio

from asyncbatch._runtime._slots import BothSlots, Slots
from tests.transports import settle


async def test_slots_are_handed_out_first_come_first_served():
    """A slot that is given back goes to whoever has waited longest, and to nobody else."""
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
