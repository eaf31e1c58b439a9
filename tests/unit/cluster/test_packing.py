"""How hosts are packed into shards, by properties and by playing what the workers do."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Rate
from asyncbatch.cluster._load import HostLoad, load_of
from asyncbatch.cluster._packing import Packed, pack

CONCURRENCY = 100
LATENCY = 0.2

loads = st.lists(
    st.builds(
        lambda requests, per_host, rate: load_of(
            "h", requests, latency=LATENCY, concurrency=CONCURRENCY, per_host=per_host, rate=rate
        ),
        st.integers(1, 5000),
        st.none() | st.integers(1, 10),
        st.none() | st.builds(Rate, st.integers(1, 50)),
    ),
    min_size=1,
    max_size=200,
)


def packed(hosts: Sequence[HostLoad], workers: int, shards: int | None = None) -> list[Packed]:
    count = shards or 8 * workers
    return list(pack(hosts, workers=workers, concurrency=CONCURRENCY, shards=count))


def makespan(shards: Sequence[Packed], workers: int) -> float:
    """Return when the last of `workers` is done that take the shards in their order."""
    free = [0.0] * workers
    for shard in shards:
        heapq.heappush(free, heapq.heappop(free) + shard.seconds)
    return max(free)


def least(hosts: Sequence[HostLoad], workers: int) -> float:
    """Return the time below which nothing can be done."""
    work = sum(host.work for host in hosts)
    return max(max(host.seconds for host in hosts), work / (workers * CONCURRENCY))


@given(hosts=loads, workers=st.integers(1, 20))
def test_each_host_is_in_one_shard(hosts: list[HostLoad], workers: int) -> None:
    """No host is lost, none is in two shards, and the counts are right."""
    shards = packed(hosts, workers)

    assert sorted(place for shard in shards for place in shard.places) == list(range(len(hosts)))
    for shard in shards:
        assert shard.requests == sum(hosts[place].requests for place in shard.places)


@given(hosts=loads, workers=st.integers(1, 20))
def test_long_shards_are_first(hosts: list[HostLoad], workers: int) -> None:
    """So the last worker is not left with a long one."""
    seconds = [shard.seconds for shard in packed(hosts, workers)]

    assert seconds == sorted(seconds, reverse=True)


@given(hosts=loads, workers=st.integers(1, 20))
def test_the_shards_take_little_longer_than_the_least(hosts: list[HostLoad], workers: int) -> None:
    """At most twice the least time and the slowest host, as levels of decreasing height are."""
    shards = packed(hosts, workers)

    bound = 2 * least(hosts, workers) + 2 * max(host.seconds for host in hosts)
    assert makespan(shards, workers) <= bound * (1 + 1e-9)


@given(count=st.integers(1, 300), latency=st.floats(0.001, 10))
def test_hosts_of_one_size_make_as_many_shards_as_asked_for(count: int, latency: float) -> None:
    """The rounding of seconds, as of 40 times 0.2, joins none of them."""
    host = load_of("h", 1, latency=latency, concurrency=1, per_host=None, rate=None)

    shards = pack([host] * count, workers=1, concurrency=1, shards=count, least=1)

    assert [shard.requests for shard in shards] == [1] * count


def test_a_big_host_is_alone_and_first() -> None:
    """A host that fills a worker for long shares it with no other."""
    small = [load_of(f"s{n}", 100, latency=0.2, concurrency=100) for n in range(100)]
    big = load_of("big", 100_000, latency=0.2, concurrency=100)

    first, *others = packed([*small, big], workers=4)

    assert first.places == (100,)
    assert len(others) <= 32


def test_slow_hosts_run_side_by_side() -> None:
    """Hosts that keep few slots busy share a worker; one after the other would take ten times."""
    hosts = [load_of(f"h{n}", 2000, latency=0.2, concurrency=100, per_host=2) for n in range(500)]

    shards = packed(hosts, workers=4)

    assert {len(shard.places) for shard in shards} == {50}
    assert makespan(shards, 4) <= 1.25 * least(hosts, 4)


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_all_workers_take_part(workers: int) -> None:
    """Even where one worker has slots enough: its processor may be the limit."""
    hosts = [load_of(f"h{n}", 2000, latency=0.2, concurrency=100, per_host=2) for n in range(16)]

    assert len(packed(hosts, workers)) >= workers


def test_few_requests_make_few_shards() -> None:
    """A shard has its overhead, so one with a handful of requests is joined with others."""
    hosts = [load_of(f"h{n}", 10, latency=0.2, concurrency=100) for n in range(100)]

    assert len(packed(hosts, workers=2)) == 2


def test_a_hundred_machines_and_a_hundred_million_urls() -> None:
    """A long tail of hosts is done in little more than the least time, or in the slowest host's."""
    # The n-th host has a share of 1/n, as sites of a crawl have.
    total = sum(1 / n for n in range(1, 100_001))
    counts = [max(1, round(1e8 / total / n)) for n in range(1, 100_001)]
    for per_host, rate in ((None, None), (8, None), (None, Rate(100))):
        hosts = [
            load_of("h", count, latency=0.2, concurrency=100, per_host=per_host, rate=rate)
            for count in counts
        ]

        assert makespan(packed(hosts, workers=100), 100) <= 1.15 * least(hosts, 100)
