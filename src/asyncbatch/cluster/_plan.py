"""
`plan`: how requests are cut into shards, and the least time that they take.

Nothing is sent. The decisions are in `_packing`, the figures of hosts in `_load`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Unpack

import attrs

from asyncbatch import FetcherOptions, RequestLike
from asyncbatch._results._summary import shown_seconds
from asyncbatch._values._checks import check_count
from asyncbatch._values._redaction import shown
from asyncbatch._values._request import is_request

from ._census import Census
from ._load import HostLoad
from ._options import checked
from ._packing import LEAST_REQUESTS, Packed, pack

SHARDS_PER_WORKER = 8
SLOWEST = 10
DEFAULT_LATENCY = 0.2


@attrs.frozen
class Shard:
    """A part of the requests that one worker fetches: all requests of its hosts."""

    number: int
    """Its place in the plan; shards start in this order."""
    hosts: int
    """Number of its hosts."""
    requests: int
    """Number of its requests."""
    seconds: float
    """The least seconds that it takes, by the plan's latency."""


@attrs.frozen(kw_only=True)
class Estimate:
    """
    The least time that a plan takes; its `str()` is a readable report.

    It is a lower bound: hosts that are slower than the latency, retries and slow processors add to
    it.
    """

    seconds: float
    """The least seconds in any order of the shards: the larger one of the two below."""
    bound_by: Literal["host", "workers"]
    """What decides them: the slowest host, which more workers do not make faster, or the slots of
    all workers."""
    host: HostLoad | None
    """The host that takes longest by itself; `None` without requests."""
    slots_seconds: float
    """Seconds that the work takes if the slots of all workers are always busy."""
    workers: int
    """The number of workers of this estimate."""
    useful_workers: int
    """The number of workers from which on the slowest host decides. More make nothing faster."""
    latency: float
    """Seconds of one request, as assumed."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))


@attrs.frozen(kw_only=True)
class Plan:
    """How requests are cut into shards; made by `plan`."""

    requests: int
    """Number of requests."""
    hosts: int
    """Number of hosts. Of more than 100,000, those beyond are counted in 4,096 classes."""
    shards: tuple[Shard, ...]
    """The shards, the longest first."""
    slowest: tuple[HostLoad, ...]
    """The ten hosts that take longest by themselves, the slowest first."""
    workers: int
    """How many shards run at once."""
    concurrency: int
    """The slots of each worker."""
    latency: float
    """Seconds of one request, as assumed."""
    work: float
    """Seconds that all requests take one after the other."""

    def estimate(self, *, workers: int | None = None) -> Estimate:
        """
        Return the least time that the plan takes.

        Args:
            workers: The number of workers, if not the plan's.

        Raises:
            TypeError: If `workers` is not an `int`.
            ValueError: If it is below 1.
        """
        if workers is not None:
            check_count("workers", workers)
        count = workers or self.workers
        host = self.slowest[0] if self.slowest else None
        alone = host.seconds if host is not None else 0.0
        by_one = self.work / self.concurrency
        return Estimate(
            seconds=max(alone, by_one / count),
            bound_by="host" if alone >= by_one / count else "workers",
            host=host,
            slots_seconds=by_one / count,
            workers=count,
            useful_workers=max(1, math.ceil(by_one / alone)) if alone else 1,
            latency=self.latency,
        )


def plan(
    requests: Iterable[RequestLike],
    *,
    workers: int = 1,
    shards: int | None = None,
    latency: float = DEFAULT_LATENCY,
    **options: Unpack[FetcherOptions],
) -> Plan:
    """
    Return how `fetch_sharded` would cut requests into shards. Nothing is sent.

    All requests of a host are in one shard, so that its limits hold wherever the shard runs. A host
    that fills the slots of a worker for long has a shard of its own, which starts first. The others
    are put together so that they fill the slots and end together.

    Args:
        requests: The requests. An iterator is read to its end.
        workers: How many shards run at once.
        shards: About how many shards to make; `None`: eight for each worker, and fewer for
            few requests.
        latency: Seconds of one request, for the estimate.
        options: The options of `Fetcher`; `concurrency`, `per_host`, `rate` and `hosts` decide.

    Raises:
        TypeError: If an option is unknown, of a wrong type, or has no meaning for many workers.
        ValueError: If an option has an impossible value.
    """
    limits = checked(options)
    counts = counted(options)
    for item in iterated(requests):
        counts.add(item)
    return planned(counts, limits, workers=workers, shards=shards, latency=latency)[0]


def planned(
    counts: Census, limits: Any, *, workers: int, shards: int | None, latency: float
) -> tuple[Plan, tuple[Packed, ...]]:
    """Return the plan for counted requests, and the hosts of its shards."""
    check_count("workers", workers)
    check_latency(latency)
    if shards is not None:
        check_count("shards", shards)
    loads = counts.loads(limits, latency)
    packed = pack(
        loads,
        workers=workers,
        concurrency=limits.concurrency,
        shards=shards or SHARDS_PER_WORKER * workers,
        least=LEAST_REQUESTS if shards is None else 1,
    )
    made = Plan(
        requests=sum(load.requests for load in loads),
        hosts=len(loads),
        shards=tuple(
            Shard(number, len(each.places), each.requests, each.seconds)
            for number, each in enumerate(packed)
        ),
        slowest=tuple(sorted(loads, key=lambda load: -load.seconds)[:SLOWEST]),
        workers=workers,
        concurrency=limits.concurrency,
        latency=latency,
        work=sum(load.work for load in loads),
    )
    return made, packed


def check_latency(latency: object) -> None:
    """
    Raise unless `latency` is a number above zero.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not above zero, or not finite.
    """
    cure = f"it is the time of one request, {DEFAULT_LATENCY} by default"
    if isinstance(latency, bool) or not isinstance(latency, int | float):
        raise TypeError(f"latency must be a number of seconds, not {latency!r}; {cure}")
    if not 0 < latency < math.inf:
        raise ValueError(f"latency must be above 0 seconds and finite, not {latency!r}; {cure}")


def counted(options: FetcherOptions) -> Census:
    """Return an empty census for the options."""
    return Census(str(options.get("base_url", "")))


def iterated(requests: Any) -> Iterator[RequestLike]:
    """
    Return the iterator of `requests`.

    Raises:
        TypeError: If it is a single request, or not an iterable.
    """
    if is_request(requests):
        raise TypeError(f"requests must be an iterable of requests, not one: {shown(requests)}")
    if not isinstance(requests, Iterable):
        cure = "; read an async iterable first" if hasattr(requests, "__aiter__") else ""
        raise TypeError(f"requests must be an iterable, not {shown(requests)}{cure}")
    return iter(requests)


def _lines(estimate: Estimate) -> Iterator[str]:
    workers = "1 worker" if estimate.workers == 1 else f"{estimate.workers:,} workers"
    yield f"at least {shown_seconds(estimate.seconds)} with {workers}"
    if estimate.host is None:
        return
    host = estimate.host
    yield f"  slowest host  {shown_seconds(host.seconds)}, {host.host}: {host.requests:,} requests"
    yield f"  all slots     {shown_seconds(estimate.slots_seconds)}"
    if estimate.bound_by == "host":
        yield f"  more than {estimate.useful_workers:,} at once make nothing faster"


__all__: Sequence[str] = ["Estimate", "Plan", "Shard", "plan"]
