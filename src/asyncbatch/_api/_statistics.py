"""What a fetcher is doing at this moment, in all and with each host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

import attrs

from asyncbatch._batch import Batch
from asyncbatch._schedule._host import Host
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._host_key import Origin, name_of


@attrs.frozen
class HostStatistics:
    """What a fetcher is doing at one host at this moment."""

    in_flight: int
    """Requests that are being tried."""
    waiting: int
    """Requests read from the inputs and waiting: for a slot, the host, or their next try."""
    paused_until: float | None
    """In how many seconds from now the host's pause ends; `None`: it is not paused."""
    given_up: bool
    """Whether its requests fail at once, because it has not answered for too long."""


@attrs.frozen
class Statistics:
    """What a fetcher is doing at this moment."""

    batches: int
    """Batches under way, single fetches included."""
    in_flight: int
    """Requests that hold one of the `concurrency` slots."""
    waiting: int
    """Requests read from the inputs and waiting: for a slot, their host, or their next try."""
    hosts: int
    """Hosts that are remembered, because something is in flight or their past matters."""
    concurrency: int
    """How many slots there are."""
    by_host: Mapping[str, HostStatistics] = attrs.field(factory=dict)
    """Each host that has unfinished requests, is paused or is given up, by its name as in
    `Results.by_host`."""


def statistics_by_host(
    hosts: Hosts, batches: Iterable[Batch], now: float
) -> dict[str, HostStatistics]:
    """Return what is being done with each host for which that is not nothing."""
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
        name = name_of(cast("Origin", host.key))
        found[name] = one if name not in found else _together(found[name], one)
    return found


def _together(one: HostStatistics, other: HostStatistics) -> HostStatistics:
    """Add up what there is of one name: http and https are two hosts to us."""
    pauses = [each.paused_until for each in (one, other) if each.paused_until is not None]
    return HostStatistics(
        in_flight=one.in_flight + other.in_flight,
        waiting=one.waiting + other.waiting,
        paused_until=max(pauses, default=None),
        given_up=one.given_up or other.given_up,
    )
