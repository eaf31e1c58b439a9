"""
The options of the workers: which hold over all of them, and what can be sent to them.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import attrs

from asyncbatch import Fetcher, FetcherOptions, HostLimits, Rate
from asyncbatch._policies._host_limits import HostPatterns

DEFAULT_CONCURRENCY = 100

_REFUSED = {
    "total_rate": "it would hold in each worker, not over all of them; give rate or hosts, which "
    "hold over all workers",
    "progress": "the workers have no terminal; iterate over the reports",
    "to": "the workers would write files of equal names into one folder; give each Request a path "
    "of its own as its to",
}


@attrs.frozen
class Limits:
    """The limits that decide how long a host takes."""

    concurrency: int
    per_host: int | None
    rate: Rate | None
    hosts: Mapping[str, HostLimits]

    def patterns(self) -> HostPatterns[HostLimits]:
        """Return the limits of single hosts, by host."""
        return HostPatterns(self.hosts)


def checked(options: FetcherOptions) -> Limits:
    """
    Check the options for the workers, and return those that limit hosts.

    Raises:
        TypeError: If an option is unknown, of a wrong type, or has no meaning for many workers.
        ValueError: If an option has an impossible value.
    """
    for name, why in _REFUSED.items():
        if options.get(name):
            raise TypeError(f"{name} cannot be used with asyncbatch.cluster: {why}")
    Fetcher(**options)
    return Limits(
        concurrency=options.get("concurrency", DEFAULT_CONCURRENCY),
        per_host=options.get("per_host"),
        rate=options.get("rate"),
        hosts=options.get("hosts") or {},
    )


def packed(options: FetcherOptions) -> bytes:
    """
    Return the options as a pickle.

    Raises:
        TypeError: If one cannot be pickled; it is named.
    """
    for name, value in options.items():
        refuse_unpicklable(name, value)
    return pickle.dumps(dict(options))


def refuse_unpicklable(name: str, value: Any) -> None:
    """
    Raise if a value cannot be sent to a worker.

    Raises:
        TypeError: Names it.
    """
    try:
        pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"{name} cannot be pickled, and so cannot be sent to a worker: {error}; give functions "
            "and classes of a module, and no open files, locks or generators"
        ) from error
