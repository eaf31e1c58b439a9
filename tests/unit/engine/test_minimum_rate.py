"""The least rate of a transfer: pure, on a clock made up."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._engine._minimum_rate import WINDOW, ReceivedRate


def test_nothing_more_is_too_slow_once_the_window_has_passed() -> None:
    """The first second counts from its end, so that all transfers are judged at whole seconds."""
    pace = ReceivedRate(100, now=5.3)

    assert pace.too_slow_at == 16


def test_enough_for_one_window_buys_one_window() -> None:
    """What came at the beginning is too long ago once the window has passed it by."""
    pace = ReceivedRate(100, now=5.3)
    pace.add(1000, now=5.3)

    assert pace.too_slow_at == 17


def test_one_byte_too_few_buys_nothing() -> None:
    """The rate is a least, and not an about."""
    pace = ReceivedRate(100, now=5.3)
    pace.add(999, now=5.3)

    assert pace.too_slow_at == 16


def test_a_rate_that_is_kept_is_never_too_slow() -> None:
    """Exactly the rate is enough at all times."""
    pace = ReceivedRate(100, now=0.0)
    for second in range(1, 1000):
        pace.add(100, now=second - 0.5)

        assert pace.too_slow_at > second


def test_a_burst_is_forgotten() -> None:
    """A megabyte at once does not pay for a drip of minutes."""
    pace = ReceivedRate(100, now=0.0)
    pace.add(1_000_000, now=0.5)
    for second in range(1, 12):
        pace.add(1, now=second + 0.5)

    assert pace.too_slow_at == 12


def test_a_drip_below_the_rate_is_too_slow_at_its_first_judgement() -> None:
    """That bytes come now and then does not help."""
    pace = ReceivedRate(100, now=0.2)
    for second in range(1, 11):
        pace.add(99, now=second + 0.5)

        assert pace.too_slow_at == 11


def test_after_a_gap_only_what_came_behind_it_counts() -> None:
    """An event loop that was held up for minutes may find bytes and judgement at once."""
    pace = ReceivedRate(100, now=0.0)
    pace.add(10, now=0.1)
    pace.add(10, now=500.5)

    assert pace.too_slow_at == 501


@given(
    rate=st.floats(0.1, 1e9),
    start=st.floats(0, 1e6),
    pieces=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**10)), max_size=60),
)
def test_it_says_what_a_look_at_the_whole_past_says(
    rate: float, start: float, pieces: list[tuple[float, int]]
) -> None:
    """The next whole second, from the first judgement on, that has too little in its window."""
    pace, now, past = ReceivedRate(rate, start), start, []
    for wait, count in pieces:
        now += wait
        pace.add(count, now)
        past.append((max(now, float(math.floor(start) + 1)), count))

        assert pace.too_slow_at == _by_hand(rate, start, now, past)


def _by_hand(rate: float, start: float, now: float, past: list[tuple[float, int]]) -> int:
    end = max(math.floor(now) + 1, math.floor(start) + 1 + WINDOW)
    while sum(count for moment, count in past if moment >= end - WINDOW) >= rate * WINDOW:
        end += 1
    return end
