"""How far a batch is: the value `Progress`, and what shows it, a `Reporter`."""

from __future__ import annotations

from typing import Protocol

import attrs

INTERVAL = 0.1
"""Seconds between two updates of a reporter."""

HOSTS_SHOWN = 10
"""How many hosts a `Progress` names at most."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a batch is."""

    total: int | None
    """How many requests there will be; `None` if the input does not tell its length."""
    succeeded: int
    """How many have succeeded."""
    failed: int
    """How many have failed."""
    retries: int
    """How many tries beyond the first there were, over all requests."""
    in_flight: int
    """How many are being tried now."""
    bytes: int
    """Length of all bodies received, decoded."""
    elapsed: float
    """Seconds since the batch began."""
    hosts: tuple[str, ...] = ()
    """Once the input has been read to its end: the hosts that unfinished requests are for, those
    with most of them first, ten at most."""

    @property
    def done(self) -> int:
        """How many requests have ended."""
        return self.succeeded + self.failed

    @property
    def rate(self) -> float:
        """Requests ended per second since the batch began."""
        return self.done / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at this rate; `None` if that cannot be told."""
        if self.total is None or not self.rate:
            return None
        return max(self.total - self.done, 0) / self.rate


class Reporter(Protocol):
    """Shows the progress of one batch."""

    def update(self, progress: Progress) -> None:
        """Show how far the batch is."""
        ...

    def close(self, progress: Progress) -> None:
        """Show how the batch ended, and give the terminal back."""
        ...
