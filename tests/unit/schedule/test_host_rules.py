"""What holds for hosts, and where single hosts differ."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asyncbatch._policies._rate import Gcra, Rate
from asyncbatch._policies._retry_budget import RetryBudget
from asyncbatch._schedule._host_rules import HostRules, Policies
from asyncbatch._schedule._timers import Timers
from asyncbatch._values._retry import Retry
from asyncbatch._values._timeouts import TimeLimits


def policies(**given: Any) -> Policies:
    """Return what limits nothing, but for what is given."""
    defaults: dict[str, Any] = {
        "cap": math.inf,
        "rate": None,
        "total": None,
        "slots": math.inf,
        "give_up_after": None,
        "retry": Retry(),
        "random": lambda: 1.0,
        "timers": Timers(),
    }
    return Policies(**{**defaults, **given})


def test_rules_take_the_place_of_what_holds_for_all() -> None:
    """What they do not say stays."""
    general = policies(cap=8, rate=Rate(2), give_up_after=7)
    limits = TimeLimits(1.0, 1.0)

    wider = general.under(HostRules(per_host=20))
    slower = general.under(HostRules(rate=Rate(1), limits=limits))

    assert (wider.cap, wider.rate, wider.give_up_after) == (20, Rate(2), 7)
    assert (slower.cap, slower.rate, slower.limits) == (8, Rate(1), limits)
    assert slower.timers is general.timers


@pytest.mark.parametrize(
    ("given", "is_unlimited"),
    [
        ({}, True),
        ({"slots": 3}, True),
        ({"cap": 3}, False),
        ({"rate": Rate(1)}, False),
        ({"total": Gcra(Rate(1))}, False),
    ],
    ids=["nothing", "slots", "cap", "rate", "total"],
)
def test_a_host_is_limited_by_its_cap_and_by_rates(
    given: dict[str, Any], is_unlimited: bool
) -> None:
    """The slots of a fetcher are no limit of one host."""
    assert policies(**given).is_unlimited is is_unlimited


def test_a_host_is_full_with_what_its_cap_and_the_slots_allow() -> None:
    """With the smaller of both."""
    assert policies(cap=3, slots=9).full == 3
    assert policies(slots=9).full == 9


def test_a_host_has_a_budget_where_the_policy_has_one() -> None:
    """Each its own."""
    with_budget = policies()
    budgets = [with_budget.new_budget() for _ in range(2)]

    assert all(isinstance(budget, RetryBudget) for budget in budgets)
    assert budgets[0] is not budgets[1]
    assert policies(retry=Retry(budget=None)).new_budget() is None
    assert policies(retry=None).new_budget() is None
