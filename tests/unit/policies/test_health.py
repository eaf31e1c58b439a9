"""The outages of one host: what is a round, what gives the host up, and what a probe does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._policies._health import DOWN_FOR, GIVE_UP_TIME, ROUND_MAX, Finding, Health
from asyncbatch._policies._slow_start import FIRST
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry


def fail(health: Health, now: float, **facts: Any) -> Finding:
    """Tell `health` of a connect that began and ended at `now`, alone on its host."""
    told: dict[str, Any] = {"others": 0, "was_probe": False, "has_answered": False}
    told.update((name, facts.pop(name)) for name in list(told) if name in facts)
    retry = facts.pop("retry", Retry())
    described = {"kind": FailureKind.connect, "connect_failed": True, "started_at": now, **facts}
    return health.failed(Outcome(**described), now, retry, **told)


def down(give_up_after: int = 1) -> Health:
    """Return the health of a host that was given up at the time 3."""
    health = Health(give_up_after)
    fail(health, 0.0)
    for _ in range(give_up_after):
        fail(health, GIVE_UP_TIME)
    assert health.is_down
    return health


@pytest.mark.parametrize(
    ("others", "needed"), [(0, 2), (1, 2), (2, 3), (4, 5), (8, 9), (9, 10), (50, 10)]
)
def test_a_round_is_as_many_failures_as_are_in_flight(others: int, needed: int) -> None:
    """Two at least and ten at most."""
    health = Health(None)
    findings = [fail(health, 0.0, others=others) for _ in range(needed)]

    assert findings == [Finding.DOUBT] * (needed - 1) + [Finding.OUTAGE]


def test_attempts_begun_before_the_end_of_a_round_belong_to_it() -> None:
    """They end no second round; the first that began later does, by itself."""
    health = Health(None)
    fail(health, 1.0)
    fail(health, 1.0)

    assert fail(health, 1.5, started_at=1.0) is Finding.NOTHING
    assert fail(health, 2.0, started_at=1.6) is Finding.OUTAGE
    assert health.rounds == 2


@pytest.mark.parametrize(
    "facts",
    [
        {"retry": None},
        {"retry": Retry(pause_hosts=False)},
        {"kind": FailureKind.dns, "permanent": True},
        {"kind": FailureKind.tls, "permanent": True},
    ],
)
def test_an_attempt_that_may_pause_no_host_ends_no_round(facts: dict[str, Any]) -> None:
    """It counts in the row all the same."""
    health = Health(None)
    findings = [fail(health, 0.0, **facts) for _ in range(5)]

    assert set(findings) == {Finding.DOUBT}
    assert (health.row, health.rounds) == (5, 0)


def test_an_outage_is_a_short_one_for_three_seconds() -> None:
    """After that the host is not paused any more; with no number it is not given up either."""
    health = Health(None)
    fail(health, 0.0)
    fail(health, 0.0)

    assert health.is_out(GIVE_UP_TIME - 0.01)
    assert not health.is_out(GIVE_UP_TIME)
    assert fail(health, GIVE_UP_TIME) is Finding.DOUBT
    assert not health.is_down


@pytest.mark.parametrize(
    ("facts", "began"),
    [
        ({}, 2.0),
        ({"connect_failed": False, "kind": FailureKind.timeout}, 2.0),
        ({"connect_failed": False, "kind": FailureKind.protocol}, 5.0),
        ({"has_answered": True}, 5.0),
    ],
)
def test_the_row_begins_where_the_first_attempt_says(facts: dict[str, Any], began: float) -> None:
    """Since the request was sent, unless the host has been heard since, or may have been."""
    health = Health(1)
    finding = fail(health, 5.0, started_at=2.0, **facts)

    assert health.began == began
    assert finding is (Finding.DOWN if 5.0 - began >= GIVE_UP_TIME else Finding.DOUBT)


def test_a_round_is_followed_by_a_pause_unless_it_took_as_long() -> None:
    """The pauses grow with the rounds, up to a second."""
    health = Health(None)
    fail(health, 0.0)
    fail(health, 0.0)

    first = health.pause_after_round(Retry(backoff=0.25), lambda: 1.0, lasted=0.9)
    fail(health, 0.5)

    assert first == 0.25
    assert health.pause_after_round(Retry(backoff=0.25), lambda: 1.0, lasted=0.9) == 0.5
    assert health.pause_after_round(Retry(backoff=5.0), lambda: 1.0, lasted=0.9) == ROUND_MAX
    assert health.pause_after_round(Retry(), lambda: 1.0, lasted=ROUND_MAX) is None


@pytest.mark.parametrize(("failures", "seconds"), [(4, 100.0), (20, GIVE_UP_TIME - 0.01)])
def test_neither_number_nor_time_alone_gives_a_host_up(failures: int, seconds: float) -> None:
    """It takes `give_up_after` failures in a row, and that the row lasts three seconds."""
    health = Health(5)
    for n in range(failures):
        fail(health, n * seconds / failures)

    assert not health.is_down


def test_a_host_that_is_down_fails_fast_until_it_is_to_be_probed() -> None:
    """Then one request is let through, and the others fail fast until it has ended."""
    health, probe = down(), object()
    probed_at = GIVE_UP_TIME + DOWN_FOR

    assert health.fails_fast(probed_at - 0.01)
    assert not health.fails_fast(probed_at)
    assert health.started(probe)
    assert health.fails_fast(probed_at)
    assert not health.ended(object())
    assert health.ended(probe)
    assert not health.fails_fast(probed_at)


def test_a_probe_that_fails_keeps_the_host_down() -> None:
    """For the same time again."""
    health = down()

    assert fail(health, 40.0, was_probe=True) is Finding.DOWN
    assert health.fails_fast(40.0 + DOWN_FOR - 0.01)
    assert health.matters_until == 40.0 + DOWN_FOR


def test_what_was_in_flight_when_the_host_went_down_finds_nothing() -> None:
    """The host is down already."""
    assert fail(down(), GIVE_UP_TIME + 0.5) is Finding.NOTHING


def test_an_answer_makes_a_host_as_new() -> None:
    """The row, its rounds, and that it is down."""
    health = down()
    health.started(object())
    assert not health.is_good

    health.answered()

    assert health.is_good
    assert not health.is_down
    assert not health.fails_fast(10.0)
    assert (health.row, health.rounds) == (0, 0)
    assert fail(health, 50.0) is Finding.DOUBT


def test_a_host_that_is_up_has_no_probe() -> None:
    """A request that starts there is like any other."""
    health, request = Health(1), object()

    assert not health.started(request)
    assert not health.ended(request)


@pytest.mark.parametrize(
    ("give_up_after", "row", "room"),
    [(None, 5, FIRST), (100, 5, FIRST), (10, 0, 10), (10, 7, 3), (3, 3, 1), (3, 8, 1)],
)
def test_no_more_are_let_in_than_it_takes_to_give_up(
    give_up_after: int | None, row: int, room: int
) -> None:
    """One at least, and never more than to any new host."""
    health = Health(give_up_after)
    for _ in range(row):
        fail(health, 0.0)

    assert health.room == room


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 2.0)), max_size=30),
)
def test_a_host_is_down_exactly_when_its_row_is_long_enough(
    give_up_after: int, events: list[tuple[bool, float]]
) -> None:
    """In number and in time, since the last answer."""
    health, now, row, began, is_down = Health(give_up_after), 0.0, 0, 0.0, False
    for is_answer, seconds in events:
        now += seconds
        if is_answer:
            health.answered()
            row, is_down = 0, False
            continue
        began = began if row else now
        row += 1
        is_down = is_down or (row >= give_up_after and now - began >= GIVE_UP_TIME)
        fail(health, now)

        assert (health.row, health.is_down) == (row, is_down)
        assert health.is_good is False
