"""
Retry policy: which failures are tried again, and after how long.

Pure: no sleeping, no clock, no randomness of its own. The caller supplies them. All of `Retry` but
`when`, which takes a result: a `Request` has a policy, and a result has a request.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from asyncbatch._values._checks import check_count
from asyncbatch._values._errors import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncbatch._values._outcome import Outcome

# RFC 9110 §9.2.2: sent twice, these do what they do sent once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

# Failures on the way, that the next try may not meet again. `dns` and `tls` are here for the
# temporary ones: an outcome marked `permanent` (a name that does not exist, a certificate that
# does not verify) is never tried again. What is missing would end in the same way each time:
# `decode`, `redirect`, `too_large`, `blocked` and `invalid_request` are about the resource, our own
# limits or the request; `host_down`, `retry_after` and `not_started` are verdicts of our own.
_TRANSIENT = frozenset(
    {
        FailureKind.dns,
        FailureKind.connect,
        FailureKind.tls,
        FailureKind.timeout,
        FailureKind.protocol,
        FailureKind.truncated,
    }
)


def _number(*, finite: bool) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{field.name} must be a number of seconds, not {value!r}")
        if not value >= 0 or (finite and value == math.inf):
            raise ValueError(f"{field.name} must be a number of seconds from 0 on, not {value!r}")

    return check


def _check_attempts(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_count(field.name, value, cure="it counts the first try; for no retries pass retry=None")


def _check_statuses(_: object, field: attrs.Attribute[Any], value: frozenset[object]) -> None:
    for status in value:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"{field.name} holds statuses of failure, 400 to 599, not {status!r}")


def _check_budget(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field.name} must be a share such as 0.2, or None, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{field.name} must be a share from 0 on, such as 0.2, not {value!r}; "
            "None retries without a budget"
        )


def _check_flag(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{field.name} must be True or False, not {value!r}")


def _to_methods(value: Iterable[str]) -> frozenset[str]:
    if isinstance(value, str):
        raise TypeError(f"methods must be a set of methods, such as {{{value!r}}}, not {value!r}")
    methods = frozenset(value)
    for method in methods:
        if not isinstance(method, str):
            raise TypeError(
                f"methods must be a set of methods, such as {{'GET'}}, not one with {method!r}"
            )
    return frozenset(method.upper() for method in methods)


def _to_statuses(value: Iterable[int]) -> frozenset[int]:
    if isinstance(value, int):
        raise TypeError(f"statuses must be a set of statuses, such as {{{value!r}}}, not {value!r}")
    return frozenset(value)


def check_retry(value: object) -> None:
    """
    Refuse what is neither a `Retry` nor `None`.

    Raises:
        TypeError: That is so.
    """
    if value is not None and not isinstance(value, RetryPolicy):
        raise TypeError(
            f"retry must be an asyncbatch.Retry or None, not {value!r}; "
            "for 4 tries in all give retry=asyncbatch.Retry(attempts=4)"
        )


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """What decides without looking at a result. The only subclass is `Retry`."""

    attempts: int = attrs.field(default=3, validator=_check_attempts)
    """Total number of tries, the first one included."""
    backoff: float = attrs.field(default=0.5, validator=_number(finite=True))
    """Seconds, the upper bound of the first wait; it doubles with each further one. Each wait is
    drawn evenly from 0 to its bound ("full jitter"), so that requests which failed together are not
    sent again together."""
    backoff_max: float = attrs.field(default=8.0, validator=_number(finite=True))
    """Seconds that the upper bound of a wait never passes."""
    statuses: frozenset[int] = attrs.field(
        default=RETRIED_STATUSES, converter=_to_statuses, validator=_check_statuses
    )
    """The statuses that are tried again: 408, 425, 429, 500, 502, 503 and 504 by default."""
    methods: frozenset[str] = attrs.field(default=IDEMPOTENT, converter=_to_methods)
    """The methods that may be sent twice, by default the idempotent ones: GET, HEAD, OPTIONS, PUT,
    DELETE and TRACE. Any other is tried again only if it cannot have been carried out: no
    connection was made, or the server refused it with 429, or with 503 and `Retry-After`."""
    retry_after_max: float = attrs.field(default=60.0, validator=_number(finite=False))
    """Seconds. A `Retry-After` up to this is waited for, instead of the back-off; a longer one ends
    the request as `retry_after`. It is never shortened."""
    budget: float | None = attrs.field(default=0.2, validator=_check_budget)
    """How many retries a host gets, as a share of its first tries in the last 10 seconds, on top of
    10 a second. So a host in trouble gets at most a fifth more requests. A retry at the time that
    the server named by `Retry-After` does not count. `None`: no bound."""

    pause_hosts: bool = attrs.field(default=True, validator=_check_flag)
    """Whether a failure may pause its host, for all its requests: a 429 or 503 for its
    `Retry-After` or the back-off, and an outage for the back-off. If not, only the failed request
    waits for its next try."""

    def permits(self, outcome: Outcome, method: str) -> bool:
        """May a request with this `method` that ended like this be tried again at all?"""
        kind = outcome.kind
        if kind is None or outcome.permanent:
            return False
        if outcome.connect_failed:
            return kind in _TRANSIENT
        if kind is FailureKind.status and outcome.status_code not in self.statuses:
            return False
        if method not in self.methods and not outcome.undone:
            return False
        if kind is FailureKind.status:
            return True
        return kind in _TRANSIENT

    def asks_too_long(self, outcome: Outcome) -> bool:
        """Does the server ask for a longer wait than `retry_after_max`?"""
        return outcome.retry_after is not None and outcome.retry_after > self.retry_after_max

    def backoff_delay(self, n: int, random: Callable[[], float]) -> float:
        """Draw the wait before retry number `n`, in seconds; `random` gives 0 to 1."""
        return random() * self._bound(n)

    def silence_delay(
        self, n: int, random: Callable[[], float], maximum: float = math.inf
    ) -> float:
        """
        Draw the wait before retry number `n` of what was not answered at all, in seconds.

        Half of it is fixed ("equal jitter"): with no more than luck between the tries, an absence
        of a fraction of a second could cost one request all of them.
        """
        bound = min(maximum, self._bound(n))
        return bound / 2 + random() * bound / 2

    def _bound(self, n: int) -> float:
        # ldexp would overflow, and 2**n grow without end, for a policy of very many attempts.
        doublings = min(n - 1, 64)
        bound: float = min(self.backoff_max, self.backoff * 2**doublings)
        return bound
