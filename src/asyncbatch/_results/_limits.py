"""
How long the limits of a fetcher held a batch back: values only.

The slots and the schedule measure it while the batch runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

REASONS = ("per_host", "rate", "total_rate", "pause", "slow_start", "backoff")
"""Why a request waits though a slot is free, by the names that `Limits` has them under."""


@attrs.frozen(kw_only=True)
class Limits:
    """How long the limits of a fetcher held a batch back; empty if that was not measured."""

    slots: int | None = None
    """How many requests may be in flight; `None` if that is not known."""
    slots_full: float = 0.0
    """Seconds in which all slots were taken."""
    waits: Mapping[str, float] = MappingProxyType({})
    """Seconds that requests waited for each of `REASONS`, added up over the requests."""
    hosts: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    """By host, the seconds in which a limit of its own held its requests back, for each reason."""

    def plain(self) -> dict[str, Any]:
        """Return the arguments that make it, as values that pickle without this class."""
        hosts = {host: dict(seconds) for host, seconds in self.hosts.items()}
        own = {"slots": self.slots, "slots_full": self.slots_full, "waits": dict(self.waits)}
        return own | {"hosts": hosts}


UNKNOWN = Limits()
"""Nothing was measured."""
