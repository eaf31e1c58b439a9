"""
How hosts are packed into shards.

Pure. A host is a rectangle: slots wide and seconds tall. A shard runs all of its hosts at once, so
it should have as many of them as fill the slots of a worker, and of like duration. So the hosts are
sorted by duration and put side by side into levels as wide as a worker (next fit, decreasing
height: Coffman, Garey, Johnson and Tarjan, 1980). A host that fills the slots of a worker is a
level of its own. Short levels are joined, so that a shard is worth its overhead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ._load import HostLoad

LEAST_REQUESTS = 500
"""Requests that are worth the overhead of a shard."""

ROUNDING = 1e-9
"""The part by which sums of seconds and slots may be off: 40 times 0.2 adds up to more than 8."""


@attrs.frozen
class Packed:
    """The hosts of one shard, by their places in the list of loads."""

    places: tuple[int, ...]
    requests: int
    seconds: float
    """The least seconds that the shard takes."""
    rest: float
    """Seconds without a start after which the rates of all of its hosts have no past."""


def pack(
    loads: Sequence[HostLoad],
    *,
    workers: int,
    concurrency: int,
    shards: int,
    least: int = LEAST_REQUESTS,
) -> tuple[Packed, ...]:
    """
    Return the shards, the longest first.

    Args:
        loads: The hosts.
        workers: How many shards run at once.
        concurrency: The slots of one worker.
        shards: About how many shards to make. Hosts that fill the slots of a worker for
            long may make it twice as many.
        least: Requests below which a shard is joined with the next one, unless workers would be
            idle.
    """
    order = sorted(range(len(loads)), key=lambda place: (-loads[place].seconds, place))
    slots = sum(load.slots for load in loads)
    # All workers take part, even if the slots of one of them would do.
    width = max(1.0, min(float(concurrency), slots / workers)) * (1 + ROUNDING)
    levels = list(_levels(loads, order, width))
    height = sum(loads[level[0]].seconds for level in levels) / shards * (1 - ROUNDING)
    least = min(least, sum(load.requests for load in loads) // workers)
    joined = _joined(loads, levels, height, least)
    packed = [_packed(loads, places, concurrency) for places in joined]
    return tuple(sorted(packed, key=lambda each: -each.seconds))


def _levels(
    loads: Sequence[HostLoad], order: Sequence[int], width: float
) -> Iterator[tuple[int, ...]]:
    level: list[int] = []
    taken = 0.0
    for place in order:
        slots = loads[place].slots
        if level and taken + slots > width:
            yield tuple(level)
            level, taken = [], 0.0
        level.append(place)
        taken += slots
    if level:
        yield tuple(level)


def _joined(
    loads: Sequence[HostLoad], levels: Sequence[tuple[int, ...]], height: float, least: int
) -> Iterator[tuple[int, ...]]:
    """Join levels, from the tallest on, to shards of a height and a number of requests."""
    shard: tuple[int, ...] = ()
    seconds, requests = 0.0, 0
    for level in levels:
        shard += level
        seconds += loads[level[0]].seconds
        requests += sum(loads[place].requests for place in level)
        if seconds >= height and requests >= least:
            yield shard
            shard, seconds, requests = (), 0.0, 0
    if shard:
        yield shard


def _packed(loads: Sequence[HostLoad], places: tuple[int, ...], concurrency: int) -> Packed:
    own = [loads[place] for place in places]
    alone = max(load.seconds for load in own)
    together = sum(load.work for load in own) / concurrency
    requests = sum(load.requests for load in own)
    rest = max(load.rest for load in own)
    return Packed(places, requests, max(alone, together), rest)
