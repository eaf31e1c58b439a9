"""The progress of a batch: the value `Progress`, and the interface `Reporter`, which shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs

INTERVAL = 0.1
"""Seconds between two updates of a reporter."""

HOSTS_SHOWN = 10
"""Most hosts that a `Progress` names."""

FILES_SHOWN = 10
"""Most files that a `Progress` names."""


@attrs.frozen(kw_only=True)
class FileProgress:
    """The progress of one file that is being received."""

    path: Path
    """The file; until the server has named it, its `.part`."""
    received: int
    """The bytes that are there, those of earlier tries included."""
    size: int | None
    """The bytes that it will have; `None` if the server has not said it."""
    rate: float
    """Bytes per second of this try."""


@attrs.frozen(kw_only=True)
class Progress:
    """The progress of a batch."""

    total: int | None
    """Number of requests in the input; `None` if it has no length."""
    succeeded: int
    """Number of requests that have succeeded."""
    failed: int
    """Number of requests that have failed."""
    retries: int
    """Number of tries beyond the first, over all requests."""
    in_flight: int
    """Number of requests being tried now."""
    bytes: int
    """Total length of the bodies received, decoded; those of files under way included."""
    elapsed: float
    """Seconds since the batch began."""
    hosts: tuple[str, ...] = ()
    """The hosts with unfinished requests, those with most of them first, at most ten. Empty until
    the input has been read to its end."""
    files: tuple[FileProgress, ...] = ()
    """The files that are being received, those that began first, at most ten."""

    @property
    def byte_rate(self) -> float:
        """Bytes per second since the batch began."""
        return self.bytes / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def done(self) -> int:
        """Number of requests that have ended."""
        return self.succeeded + self.failed

    @property
    def rate(self) -> float:
        """Requests that have ended per second since the batch began."""
        return self.done / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at this rate; `None` if that is unknown."""
        if self.total is None or not self.rate:
            return None
        return max(self.total - self.done, 0) / self.rate


class Reporter(Protocol):
    """Shows the progress of one batch."""

    def update(self, progress: Progress) -> None:
        """Show the progress."""
        ...

    def close(self, progress: Progress) -> None:
        """Show the end of the batch, and release the terminal."""
        ...
