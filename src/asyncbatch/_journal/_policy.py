"""
Which requests are served from a journal, and which are sent.

Pure: a kept result, the request and the policies in, the decision out.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

import attrs

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._retry_policy import (
    IDEMPOTENT,
    RETRIED_STATUSES,
    TRANSIENT,
    RetryPolicy,
)

RetryTypes: TypeAlias = Literal["transient", "all", "none"]

# Failures that another run may not meet again.
_PASSING = TRANSIENT | frozenset(
    {
        FailureKind.host_down,
        FailureKind.retry_after,
        FailureKind.not_started,
        # Their file is not there.
        FailureKind.disk,
        FailureKind.checksum,
    }
)


CLOCK_STEP = 60.0
"""Seconds by which a clock that is set may go back. A result that is further in the future was kept
while the clock was wrong, so its age is unknown: with `max_age`, it counts as too old."""


class ReuseDecision(Enum):
    """What to do with a request whose result is in the journal."""

    SERVE = "serve"
    SEND = "send"
    DOUBT = "doubt"
    """It must not be sent again, and has no result to serve: it is a failure of kind `in_doubt`."""


@attrs.frozen
class KeptResult:
    """The facts about a kept result that the decision needs."""

    kind: FailureKind | None
    """`None` for a success."""
    status_code: int | None
    is_permanent: bool
    """Whether another try would end the same: the name does not exist, a certificate is refused."""
    is_undone: bool
    """Whether it is certain that the server carried nothing out."""
    age: float
    """Seconds since it ended."""
    is_of_file: bool = False
    """Whether its request was invalid, perhaps because of the file for its body."""
    has_body: bool = True
    """Whether its body, if it was to be kept, is there and undamaged."""


@attrs.frozen
class JournalRules:
    """The options of a journal that decide whether a request is sent."""

    retry: RetryTypes = "transient"
    max_age: float | None = None

    def decide(
        self, kept: KeptResult, *, may_repeat: bool, statuses: frozenset[int]
    ) -> ReuseDecision:
        """
        Decide about one request.

        Args:
            kept: Its result in the journal.
            may_repeat: Whether it may be sent twice; see `may_be_repeated`.
            statuses: The statuses that pass; see `statuses_of`.
        """
        is_stale = self.max_age is not None and not -CLOCK_STEP <= kept.age <= self.max_age
        if kept.kind is None:
            if not kept.has_body and (may_repeat or self.retry == "all"):
                return ReuseDecision.SEND
            if may_repeat and is_stale:
                return ReuseDecision.SEND
            return ReuseDecision.SERVE if kept.has_body else ReuseDecision.DOUBT
        if self.retry == "all":
            return ReuseDecision.SEND
        if may_repeat and is_stale:
            return ReuseDecision.SEND
        is_safe = may_repeat or kept.is_undone
        if self.retry == "none" or not (is_safe and _passes(kept, statuses)):
            return ReuseDecision.SERVE
        return ReuseDecision.SEND


def _passes(kept: KeptResult, statuses: frozenset[int]) -> bool:
    if kept.kind is FailureKind.status:
        return kept.status_code in statuses
    if kept.kind is FailureKind.in_doubt or kept.is_of_file:
        return True
    return kept.kind in _PASSING and not kept.is_permanent


def may_be_repeated(method: str, retry: RetryPolicy | None, *, has_idempotency_key: bool) -> bool:
    """Whether a request may be sent again although it may have been carried out."""
    if has_idempotency_key or method in IDEMPOTENT:
        return True
    return retry is not None and method in retry.methods


def statuses_of(retry: RetryPolicy | None) -> frozenset[int]:
    """Return the statuses that another run may not meet again."""
    return RETRIED_STATUSES if retry is None else retry.statuses
