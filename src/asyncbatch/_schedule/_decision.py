"""
What becomes of a request after an attempt.

Looks at the outcome, the request, its host and the policy, and decides; nothing is changed here but
what a retry is paid from: the budget, or the count of failures on our own side.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final

import attrs

from asyncbatch._values._request import Unset

if TYPE_CHECKING:
    from asyncbatch._schedule._hosts import Hosts
    from asyncbatch._schedule._job import Job
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy

LOCAL_TRIES = 10
"""How often an attempt that failed on our own side is repeated."""

# Seconds before the first repetition; each further one waits twice as long, up to the maximum.
_LOCAL_DELAY = 0.01
_LOCAL_DELAY_MAX = 1.0


class Action(Enum):
    """What becomes of a request after an attempt."""

    FINISH = "finish"
    """The outcome is the result."""
    OUT_OF_BUDGET = "out_of_budget"
    """The outcome is the result: there are tries left, but the host's budget has none."""
    RETRY_AFTER_TOO_LONG = "retry_after_too_long"
    """The outcome is the result: the server asks for a longer wait than the policy allows."""
    RETRY = "retry"
    """It will come again from `next`."""


@attrs.frozen
class Decision:
    """What becomes of a request after an attempt."""

    action: Action
    delay: float = 0.0
    """Seconds until it may be tried again, for `RETRY`; its host may make it wait longer."""
    limit: float = 0.0
    """Seconds that are waited at most, for `RETRY_AFTER_TOO_LONG`."""
    option: str = "retry_after_max"
    """What says so: the policy's `retry_after_max`, or a `deadline` or `batch_timeout` that is over
    before; then `limit` is what is left of it."""


FINISH: Final = Decision(Action.FINISH)
OUT_OF_BUDGET: Final = Decision(Action.OUT_OF_BUDGET)


class RetryDecider:
    """Decides what becomes of requests whose attempt failed, by one policy."""

    __slots__ = ("_random", "_retry", "ends_at")

    def __init__(self, hosts: Hosts) -> None:
        self._retry = hosts.retry
        self._random = hosts.random
        # When the batch ends; written by the schedule.
        self.ends_at = math.inf

    def policy_for(self, job: Job) -> RetryPolicy | None:
        """Return the policy for a request: its own, or that for all; `None`: it is tried once."""
        return self._retry if isinstance(job.retry, Unset) else job.retry

    def decide(self, job: Job, outcome: Outcome, pause: float | None, now: float) -> Decision:
        """
        Decide what becomes of a request whose attempt failed.

        Args:
            job: The request.
            outcome: How its last attempt ended.
            pause: Seconds for which this very outcome has paused the host: the request takes the
                same wait.
            now: The time.
        """
        if outcome.local:
            return _decide_local(job, now)
        host, retry = job.host, self.policy_for(job)
        if retry is None or job.attempts >= retry.attempts:
            return FINISH
        wish = outcome.wish
        # Of a host that is down it would only learn after seconds that it is.
        if host.is_down or wish is False:
            return FINISH
        if wish is None and not retry.permits(outcome, job.method):
            return FINISH
        wanted = None if wish is None or wish is True else float(wish)
        if wanted is None and retry.asks_too_long(outcome):
            return Decision(Action.RETRY_AFTER_TOO_LONG, limit=retry.retry_after_max)
        # 0 says that the refusal was not about the time: it is waited for as if nothing were said.
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
        # A retry at the time that the server named itself is no storm, and costs nothing.
        asked = bool(outcome.retry_after)
        if not asked and not host.pays(outcome, now):
            return OUT_OF_BUDGET
        return Decision(Action.RETRY, delay)


def _too_long(outcome: Outcome, left: float, option: str) -> Decision:
    """Give up what has no time to wait: for what the server asks for, if it does, else at all."""
    if outcome.retry_after is None:
        return FINISH
    return Decision(Action.RETRY_AFTER_TOO_LONG, limit=max(0.0, left), option=option)


def _decide_local(job: Job, now: float) -> Decision:
    if job.local_failures >= LOCAL_TRIES:
        return FINISH
    delay = min(_LOCAL_DELAY * 2**job.local_failures, _LOCAL_DELAY_MAX)
    if not _is_in_time(job, now + delay):
        return FINISH
    job.discount_try()
    return Decision(Action.RETRY, delay)


def _is_in_time(job: Job, start: float) -> bool:
    return job.deadline is None or start < job.deadline
