from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._policies._rate import Gcra, Rate


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must be a number above 0, not 0"),
        ({"count": -1}, ValueError, "count must be a number above 0, not -1"),
        ({"count": math.nan}, ValueError, "count must be a number above 0, not nan"),
        ({"count": math.inf}, ValueError, "count must be a number above 0, not inf"),
        ({"count": "20"}, TypeError, "count must be a number above 0, not '20'"),
        ({"count": True}, TypeError, "count must be a number above 0, not True"),
        ({"count": 1, "per": 0}, ValueError, "per must be a number above 0, not 0"),
        ({"count": 1, "burst": 0}, ValueError, "burst must be at least 1, not 0"),
        ({"count": 1, "burst": 1.5}, TypeError, "burst must be an int, not"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    """The message holds the value received and what would do."""
    with pytest.raises(error, match=message):
        Rate(**arguments)  # type: ignore[arg-type]


def test_a_rate_cannot_be_changed() -> None:
    """A policy is a value."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Rate(1).count = 2  # type: ignore[misc]


def test_without_a_burst_starts_are_spaced_evenly() -> None:
    """`Rate(4)` lets something start every quarter of a second."""
    assert _start_times(Rate(4), 4) == [0.0, 0.25, 0.5, 0.75]


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    """`burst` is what may start at one moment."""
    assert _start_times(Rate(60, per=60, burst=3), 5) == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_a_burst_comes_back_while_nothing_starts() -> None:
    """The bucket is full again at `full_at`, and no fuller however long one waits."""
    limiter = Gcra(Rate(1, burst=2))
    limiter.book(0.0)
    limiter.book(0.0)

    assert limiter.full_at == 2.0
    assert _start_times(limiter, 4, now=100.0) == [100.0, 100.0, 101.0, 102.0]


def test_the_time_in_which_nothing_could_start_is_summed_up() -> None:
    """It can be asked for at any moment, also before the current wait is over."""
    limiter = Gcra(Rate(1))
    limiter.book(0.0)
    limiter.book(5.0)

    assert [limiter.closed_until(moment) for moment in (5.0, 5.25, 6.0, 9.0)] == [1, 1.25, 2, 2]


@given(
    count=st.floats(0.1, 1000),
    per=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 20), min_size=30, max_size=30),
)
def test_no_span_holds_more_starts_than_rate_and_burst_allow(
    count: float, per: float, burst: int, pauses: list[float]
) -> None:
    """Any n starts span at least n - burst intervals, whenever they were asked for."""
    rate = Rate(count, per=per, burst=burst)
    limiter = Gcra(rate)
    now = 0.0
    starts = []
    for pause in pauses:
        now = max(now + pause * rate.interval / 10, limiter.open_at)
        limiter.book(now)
        starts.append(now)

    for first, begin in enumerate(starts):
        for n, end in enumerate(starts[first:], start=1):
            assert end - begin >= (n - burst) * rate.interval - 1e-6


def _start_times(limit: Rate | Gcra, n: int, *, now: float = 0.0) -> list[float]:
    limiter = Gcra(limit) if isinstance(limit, Rate) else limit
    starts = []
    for _ in range(n):
        now = max(now, limiter.open_at)
        limiter.book(now)
        starts.append(now)
    return starts
