"""What becomes of a request after an attempt, for each reason that there is."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from asyncbatch._policies._retry_budget import RetryBudget
from asyncbatch._schedule import Job, RetryAction, RetryDecision
from asyncbatch._schedule._decision import FINISH, LOCAL_TRIES, OUT_OF_BUDGET, RetryDecider
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._retry import Retry
from tests.simulation import heard, new_hosts, refused, silent, unconnected


class Decider:
    """Decides on one request that has been tried once, at the time 0."""

    def __init__(self, **policies: Any) -> None:
        self.hosts = new_hosts(**policies)
        self.decider = RetryDecider(self.hosts)
        self.job = Job(None, 0, self.hosts.get("h"))
        self.job.attempts = 1

    def decide(self, outcome: Outcome, pause: float | None = None) -> RetryDecision:
        return self.decider.decide(self.job, outcome, pause, 0.0)


LOCAL = Outcome(kind=FailureKind.timeout, local=True)


@pytest.mark.parametrize(
    ("outcome", "pause", "delay"),
    [
        (refused(500), None, 0.5),
        (refused(503, retry_after=7.0), None, 7.0),
        (refused(503, retry_after=0.0), None, 0.5),
        (refused(503, retry_after=7.0), 9.0, 9.0),
        (attrs.evolve(heard(), wish=True), None, 0.5),
        (attrs.evolve(heard(), wish=2.5), None, 2.5),
        (attrs.evolve(refused(404), wish=True), None, 0.5),
        (attrs.evolve(refused(503, retry_after=7.0), wish=2), None, 2.0),
        (attrs.evolve(refused(503, retry_after=99.0), wish=2), None, 2.0),
    ],
    ids=str,
)
def test_a_request_waits_for_what_was_asked_or_for_the_back_off(
    outcome: Outcome, pause: float | None, delay: float
) -> None:
    """What `when` says comes before the pause of the host, and that before `Retry-After`."""
    assert Decider().decide(outcome, pause) == RetryDecision(RetryAction.RETRY, delay)


def test_half_of_the_wait_after_silence_is_fixed() -> None:
    """After an answer none of it is."""
    decider = Decider(random=lambda: 0.0)

    assert decider.decide(silent()).delay == 0.25
    assert decider.decide(refused(500)).delay == 0.0


@pytest.mark.parametrize(
    "outcome", [refused(404), attrs.evolve(refused(500), wish=False), unconnected(permanent=True)]
)
def test_what_another_try_cannot_mend_is_finished(outcome: Outcome) -> None:
    """Or what `when` does not want tried again."""
    assert Decider().decide(outcome) is FINISH


def test_a_request_goes_by_its_own_policy() -> None:
    """`None` is one too: it is tried once."""
    decider = Decider(retry=Retry(attempts=1))
    assert decider.decide(refused(500)) is FINISH
    decider.job.retry = Retry(attempts=2, backoff=3.0)
    assert decider.decide(refused(500)) == RetryDecision(RetryAction.RETRY, 3.0)
    decider.job.retry = None
    assert decider.decide(refused(500)) is FINISH


def test_a_longer_wait_than_the_policy_allows_ends_the_request() -> None:
    """With the most that it would have waited."""
    decision = Decider().decide(refused(503, retry_after=61.0))

    assert decision == RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=60.0)


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (
            refused(503, retry_after=7.0),
            RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=5.0, option="deadline"),
        ),
        (attrs.evolve(heard(), wish=7.0), FINISH),
        (attrs.evolve(heard(), wish=4.9), RetryDecision(RetryAction.RETRY, 4.9)),
    ],
)
def test_no_try_begins_at_the_deadline(outcome: Outcome, decision: RetryDecision) -> None:
    """Where the server had asked for the wait, the decision tells how much was left."""
    decider = Decider()
    decider.job.deadline = 5.0

    assert decider.decide(outcome) == decision


def test_the_pause_of_the_host_counts_against_the_deadline() -> None:
    """Whoever has brought it about."""
    decider = Decider()
    decider.job.host.overhear(refused(retry_after=9.0), 0.0, Retry())
    decider.job.deadline = 5.0

    assert decider.decide(refused(500)) is FINISH


def test_a_wait_beyond_the_end_of_the_batch_ends_the_request() -> None:
    """With what is left of the batch, where the server asked for the wait."""
    decider = Decider()
    decider.decider.ends_at = 5.0
    too_long = RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=5.0, option="batch_timeout")

    assert decider.decide(refused(retry_after=7.0)) == too_long
    assert decider.decide(refused(retry_after=4.0)) == RetryDecision(RetryAction.RETRY, 4.0)
    decider.job.host.overhear(refused(retry_after=9.0), 0.0, Retry())
    assert decider.decide(refused(500)) is FINISH


def test_a_host_that_is_down_is_not_waited_for() -> None:
    """A retry would only learn that it is."""
    decider = Decider(give_up_host_after=1)
    decider.job.host.overhear(unconnected(started_at=0.0), 3.0, Retry())
    assert decider.job.host.is_down

    assert decider.decide(unconnected()) is FINISH


def test_retries_are_paid_from_the_budget_of_the_host() -> None:
    """All but those at a time that the server named."""
    decider = Decider(retry=Retry(budget=0.0))
    decisions = [decider.decide(refused(500)) for _ in range(RetryBudget.RESERVE + 1)]

    assert {decision.action for decision in decisions[:-1]} == {RetryAction.RETRY}
    assert decisions[-1] is OUT_OF_BUDGET
    assert decider.decide(refused(retry_after=1.0)).action is RetryAction.RETRY


def test_a_failure_on_our_own_side_is_repeated_soon_and_ten_times() -> None:
    """It is no try, and the waits double up to a second."""
    decider = Decider(retry=None)
    delays = []
    while (decision := decider.decide(LOCAL)).action is RetryAction.RETRY:
        delays.append(decision.delay)
        assert decider.job.attempts == 0
        decider.job.attempts = 1

    assert decision is FINISH
    assert len(delays) == LOCAL_TRIES
    assert delays == [min(0.01 * 2**n, 1.0) for n in range(LOCAL_TRIES)]


def test_a_failure_on_our_own_side_is_not_repeated_after_the_deadline() -> None:
    """Its try counts then."""
    decider = Decider()
    decider.job.deadline = 0.005

    assert decider.decide(LOCAL) is FINISH
    assert decider.job.attempts == 1
