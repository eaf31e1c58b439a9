"""
What a host costs: the least time that its requests take, and the slots that they keep busy.

Pure: it knows limits and counts, and neither requests nor workers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from asyncbatch import Rate


@attrs.frozen
class HostLoad:
    """The requests of one host, as a rectangle: so many slots for so many seconds."""

    host: str
    """Its name, with a port that is not the default."""
    requests: int
    """Number of its requests."""
    seconds: float
    """The least seconds that they take, however many workers there are."""
    slots: float
    """The slots that they keep busy meanwhile, on average."""
    rest: float = 0.0
    """Seconds without a start after which its rate allows the whole burst again; 0 without one."""

    @property
    def work(self) -> float:
        """Slots times seconds: the work to divide among the workers."""
        return self.slots * self.seconds


def load_of(
    host: str,
    requests: int,
    *,
    latency: float,
    concurrency: int,
    per_host: int | None = None,
    rate: Rate | None = None,
) -> HostLoad:
    """
    Return the load of one host.

    Args:
        host: Its name.
        requests: Number of its requests, at least 1.
        latency: Seconds from the start of a request to its end.
        concurrency: The slots of one worker; a host belongs to one worker.
        per_host: Most requests in flight at the host.
        rate: Rate of the starts at the host.
    """
    width = min(requests, concurrency, per_host or math.inf)
    seconds, rest = math.ceil(requests / width) * latency, 0.0
    if rate is not None:
        seconds = max(seconds, (requests - rate.burst) * rate.interval + latency)
        rest = rate.burst * rate.interval
    return HostLoad(host, requests, seconds, requests * latency / seconds, rest)
