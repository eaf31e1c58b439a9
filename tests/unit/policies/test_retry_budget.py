"""The budget of a host's retries."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._policies._retry_budget import RetryBudget


def test_a_budget_allows_a_share_of_the_first_tries_and_ten_a_second() -> None:
    """1,000 first tries at 20 % are 200 retries, and the reserve is 100 in 10 seconds."""
    budget = RetryBudget(0.2)
    budget.turn(0.0)
    budget.tries += 1000

    assert sum(budget.spend(0.5) for _ in range(1000)) == 300


def test_a_budget_without_a_share_is_the_reserve() -> None:
    """`budget=0` still allows 10 retries a second."""
    budget = RetryBudget(0)

    assert sum(budget.spend(7.0) for _ in range(1000)) == 100


def test_a_budget_forgets_what_is_ten_seconds_old() -> None:
    """Neither first tries nor retries count for longer."""
    budget = RetryBudget(1.0)
    budget.turn(0.0)
    budget.tries += 50
    spent = [sum(budget.spend(moment) for _ in range(1000)) for moment in (0.0, 9.9, 10.0, 1e9)]

    assert spent == [150, 0, 100, 100]
    assert budget.spent_until() >= 1e9 + 10


def test_a_budget_gets_back_what_may_be_refunded_and_once_only() -> None:
    """The retries of attempts that turn out to be part of an outage, in whichever second."""
    budget = RetryBudget(0.0)
    assert all(budget.spend(0.0) for _ in range(30))
    assert all(budget.spend(0.5 + n % 2, is_refundable=True) for n in range(70))
    assert not budget.spend(1.5)

    budget.refund(2.5)
    budget.refund(2.5)

    assert sum(budget.spend(2.5) for _ in range(1000)) == 70


def test_a_budget_keeps_what_was_paid_before_an_answer() -> None:
    """These attempts were no outage."""
    budget = RetryBudget(0.0)
    assert all(budget.spend(0.0, is_refundable=True) for _ in range(100))

    budget.keep()
    budget.refund(0.5)

    assert not budget.spend(0.5)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 100), st.integers(0, 60)), max_size=20))
def test_a_budget_is_kept_in_every_window(steps: list[tuple[float, int, int]]) -> None:
    """With each retry, in the ten whole seconds up to it: retries <= 20 % of first tries + 100."""
    budget = RetryBudget(0.2)
    now = 0.0
    events: list[tuple[int, int, int]] = []
    for pause, tries, wishes in steps:
        now += pause
        if now >= budget.ends_at:
            budget.turn(now)
        budget.tries += tries
        retries = sum(budget.spend(now) for _ in range(wishes))
        events.append((math.floor(now), tries, retries))

        window = [event for event in events if event[0] > math.floor(now) - RetryBudget.WINDOW]
        spent = sum(event[2] for event in window)
        allowed = 0.2 * sum(event[1] for event in window) + RetryBudget.RESERVE
        assert not retries or spent <= allowed
        assert retries == wishes or spent + 1 > allowed
