from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry, RetryBudget


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "at least 1, not 0; it counts the first try; for no retries"),
        ({"attempts": 2.0}, TypeError, "attempts must be an int, not 2.0"),
        ({"attempts": True}, TypeError, "not True"),
        ({"backoff": -1}, ValueError, "backoff must be a number of seconds from 0 on, not -1"),
        ({"backoff": math.inf}, ValueError, "not inf"),
        ({"backoff": math.nan}, ValueError, "not nan"),
        ({"backoff_max": "8"}, TypeError, "backoff_max must be a number of seconds, not '8'"),
        (
            {"retry_after_max": -5},
            ValueError,
            "retry_after_max must be a number of seconds from 0 on, not -5",
        ),
        ({"statuses": {200}}, ValueError, "400 to 599, not 200"),
        ({"statuses": 503}, TypeError, "such as {503}, not 503"),
        ({"statuses": {"503"}}, ValueError, "not '503'"),
        ({"methods": "GET"}, TypeError, "such as {'GET'}, not 'GET'"),
        ({"methods": {7}}, TypeError, "such as {'GET'}, not one with 7"),
        ({"methods": b"G"}, TypeError, "not one with 71"),
        ({"budget": -0.1}, ValueError, "not -0.1; None retries without a budget"),
        ({"budget": "all"}, TypeError, "a share such as 0.2, or None, not 'all'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The message holds the value received and the cure."""
    with pytest.raises(error) as caught:
        Retry(**arguments)

    assert message in str(caught.value)


def test_sets_are_taken_from_any_iterable_and_methods_in_any_case() -> None:
    """What callers write most easily is understood."""
    retry = Retry(statuses=[503, 503], methods=("get", "post"))

    assert retry.statuses == frozenset({503})
    assert retry.methods == frozenset({"GET", "POST"})


@pytest.mark.parametrize(
    ("outcome", "get", "post"),
    [
        *(({"kind": "status", "status_code": code}, True, False) for code in (408, 425, 429)),
        *(({"kind": "status", "status_code": code}, True, False) for code in (500, 502, 503, 504)),
        *(({"kind": "status", "status_code": code}, False, False) for code in (400, 404, 413, 501)),
        ({"kind": "dns", "connect_failed": True}, True, True),
        ({"kind": "dns", "connect_failed": True, "permanent": True}, False, False),
        ({"kind": "connect", "connect_failed": True}, True, True),
        ({"kind": "connect"}, True, False),
        ({"kind": "tls", "connect_failed": True}, True, True),
        ({"kind": "tls", "connect_failed": True, "permanent": True}, False, False),
        ({"kind": "timeout", "connect_failed": True}, True, True),
        ({"kind": "timeout"}, True, False),
        ({"kind": "protocol"}, True, False),
        ({"kind": "truncated"}, True, False),
        ({"kind": "truncated", "status_code": 200}, True, False),
        ({"kind": "decode", "status_code": 200}, False, False),
        ({"kind": "redirect", "status_code": 302}, False, False),
        ({"kind": "too_large", "status_code": 200}, False, False),
        ({"kind": "blocked", "connect_failed": True}, False, False),
        ({"kind": "invalid_request"}, False, False),
        ({"kind": "host_down"}, False, False),
        ({"kind": "retry_after", "status_code": 429}, False, False),
        ({"kind": "not_started"}, False, False),
        ({"kind": None, "status_code": 200}, False, False),
    ],
)
def test_what_is_tried_again(outcome: dict[str, Any], get: bool, post: bool) -> None:
    """Passing failures are; a POST only if it cannot have reached the server."""
    kind = outcome.pop("kind")
    ended = Outcome(kind=None if kind is None else FailureKind(kind), **outcome)

    assert Retry().permits(ended, "GET") is get
    assert Retry().permits(ended, "POST") is post


def test_every_kind_of_failure_is_decided() -> None:
    """A new kind must be put on the side of those that pass or those that do not."""
    retried = {
        kind for kind in FailureKind if Retry().permits(Outcome(kind=kind, status_code=503), "GET")
    }

    assert retried == {"status", "dns", "connect", "tls", "timeout", "protocol", "truncated"}


def test_the_back_off_doubles_up_to_its_maximum() -> None:
    """The bound of the n-th wait is backoff * 2 ** (n - 1)."""
    retry = Retry(backoff=0.5, backoff_max=3.0)

    assert [retry.backoff_delay(n, lambda: 1.0) for n in (1, 2, 3, 4, 5000)] == [0.5, 1, 2, 3, 3]


def test_the_back_off_is_drawn_evenly_from_nothing_to_its_bound() -> None:
    """Full jitter: what failed together does not come back together."""
    assert [Retry().backoff_delay(2, lambda at=at: at) for at in (0.0, 0.25)] == [0.0, 0.25]


def test_a_server_may_ask_for_a_wait_up_to_the_maximum() -> None:
    """The maximum itself is not too long."""
    retry = Retry(retry_after_max=60)

    assert not retry.asks_too_long(Outcome(retry_after=60.0))
    assert retry.asks_too_long(Outcome(retry_after=60.1))
    assert not retry.asks_too_long(Outcome())


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
