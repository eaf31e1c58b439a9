"""The progress of a batch: the value `Progress`, and the interface `Reporter`, which shows it."""

from __future__ import annotations

from typing import Protocol

import attrs

INTERVAL = 0.1
"""Seconds between two updates of a reporter."""

HOSTS_SHOWN = 10
"""Most hosts that a `Progress` names."""


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
    """Total length of the bodies received, decoded."""
    elapsed: float
    """Seconds since the batch began."""
    hosts: tuple[str, ...] = ()
    """The hosts with unfinished requests, those with most of them first, at most ten. Empty until
    the input has been read to its end."""

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
