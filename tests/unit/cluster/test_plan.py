"""The public plan and its estimate."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import pytest

from asyncbatch import HostLimits, Rate
from asyncbatch.cluster import Plan, plan


def urls(count: int, hosts: int) -> list[str]:
    return [f"http://h{n % hosts}.example/{n}" for n in range(count)]


def test_a_plan_counts_what_it_is_given() -> None:
    """Requests, hosts and shards, of any iterable."""
    made = plan(iter(urls(10_000, 50)), workers=2)

    assert (made.requests, made.hosts) == (10_000, 50)
    assert sum(shard.requests for shard in made.shards) == 10_000
    assert sum(shard.hosts for shard in made.shards) == 50
    assert [shard.number for shard in made.shards] == list(range(len(made.shards)))


def test_the_slowest_host_decides_whatever_the_number_of_workers() -> None:
    """A million requests a day to one host take as long with a thousand workers."""
    made = plan(
        [*urls(1000, 100), *(f"http://slow.example/{n}" for n in range(1000))],
        hosts={"slow.example": HostLimits(rate=Rate(10))},
        latency=0.1,
    )

    for workers in (1, 10, 1000):
        estimate = made.estimate(workers=workers)
        assert estimate.seconds == pytest.approx(100.0)
        assert estimate.bound_by == "host"
        assert estimate.host is not None
        assert estimate.host.host == "slow.example"
        assert estimate.useful_workers == 1


def test_without_a_slow_host_the_workers_decide() -> None:
    """Twice the workers take half of the time, until a single host takes as long."""
    made = plan(urls(100_000, 1000), workers=2, latency=0.1)

    two, four = made.estimate(), made.estimate(workers=4)
    assert two.bound_by == "workers"
    assert two.seconds == pytest.approx(2 * four.seconds) == pytest.approx(50.0)
    assert made.estimate(workers=two.useful_workers).seconds == pytest.approx(0.1)


def test_an_estimate_reads_as_a_report() -> None:
    """It names the host that decides, and how many workers are of use."""
    text = str(plan(urls(1000, 1), rate=Rate(1), workers=8).estimate())

    assert text == (
        "at least 999 s with 8 workers\n"
        "  slowest host  999 s, h0.example: 1,000 requests\n"
        "  all slots     250 ms\n"
        "  more than 1 at once make nothing faster"
    )


def test_an_estimate_that_workers_decide_names_no_bound_for_them() -> None:
    """More of them are of use."""
    text = str(plan(urls(100_000, 1000), workers=2, latency=0.1).estimate())

    assert text.startswith("at least 50 s with 2 workers\n")
    assert "nothing faster" not in text


def test_nothing_to_fetch_takes_no_time() -> None:
    """An empty input is a plan without shards."""
    made = plan([])

    assert made.shards == ()
    assert made.estimate().seconds == 0
    assert str(made.estimate()) == "at least 0 ms with 1 worker"


def test_a_plan_is_frozen_and_pickles() -> None:
    """It can be kept, and sent."""
    made = plan(urls(100, 3))

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.requests = 1  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(made))
    assert isinstance(copy, Plan)
    assert copy == made


@pytest.mark.parametrize(
    ("requests", "options", "message"),
    [
        ("http://a.example/", {}, "an iterable of requests, not one"),
        (7, {}, "must be an iterable"),
        ([], {"workers": 0}, "workers must be"),
        ([], {"shards": 0}, "shards must be"),
        ([], {"latency": -1}, "latency must be"),
        ([], {"per_hst": 1}, "per_hst"),
        ([], {"per_host": 0}, "per_host must be"),
        ([], {"total_rate": Rate(1)}, "total_rate cannot be used with asyncbatch.cluster"),
        ([], {"progress": True}, "progress cannot be used"),
        ([], {"to": "folder/"}, "to cannot be used"),
    ],
)
def test_misuse_is_told_at_once(requests: Any, options: dict[str, Any], message: str) -> None:
    """With the name of what is wrong."""
    with pytest.raises((TypeError, ValueError), match=message):
        plan(requests, **options)


def test_an_async_iterable_is_refused_with_the_cure() -> None:
    """A plan is made in plain code."""

    class Async:
        def __aiter__(self) -> Async:
            return self

    with pytest.raises(TypeError, match="read an async iterable first"):
        plan(Async())  # type: ignore[arg-type]
