"""
The paths in the folder of a data set, and those of one shard.

Paths only: other modules write the files.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

PLAN = "plan.json"
SHARDS = "shards"
SUFFIX = ".parquet"


class Layout:
    """
    The paths of a data set.

    Args:
        out: Its folder.
        plan_id: The name of its plan, which differs from that of any other.
    """

    def __init__(self, out: str | Path, plan_id: str = "") -> None:
        self.out = Path(out)
        self.plan = self.out / PLAN
        """The file that marks the folder as a data set; written after all requests."""
        self.shards = self.out / SHARDS
        """The results, a file for each shard that is done, and nothing else that has a name."""
        self.requests = self.out / f"requests-{plan_id}"
        self.journals = self.out / "journals"
        self.leases = self.out / "leases"

    def make(self) -> list[Path]:
        """Make the folders, and return those that were not there, the outer ones first."""
        made: list[Path] = []
        try:
            for folder in (self.shards, self.requests, self.journals, self.leases):
                missing = [each for each in (folder, *folder.parents) if not each.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                made += reversed(missing)
        except OSError:
            remove_empty(made)
            raise
        return made

    def results_of(self, shard: int) -> Path:
        """Return the file of results of a shard."""
        return self.shards / f"{shard:06}{SUFFIX}"

    def requests_of(self, shard: int) -> Path:
        """Return the file of requests of a shard."""
        return self.requests / f"{shard:06}.requests"

    def unfinished_of(self, shard: int, epoch: int) -> Path:
        """Return the file that a worker writes; readers of the data set pass over its name."""
        return self.shards / f".{shard:06}.{epoch}.unfinished"

    def clear(self, shard: int) -> None:
        """Remove the files that only an unfinished shard needs."""
        self.requests_of(shard).unlink(missing_ok=True)
        for leftover in (*self.leases.glob(f"{shard:06}.*"), *self.shards.glob(f".{shard:06}.*")):
            leftover.unlink(missing_ok=True)

    def clear_all(self) -> None:
        """Remove the files that only unfinished shards need, after the last shard is done."""
        for folder in (self.requests, self.journals, self.leases):
            shutil.rmtree(folder, ignore_errors=True)
        for leftover in self.shards.glob(".*.unfinished"):
            leftover.unlink(missing_ok=True)


def remove_journal(path: Path) -> None:
    """Remove a journal that is closed, and the files beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(path.with_name(path.name + ".d"), ignore_errors=True)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the last ones first, as long as they are empty."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()
