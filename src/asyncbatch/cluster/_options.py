"""
The options of the workers: which hold over all of them, and what can be sent to them.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import attrs

from asyncbatch import Fetcher, FetcherOptions, HostLimits, Rate, Request
from asyncbatch._policies._host_limits import HostPatterns

DEFAULT_CONCURRENCY = 100

_REFUSED = {
    "total_rate": "it would hold in each worker, not over all of them; give rate or hosts, which "
    "hold over all workers",
    "progress": "the workers have no terminal; iterate over the reports",
    "to": "the workers would write files of equal names into one folder; give each Request a path "
    "of its own as its to",
}

_PICKLABLE = "give functions and classes of a module, and no open files, locks or generators"

# What to give in place of what can never be pickled.
_INSTEAD = {
    "verify": "give True or False, and name other certificates by SSL_CERT_FILE or SSL_CERT_DIR in "
    "the environment of the workers",
    "client": "give the options of the client themselves; each worker makes a client of its own",
    "transport": "leave it out; each worker has an engine of its own",
    "mounts": "give proxy, or name proxies in the environment of the workers",
}

IMPORTABLE = (
    "put its class or function into a module that the workers can import, or into the program "
    "above \"if __name__ == '__main__':\""
)


@attrs.frozen
class PlanLimits:
    """The limits that decide how long a host takes."""

    concurrency: int
    per_host: int | None
    rate: Rate | None
    hosts: Mapping[str, HostLimits]

    def patterns(self) -> HostPatterns[HostLimits]:
        """Return the limits of single hosts, by host."""
        return HostPatterns(self.hosts)


def checked(options: FetcherOptions) -> PlanLimits:
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
    return PlanLimits(
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
        # The error of a request says itself what to give instead.
        cure = "" if isinstance(value, Request) else f"; {_INSTEAD.get(name, _PICKLABLE)}"
        raise TypeError(
            f"{name} cannot be pickled, and so cannot be sent to a worker: {error}{cure}"
        ) from error


def unpickled(text: bytes, what: str) -> Any:
    """
    Return what was pickled, in a worker.

    Raises:
        TypeError: If it needs a class or function that the worker cannot import.
    """
    try:
        return pickle.loads(text)  # noqa: S301  # the caller's own
    except (AttributeError, ImportError) as error:
        raise TypeError(f"{what} cannot be read by the worker: {error}; {IMPORTABLE}") from error
