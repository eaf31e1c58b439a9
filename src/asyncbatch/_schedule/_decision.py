"""
`RetryDecider`: decides whether a request is tried again after an attempt.

It looks at the outcome, the request, its host and the policy. It changes only the retry budget, and
the count of failures on our side.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

import attrs

from asyncbatch._values._request import Unset

if TYPE_CHECKING:
    from asyncbatch._schedule._host import Host
    from asyncbatch._schedule._hosts import Hosts
    from asyncbatch._schedule._job import Job
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy

LOCAL_TRIES = 10
"""How often an attempt that failed on our side is repeated."""

# Seconds before the first repetition. The wait doubles with each further one, up to the maximum.
_LOCAL_DELAY = 0.01
_LOCAL_DELAY_MAX = 1.0


class RetryAction(Enum):
    """The next step for a request after an attempt."""

    FINISH = "finish"
    """The outcome is the result."""
    OUT_OF_BUDGET = "out_of_budget"
    """The outcome is the result: tries are left, but the retry budget of the host is spent."""
    RETRY_AFTER_TOO_LONG = "retry_after_too_long"
    """The outcome is the result: the server asks for a longer wait than allowed."""
    RETRY = "retry"
    """`next` will return the request again."""


@attrs.frozen
class RetryDecision:
    """The next step for a request after an attempt, and its figures."""

    action: RetryAction
    delay: float = 0.0
    """For `RETRY`: seconds until it may be tried again; its host may make it wait longer."""
    limit: float = 0.0
    """For `RETRY_AFTER_TOO_LONG`: seconds that the wait may take."""
    option: str = "retry_after_max"
    """The option that limits the wait: `retry_after_max`, or a `deadline` or `batch_timeout` that
    ends before; then `limit` is the rest of it."""


FINISH: Final = RetryDecision(RetryAction.FINISH)
OUT_OF_BUDGET: Final = RetryDecision(RetryAction.OUT_OF_BUDGET)


class RetryDecider:
    """Decides whether requests whose attempt failed are tried again."""

    __slots__ = ("_random", "_retry", "ends_at")

    def __init__(self, hosts: Hosts) -> None:
        self._retry = hosts.retry
        self._random = hosts.random
        # When the batch ends; written by the schedule.
        self.ends_at = math.inf

    def policy_for(self, job: Job) -> RetryPolicy | None:
        """Return the policy of a request: its own, or the fetcher's; `None`: it is tried once."""
        return self._retry if isinstance(job.retry, Unset) else job.retry

    def decide(self, job: Job, outcome: Outcome, pause: float | None, now: float) -> RetryDecision:
        """
        Decide whether a request whose attempt failed is tried again.

        Args:
            job: The request.
            outcome: The outcome of its last attempt.
            pause: Seconds for which this outcome has paused the host; the request waits as long.
            now: The current time.
        """
        if outcome.local:
            return _decide_local(job, now)
        if outcome.again and _is_in_time(job, now):
            return RetryDecision(RetryAction.RETRY)
        host, retry = job.host, self.policy_for(job)
        if retry is None or job.attempts >= retry.attempts:
            return FINISH
        wish = outcome.wish
        # A retry would only wait for seconds to learn that the host is down.
        if host.is_down or wish is False:
            return FINISH
        if wish is None and not retry.permits(outcome, job.method):
            return FINISH
        wanted = None if wish is None or wish is True else float(wish)
        if wanted is None and retry.asks_too_long(outcome):
            return RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=retry.retry_after_max)
        # A Retry-After of 0 gives no time to wait for, so it counts as none.
        delay = (outcome.retry_after or None) if pause is None else pause
        if wanted is not None:
            delay = wanted
        elif delay is None:
            draw = retry.silence_delay if outcome.is_silent else retry.backoff_delay
            delay = draw(job.attempts, self._random)
        start = max(now + delay, host.opens_at)
        if not _is_in_time(job, start):
            assert job.deadline is not None
            return _too_long(outcome, job.deadline - now, "deadline")
        held = max(host.paused_until, now + (outcome.retry_after or 0.0))
        if now < self.ends_at <= held:
            return _too_long(outcome, self.ends_at - now, "batch_timeout")
        # A retry at the time given by the server adds no unwanted load, and costs no budget.
        asked = bool(outcome.retry_after)
        if not asked and not _pays(host, outcome, now):
            return OUT_OF_BUDGET
        return RetryDecision(RetryAction.RETRY, delay)


def _pays(host: Host, outcome: Outcome, now: float) -> bool:
    """
    Take a retry from the budget of a host; return whether one was left.

    Tries during an outage of the host cost nothing: the pauses of the outage, and the slow start
    after each, bound them already. What was paid before it was known to be one is returned.
    """
    budget = host.budget
    if budget is None or outcome.of_proxy or (outcome.is_silent and host.is_out(now)):
        return True
    return budget.spend(now, is_refundable=outcome.is_silent)


def _too_long(outcome: Outcome, left: float, option: str) -> RetryDecision:
    """Return the decision for a request with no time to wait: `FINISH` without a `Retry-After`."""
    if outcome.retry_after is None:
        return FINISH
    return RetryDecision(RetryAction.RETRY_AFTER_TOO_LONG, limit=max(0.0, left), option=option)


def _decide_local(job: Job, now: float) -> RetryDecision:
    if job.local_failures >= LOCAL_TRIES:
        return FINISH
    delay = min(_LOCAL_DELAY * 2**job.local_failures, _LOCAL_DELAY_MAX)
    if not _is_in_time(job, now + delay):
        return FINISH
    job.discount_try()
    return RetryDecision(RetryAction.RETRY, delay)


def _is_in_time(job: Job, start: float) -> bool:
    return job.deadline is None or start < job.deadline
