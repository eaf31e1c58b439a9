"""The current state of a fetcher, in total and by host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

import attrs

from asyncbatch._batch import Batch
from asyncbatch._schedule._host import Host
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._host_key import HostKey, name_of


@attrs.frozen
class HostStatistics:
    """The current state of one host, as seen by a fetcher."""

    in_flight: int
    """Number of requests being tried."""
    waiting: int
    """Number of requests read from the inputs that wait for a slot, the host, their next try or the
    disk."""
    paused_until: float | None
    """Seconds from now until the pause of the host ends; `None`: it is not paused."""
    given_up: bool
    """Whether its requests fail at once, because it failed to answer (`give_up_host_after`)."""


@attrs.frozen
class Statistics:
    """The current state of a fetcher."""

    batches: int
    """Number of running batches, single fetches included."""
    in_flight: int
    """Number of requests that hold one of the `concurrency` slots."""
    waiting: int
    """Number of requests read from the inputs that wait for a slot, a host or their next try."""
    hosts: int
    """Number of hosts with a state to keep: requests in flight, or recent events that matter."""
    concurrency: int
    """Number of slots."""
    by_host: Mapping[str, HostStatistics] = attrs.field(factory=dict)
    """Each host that has unfinished requests, is paused or is given up, by its name as in
    `Results.by_host`."""


def statistics_by_host(
    hosts: Hosts, batches: Iterable[Batch], now: float
) -> dict[str, HostStatistics]:
    """Return the state of each host that has unfinished requests, is paused or is given up."""
    unfinished = Counter[Host]()
    for batch in batches:
        unfinished.update(batch.unfinished_by_host())
    found: dict[str, HostStatistics] = {}
    for host in hosts.busy_or_closed(now):
        one = HostStatistics(
            in_flight=host.in_flight,
            waiting=unfinished[host] - host.in_flight,
            paused_until=host.paused_until - now if host.is_paused(now) else None,
            given_up=host.is_down,
        )
        name = name_of(cast("HostKey", host.key))
        found[name] = one if name not in found else _together(found[name], one)
    return found


def _together(one: HostStatistics, other: HostStatistics) -> HostStatistics:
    """Add up the states of two origins with one name: http and https are two hosts here."""
    pauses = [each.paused_until for each in (one, other) if each.paused_until is not None]
    return HostStatistics(
        in_flight=one.in_flight + other.in_flight,
        waiting=one.waiting + other.waiting,
        paused_until=max(pauses, default=None),
        given_up=one.given_up or other.given_up,
    )
