"""The least time of a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Rate
from asyncbatch.cluster._load import load_of


@pytest.mark.parametrize(
    ("limits", "seconds", "slots"),
    [
        ({}, 2.0, 100.0),
        ({"per_host": 2}, 100.0, 2.0),
        ({"per_host": 200}, 2.0, 100.0),
        ({"rate": Rate(10)}, 100.1, 200 / 100.1),
        ({"rate": Rate(10, burst=1000)}, 2.0, 100.0),
        ({"rate": Rate(1000), "per_host": 1}, 200.0, 1.0),
    ],
)
def test_the_least_time_of_a_host_is_that_of_its_tightest_limit(
    limits: dict[str, object], seconds: float, slots: float
) -> None:
    """1,000 requests of 0.2 s: by 100 slots, by `per_host`, or by the rate."""
    load = load_of("h", 1000, latency=0.2, concurrency=100, **limits)  # type: ignore[arg-type]

    assert load.seconds == pytest.approx(seconds)
    assert load.slots == pytest.approx(slots)


@given(
    requests=st.integers(1, 10_000),
    latency=st.floats(0.001, 10),
    concurrency=st.integers(1, 500),
    per_host=st.none() | st.integers(1, 100),
    rate=st.none() | st.builds(Rate, st.floats(0.01, 1000), burst=st.integers(1, 50)),
)
def test_a_host_never_has_more_slots_than_its_limits_allow(
    requests: int, latency: float, concurrency: int, per_host: int | None, rate: Rate | None
) -> None:
    """Slots times seconds are the work, and the slots fit into the worker and the limit."""
    load = load_of(
        "h", requests, latency=latency, concurrency=concurrency, per_host=per_host, rate=rate
    )

    assert load.work == pytest.approx(requests * latency)
    assert load.slots <= min(concurrency, per_host or concurrency, requests) * (1 + 1e-9)
    assert load.seconds >= latency
