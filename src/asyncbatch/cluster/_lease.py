"""
The lease of a shard: it lets only one of several workers fetch the shard.

An engine that loses contact with a worker gives its shard to another one, and the first may still
run. Each worker claims the next epoch of the shard, by creating a file that only one worker can
create. The holder of an epoch stops as soon as it sees a later one, or if it could not check for
half of the lease.

The successor must not start before that. If both workers use one file for the journal, they are on
one machine, and the lock of the journal decides: it ends when the process ends that holds it.
Otherwise the successor waits until the holder reports that it has stopped, or for the whole lease.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

LEASE_SECONDS = 120.0
"""Longer than a network file system takes to show a new file: 60 s, by default, for NFS."""

STOPPED = "stopped"
"""In place of a journal: the epoch was claimed only so that the holder of the last one stops."""

_LOOK_SECONDS = 2.0
_POLL_SECONDS = 0.25
_ENDED = ".ended"


class LeaseLost(OSError):
    """Another worker has been given the shard."""


class _Unseen(Exception):
    """The folder of the leases cannot be read at the moment."""


@attrs.frozen
class Lease:
    """One epoch of a shard, held by this worker."""

    folder: Path
    shard: int
    epoch: int
    seconds: float
    earlier: tuple[str, ...]
    """The journals of the workers that held earlier epochs; `""`: unknown, or `STOPPED`."""
    is_done: Callable[[], bool]
    """Whether the results of the shard are in place."""

    def is_lost(self) -> bool:
        """Whether this worker must stop."""
        if self.is_done():
            return True
        epochs = _epochs(self.folder, self.shard)
        return any(epoch > self.epoch and not ended for epoch, ended in epochs.items())

    def release(self) -> None:
        """Say that this worker has stopped."""
        if self._path.exists():  # it is gone once the shard is done
            self._path.with_name(self._path.name + _ENDED).touch()

    async def watch(self) -> None:
        """
        Look now and then whether this worker must stop.

        Raises:
            LeaseLost: If it must.
        """
        seen_at = time.monotonic()
        while True:
            await anyio.sleep(min(_LOOK_SECONDS, self.seconds / 4))
            with anyio.move_on_after(self.seconds / 4), suppress(_Unseen):
                if await anyio.to_thread.run_sync(self._look, abandon_on_cancel=True):
                    raise LeaseLost(f"shard {self.shard} was given to another worker")
                seen_at = time.monotonic()
            if time.monotonic() - seen_at > self.seconds / 2:
                raise LeaseLost(f"the lease of shard {self.shard} could not be kept")

    def _look(self) -> bool:
        try:
            return self.is_lost()
        except OSError as error:  # of the network, say
            raise _Unseen from error

    async def wait_for_others(self, journal: str) -> None:
        """
        Wait until no worker with another journal fetches the shard.

        Args:
            journal: That of this worker.

        Raises:
            LeaseLost: If a later worker was given the shard meanwhile.
        """
        if not self.earlier:
            return
        until = time.monotonic() + self.seconds
        while await anyio.to_thread.run_sync(self._has_others, journal):
            if time.monotonic() >= until:
                return
            await anyio.sleep(min(_POLL_SECONDS, self.seconds / 4))

    def _has_others(self, journal: str) -> bool:
        if self.is_lost():
            raise LeaseLost(f"shard {self.shard} was given to another worker")
        ended = _epochs(self.folder, self.shard)
        return any(
            own not in (journal, STOPPED) and not ended.get(epoch, True)
            for epoch, own in enumerate(self.earlier, start=1)
        )

    @property
    def _path(self) -> Path:
        return _path_of(self.folder, self.shard, self.epoch)


def claim(
    folder: Path, shard: int, *, journal: str, seconds: float, is_done: Callable[[], bool]
) -> Lease:
    """
    Claim the next epoch of a shard.

    Args:
        folder: Where the leases are.
        shard: The number of the shard.
        journal: What tells the journal of this worker from those of others.
        seconds: How long a holder that cannot be seen may go on.
        is_done: Whether the results of the shard are in place.
    """
    while True:
        epoch = max(_epochs(folder, shard), default=0) + 1
        try:
            with _path_of(folder, shard, epoch).open("x") as file:
                json.dump({"journal": journal}, file)
        except FileExistsError:
            continue
        earlier = tuple(_journal_in(_path_of(folder, shard, each)) for each in range(1, epoch))
        return Lease(folder, shard, epoch, seconds, earlier, is_done)


def _path_of(folder: Path, shard: int, epoch: int) -> Path:
    return folder / f"{shard:06}.{epoch}"


def _epochs(folder: Path, shard: int) -> dict[int, bool]:
    """Return the epochs of a shard, and whether their holders have stopped."""
    names = {path.name for path in folder.glob(f"{shard:06}.*")}
    return {
        int(name.partition(".")[2]): name + _ENDED in names
        for name in names
        if not name.endswith(_ENDED)
    }


def _journal_in(path: Path) -> str:
    try:
        found = json.loads(path.read_text())["journal"]
    except (OSError, ValueError):  # its worker died while it was writing it
        return ""
    return str(found)
