"""Quantiles: exact for few values, within a bound for many."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results._quantiles import Quantiles, QuantilesBuilder

ERROR = 1 / 128


def quantiles_of(values: list[float], *, exact_up_to: int) -> Quantiles:
    """Return the quantiles of the values."""
    builder = QuantilesBuilder(exact_up_to)
    for start in range(0, len(values), 7):
        builder.extend(values[start : start + 7])
    found = builder.build()
    assert found is not None
    return found


def nearest_rank(values: list[float], percent: int) -> float:
    """Return the quantile by its definition, slowly."""
    ordered = sorted(values)
    return next(
        value
        for value in ordered
        if 100 * sum(other <= value for other in ordered) >= percent * len(ordered)
    )


def test_of_nothing_there_are_none():
    """No value, no quantiles."""
    assert QuantilesBuilder(10).build() is None


@pytest.mark.parametrize("exact_up_to", [1, 0])
def test_one_value_is_all_of_its_quantiles(exact_up_to: int):
    """Kept or in a bucket, one value is given back as it is."""
    found = quantiles_of([0.3], exact_up_to=exact_up_to)

    assert found == Quantiles(count=1, mean=0.3, p50=0.3, p90=0.3, p99=0.3, max=0.3)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=150))
def test_few_values_have_the_quantiles_of_the_definition(values: list[float]):
    """Up to the limit each quantile is the value at the nearest rank."""
    found = quantiles_of(values, exact_up_to=len(values))

    assert found.p50 == nearest_rank(values, 50)
    assert found.p90 == nearest_rank(values, 90)
    assert found.p99 == nearest_rank(values, 99)
    assert found.max == max(values)
    assert found.mean == pytest.approx(math.fsum(values) / len(values))


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=150))
def test_many_values_have_them_within_the_bound(values: list[float]):
    """Beyond the limit each is off by less than one part in 128."""
    found = quantiles_of(values, exact_up_to=0)

    assert found.p50 == pytest.approx(nearest_rank(values, 50), rel=ERROR)
    assert found.p90 == pytest.approx(nearest_rank(values, 90), rel=ERROR)
    assert found.p99 == pytest.approx(nearest_rank(values, 99), rel=ERROR)
    assert found.max == max(values)


def test_zeros_are_no_other_value():
    """Zero has no logarithm, and yet a place in the histogram."""
    found = quantiles_of([0.0] * 60 + [0.4] * 40, exact_up_to=0)

    assert found.p50 == 0.0
    assert found.p90 == pytest.approx(0.4, rel=ERROR)


def test_a_clock_that_went_backwards_counts_as_zero():
    """A negative duration spoils nothing."""
    found = quantiles_of([-1.0, -1.0, 0.5], exact_up_to=0)

    assert (found.p50, found.max) == (0.0, 0.5)


@given(st.lists(st.floats(-1.0, 1.0), max_size=20))
def test_what_is_not_above_zero_counts_as_zero(values: list[float]):
    """However it is written, and also in the histogram."""
    found = quantiles_of([*values, -0.0, 0.0, -1.0], exact_up_to=0)

    kept = [max(value, 0.0) for value in [*values, 0.0, 0.0, 0.0]]
    assert found.max == max(kept)
    assert found.p50 == pytest.approx(nearest_rank(kept, 50), rel=ERROR)


@pytest.mark.parametrize("exact_up_to", [0, 5, 10**6])
@pytest.mark.parametrize("value", [-1.0, 0.0, 0.1, 3.0])
def test_equal_values_count_as_any_others(value: float, exact_up_to: int):
    """As where no request had to wait: the same as one by one, and with others before and after."""
    together, apart = QuantilesBuilder(exact_up_to), QuantilesBuilder(exact_up_to)
    for values in ([value] * 7, [0.5, 2.0], [value] * 3):
        together.extend(values)
        for one in values:
            apart.extend([one])

    found, expected = together.build(), apart.build()
    assert found is not None
    assert expected is not None
    assert found.columns()[1:] == expected.columns()[1:]
    assert found.mean == pytest.approx(expected.mean)
    assert found.count == expected.count == 12


def test_a_value_between_two_builds_counts():
    """Building is a look at the figures, not their end."""
    builder = QuantilesBuilder(10)
    builder.extend([1.0])
    builder.build()
    builder.extend([3.0])

    found = builder.build()

    assert found is not None
    assert (found.count, found.max) == (2, 3.0)


def test_memory_does_not_grow_with_the_number_of_values():
    """A hundred thousand values over nine decades leave no more than some thousand counts."""
    builder = QuantilesBuilder(1_000)
    random_values = random.Random(1)
    for _ in range(1_000):
        builder.extend([10 ** random_values.uniform(-6, 3) for _ in range(100)])

    assert builder._values is None
    assert len(builder._buckets) < 2_000


@given(st.lists(st.lists(st.floats(0, 1e6), max_size=60), max_size=5))
def test_merged_quantiles_are_those_of_all_values(parts: list[list[float]]):
    """Within the bound, by states that JSON has carried; what is exact stays so."""
    merged = QuantilesBuilder(10)
    for part in parts:
        builder = QuantilesBuilder(len(part) // 2)
        builder.extend(part)
        if (state := builder.state()) is not None:
            merged.merge(json.loads(json.dumps(state)))

    values = [value for part in parts for value in part]
    found = merged.build()
    assert (found is None) == (not values)
    if found is not None:
        assert (found.count, found.max) == (len(values), max(values))
        assert found.mean == pytest.approx(math.fsum(values) / len(values))
        for value, percent in ((found.p50, 50), (found.p90, 90), (found.p99, 99)):
            assert value == pytest.approx(nearest_rank(values, percent), rel=ERROR, abs=1e-300)


def test_a_builder_goes_on_after_a_merge():
    """Its own values before and after count as well."""
    other = QuantilesBuilder(10)
    other.extend([3.0, 4.0])
    state = other.state()
    assert state is not None
    builder = QuantilesBuilder(10)
    builder.extend([1.0])

    builder.merge(state)
    builder.extend([2.0])

    found = builder.build()
    assert found is not None
    assert (found.count, found.mean, found.max) == (4, 2.5, 4.0)
