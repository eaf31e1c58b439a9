"""
The health of one host: its outages, and when it is given up.

Pure. `Health` says what a failure means; `Host` acts on it.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from asyncbatch._policies._slow_start import FIRST
from asyncbatch._values._errors import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._retry_policy import RetryPolicy

DOWN_FOR = 30.0
"""Seconds for which a host that was given up gets no request, before it is probed."""

GIVE_UP_TIME = 3.0
"""Least seconds of a row of unanswered attempts before the host is given up: most restarts take
less, and a burst of refused connects takes a millisecond."""

ROUND_MAX = 1.0
"""Longest pause between two rounds in seconds, so that the last round before a host is given up
begins at most a second after `GIVE_UP_TIME`."""

SIGNS = 10
"""Unanswered attempts in a row that are an outage, however many are in flight. If fewer are in
flight, that number is enough, but never a single one."""

# Permanent failures of these kinds (a name that does not exist, a certificate that does not verify)
# pause no host, since they would not pass.
_LASTING = frozenset({FailureKind.dns, FailureKind.tls})


class Finding(Enum):
    """What an unanswered attempt means for its host."""

    NOTHING = "nothing"
    DOUBT = "doubt"
    """No outage yet: a host that has never answered gets no more than `room` requests."""
    OUTAGE = "outage"
    """A round of attempts has failed: pause the host."""
    DOWN = "down"
    """The host is given up."""


class Health:
    """The row of unanswered attempts at one host, and what it means."""

    __slots__ = (
        "_down_until",
        "_give_up_after",
        "_probe",
        "_round_ended",
        "began",
        "matters_until",
        "rounds",
        "row",
    )

    def __init__(self, give_up_after: int | None) -> None:
        self._give_up_after = give_up_after
        # Number of attempts in a row without a byte of an answer, and when the row began. `failed`
        # counts these and the next ones, `answered` ends them.
        self.row = 0
        self.began = math.inf
        # Number of rounds of the row that have ended: 0 as long as it may be chance.
        self.rounds = 0
        # When the last round ended: attempts begun before belong to it.
        self._round_ended = -math.inf
        # None: up. Else requests fail at once until then, and afterwards until a probe succeeds.
        self._down_until: float | None = None
        # Until when this state matters: as long as a host stays down.
        self.matters_until = -math.inf
        # The probe of a host that is down, from `started` to `ended`.
        self._probe: object | None = None

    @property
    def is_good(self) -> bool:
        """Whether no attempt has failed since the last answer."""
        return not self.row and self._down_until is None

    @property
    def is_down(self) -> bool:
        """Whether the host is given up, and gets only probes."""
        return self._down_until is not None

    def fails_fast(self, now: float) -> bool:
        """Whether requests fail at once: the host is down, and needs no probe now."""
        return self._down_until is not None and (self._probe is not None or now < self._down_until)

    @property
    def room(self) -> int:
        """Number of attempts that it takes to find out whether to give the host up."""
        after = self._give_up_after
        return FIRST if after is None else min(FIRST, max(1, after - self.row))

    def has_lasted(self, now: float) -> bool:
        """Whether the row has lasted too long for a short outage."""
        return now - self.began >= GIVE_UP_TIME

    def is_out(self, now: float) -> bool:
        """Whether there is an outage that may still be a short one."""
        return self.rounds > 0 and not self.has_lasted(now)

    def started(self, request: object) -> bool:
        """Record the start of a request; return whether it is a probe."""
        if self._down_until is None:
            return False
        self._probe = request
        return True

    def ended(self, request: object) -> bool:
        """Record the end of a request with any outcome; return whether it was the probe."""
        if self._probe is not request:
            return False
        self._probe = None
        return True

    def answered(self) -> None:
        """Record an answer."""
        self.row = self.rounds = 0
        self._down_until = self._probe = None

    def failed(
        self,
        outcome: Outcome,
        now: float,
        retry: RetryPolicy | None,
        *,
        others: int,
        was_probe: bool,
        has_answered: bool,
    ) -> Finding:
        """
        Record an attempt that ended without a byte of an answer, and return what it means.

        Args:
            outcome: Its outcome.
            now: When it ended.
            retry: The policy of its request.
            others: Number of other requests in flight to the host.
            was_probe: Whether it was the probe of a host that is down.
            has_answered: Whether the host has ever answered.
        """
        started_at = outcome.started_at
        if not self.row:
            # A host that has answered may have answered until now, and a connection that was closed
            # was open until now.
            waited = outcome.connect_failed or outcome.kind is FailureKind.timeout
            self.began = started_at if waited and not has_answered else now
        self.row += 1
        self.matters_until = now + DOWN_FOR
        if was_probe or (self._down_until is None and self._is_too_much(now)):
            self._down_until = now + DOWN_FOR
            return Finding.DOWN
        if self._down_until is not None:
            return Finding.NOTHING
        may_end_round = started_at > self._round_ended and not self.has_lasted(now)
        if may_end_round and _may_pause(outcome, retry) and self._is_a_round(others):
            self.rounds += 1
            self._round_ended = now
            return Finding.OUTAGE
        return Finding.NOTHING if self.is_out(now) else Finding.DOUBT

    def pause_after_round(
        self, retry: RetryPolicy, random: Callable[[], float], *, lasted: float
    ) -> float | None:
        """Return the seconds of a pause; `None` if the attempts have taken longer than it would."""
        return None if lasted >= ROUND_MAX else retry.silence_delay(self.rounds, random, ROUND_MAX)

    def _is_too_much(self, now: float) -> bool:
        after = self._give_up_after
        return after is not None and self.row >= after and self.has_lasted(now)

    def _is_a_round(self, others: int) -> bool:
        return bool(self.rounds) or self.row >= min(SIGNS, max(2, others + 1))


def _may_pause(outcome: Outcome, retry: RetryPolicy | None) -> bool:
    if retry is None or not retry.pause_hosts:
        return False
    return not (outcome.permanent and outcome.kind in _LASTING)
