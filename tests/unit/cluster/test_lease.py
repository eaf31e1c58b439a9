"""The lease of a shard: who may fetch it, and who must stop."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import anyio.to_thread
import attrs
import pytest

from asyncbatch.cluster._lease import STOPPED, Lease, LeaseLost, claim

pytestmark = pytest.mark.any_loop


def claimed(folder: Path, journal: str = "here", *, seconds: float = 60.0) -> Lease:
    path = folder / "done"
    return claim(folder, 7, journal=journal, seconds=seconds, is_done=path.exists)


async def claim_async(folder: Path, journal: str = "here", *, seconds: float = 60.0) -> Lease:
    return await anyio.to_thread.run_sync(lambda: claimed(folder, journal, seconds=seconds))


def test_each_claim_is_a_later_epoch(tmp_path: Path) -> None:
    """And knows the journals of those before."""
    leases = [claimed(tmp_path, name) for name in ("a", "b", "c")]

    assert [lease.epoch for lease in leases] == [1, 2, 3]
    assert leases[2].earlier == ("a", "b")


def test_no_two_workers_have_one_epoch(tmp_path: Path) -> None:
    """Whatever claims at once."""
    leases: list[Lease] = []

    def work() -> None:
        leases.extend(claimed(tmp_path) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(lease.epoch for lease in leases) == list(range(1, 81))


def test_a_holder_is_lost_once_there_is_a_later_one(tmp_path: Path) -> None:
    """Until the later one has stopped, for instance since it could not begin."""
    first = claimed(tmp_path)
    assert not first.is_lost()

    second = claimed(tmp_path)
    assert first.is_lost()
    assert not second.is_lost()

    second.release()
    assert not first.is_lost()


def test_shards_have_leases_of_their_own(tmp_path: Path) -> None:
    """A later epoch of another shard means nothing."""
    first = claimed(tmp_path)
    claim(tmp_path, 77, journal="here", seconds=1, is_done=lambda: False)
    claim(tmp_path, 77, journal="here", seconds=1, is_done=lambda: False)

    assert not first.is_lost()


def test_a_holder_is_lost_once_the_shard_is_done(tmp_path: Path) -> None:
    """The leases are removed then, so that no later epoch is to be seen."""
    lease = claimed(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "done").touch()

    assert lease.is_lost()
    lease.release()
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


async def test_a_holder_is_told_of_a_later_one(tmp_path: Path) -> None:
    """While it works, so that it stops."""
    lease = await claim_async(tmp_path, seconds=0.1)

    async def supersede() -> None:
        await claim_async(tmp_path)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supersede)
        with pytest.raises(LeaseLost, match="was given to another worker"):
            await lease.watch()


async def test_a_holder_that_cannot_look_stops(tmp_path: Path) -> None:
    """For another worker may have been given the shard."""

    def is_done() -> bool:
        raise OSError("stale file handle")

    lease = attrs.evolve(await claim_async(tmp_path, seconds=0.1), is_done=is_done)

    with pytest.raises(LeaseLost, match="could not be kept"):
        await lease.watch()


async def test_workers_with_one_journal_do_not_wait_for_the_lease(tmp_path: Path) -> None:
    """The lock of the journal tells."""
    await claim_async(tmp_path)
    lease = await claim_async(tmp_path)

    await lease.wait_for_others("here")


async def test_a_worker_on_another_machine_is_waited_for(tmp_path: Path) -> None:
    """Until it says that it has stopped."""
    first = await claim_async(tmp_path, "there")
    lease = await claim_async(tmp_path, "here")
    waited = False

    async def wait() -> None:
        nonlocal waited
        await lease.wait_for_others("here")
        waited = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not waited
        await anyio.to_thread.run_sync(first.release)

    assert waited


async def test_a_worker_that_died_elsewhere_is_waited_for_no_longer_than_its_lease(
    tmp_path: Path,
) -> None:
    """It has stopped by then, since it could not look."""
    await claim_async(tmp_path, "there")
    lease = await claim_async(tmp_path, "here", seconds=0.05)

    await lease.wait_for_others("here")


async def test_a_program_that_was_left_is_not_waited_for(tmp_path: Path) -> None:
    """It claimed an epoch only to stop a worker."""
    await claim_async(tmp_path, STOPPED)
    lease = await claim_async(tmp_path, "here")

    await lease.wait_for_others("here")


async def test_waiting_ends_where_a_later_worker_has_the_shard(tmp_path: Path) -> None:
    """The last one goes on."""
    await claim_async(tmp_path, "there")
    lease = await claim_async(tmp_path, "here")
    await claim_async(tmp_path, "here")

    with pytest.raises(LeaseLost):
        await lease.wait_for_others("here")


def test_a_claim_that_was_cut_off_is_that_of_a_stranger(tmp_path: Path) -> None:
    """Its worker died before it had written where its journal is."""
    (tmp_path / "000007.1").touch()

    assert claimed(tmp_path).earlier == ("",)
