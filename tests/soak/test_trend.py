"""The result of the soak test: what counts as growth, and what does not."""

from __future__ import annotations

import random

import pytest

trend = pytest.importorskip("soak.trend", reason="the soak test is no part of the distribution")

TIMES = [float(time) for time in range(40)]
BOUND = trend.Bound(3)


def noise(size: float) -> list[float]:
    """Return figures around 100 that are always the same."""
    dice = random.Random(7)
    return [100 + dice.uniform(-size, size) for _ in TIMES]


def test_what_stands_still_does_not_grow() -> None:
    """However much it trembles, within its bound."""
    assert not trend.has_grown(TIMES, [100.0] * 40, BOUND)
    assert not trend.has_grown(TIMES, noise(2), BOUND)


def test_a_slow_leak_grows() -> None:
    """A tenth for each sample, in noise ten times as large."""
    leaking = [figure + time / 10 for figure, time in zip(noise(1), TIMES, strict=True)]

    assert trend.has_grown(TIMES, leaking, BOUND)
    assert trend.growth(TIMES, leaking) == pytest.approx(3.9, abs=0.5)


def test_what_shrinks_does_not_grow() -> None:
    """Memory that is given back is no finding."""
    assert not trend.has_grown(TIMES, [100 - time for time in TIMES], BOUND)


def test_one_outlier_is_no_growth() -> None:
    """Not even at the end, where it weighs most."""
    assert not trend.has_grown(TIMES, [100.0] * 39 + [200.0], BOUND)


def test_a_wave_is_no_growth() -> None:
    """What went up in the middle and came down again."""
    wave = [100.0] * 10 + [120.0] * 20 + [100.0] * 10

    assert not trend.has_grown(TIMES, wave, BOUND)


def test_a_step_is_growth() -> None:
    """What is taken once and kept, too, if it is more than the bound."""
    assert trend.has_grown(TIMES, [100.0] * 15 + [110.0] * 25, BOUND)


def test_the_larger_of_the_two_bounds_counts() -> None:
    """Times may grow by a part of themselves."""
    figures = [100 + time / 2 for time in TIMES]

    assert trend.has_grown(TIMES, figures, trend.Bound(3, relative=0.1))
    assert not trend.has_grown(TIMES, figures, trend.Bound(3, relative=0.5))


@pytest.mark.parametrize("figures", [[], [5.0]])
def test_too_little_to_tell_is_no_growth(figures: list[float]) -> None:
    """A run of one round has nothing to compare."""
    assert not trend.has_grown(TIMES[: len(figures)], figures, BOUND)
