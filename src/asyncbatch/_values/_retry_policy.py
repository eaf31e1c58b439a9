"""
Retry policy: which failures are tried again, and after how long.

Pure: no sleeping, no clock, no randomness of its own. The caller supplies them. It is separate from
`Retry`, whose `when` takes a result: a result has a `Request`, and a `Request` has a policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from asyncbatch._values._checks import check_count, check_flag
from asyncbatch._values._errors import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncbatch._values._outcome import Outcome

# RFC 9110 §9.2.2: sending these twice has the effect of sending them once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

# Failures that the next try may not meet again. `dns` and `tls` are here for the temporary ones: an
# outcome marked `permanent` (a name that does not exist, a certificate that does not verify) is
# never tried again. The other kinds would fail the same way each time: `decode`, `redirect`,
# `too_large`, `blocked` and `invalid_request` concern the resource, our limits or the request;
# `host_down`, `retry_after` and `not_started` are decisions of ours.
TRANSIENT = frozenset(
    {
        FailureKind.dns,
        FailureKind.connect,
        FailureKind.tls,
        FailureKind.timeout,
        FailureKind.protocol,
        FailureKind.truncated,
        FailureKind.proxy,
    }
)


def _number(*, finite: bool) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{field.name} must be a number of seconds, not {value!r}")
        if not value >= 0 or (finite and value == math.inf):
            raise ValueError(f"{field.name} must be 0 or more seconds, not {value!r}")

    return check


def _check_attempts(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_count(field.name, value, cure="it counts the first try; for no retries pass retry=None")


def _check_statuses(_: object, field: attrs.Attribute[Any], value: frozenset[object]) -> None:
    for status in value:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"{field.name} must be statuses from 400 to 599, not {status!r}")


def _check_budget(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field.name} must be a share such as 0.2, or None, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{field.name} must be a share of 0 or more, such as 0.2, not {value!r}; "
            "None retries without a budget"
        )


def _check_flag(_: object, field: attrs.Attribute[Any], value: object) -> None:
    check_flag(field.name, value)


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
    Raise unless `value` is a `Retry` or `None`.

    Raises:
        TypeError: If it is neither.
    """
    if value is not None and not isinstance(value, RetryPolicy):
        raise TypeError(
            f"retry must be an asyncbatch.Retry or None, not {value!r}; "
            "for 4 tries in all, give retry=asyncbatch.Retry(attempts=4)"
        )


# Its subclass gets these methods, with all fields; making them twice would cost each import 1 ms.
@attrs.frozen(kw_only=True, init=False, eq=False, repr=False)
class RetryPolicy:
    """All of the retry policy but `when`. The only subclass is `Retry`."""

    attempts: int = attrs.field(default=3, validator=_check_attempts)
    """Total number of tries, including the first."""
    backoff: float = attrs.field(default=0.5, validator=_number(finite=True))
    """Upper bound of the wait before the first retry, in seconds; it doubles with each retry. The
    wait is drawn evenly from 0 to its bound ("full jitter"), so that requests which failed together
    are not sent again together."""
    backoff_max: float = attrs.field(default=8.0, validator=_number(finite=True))
    """Maximum of that upper bound, in seconds."""
    statuses: frozenset[int] = attrs.field(
        default=RETRIED_STATUSES, converter=_to_statuses, validator=_check_statuses
    )
    """The statuses that are tried again: 408, 425, 429, 500, 502, 503 and 504 by default."""
    methods: frozenset[str] = attrs.field(default=IDEMPOTENT, converter=_to_methods)
    """The methods that may be sent twice, by default the idempotent ones: GET, HEAD, OPTIONS, PUT,
    DELETE and TRACE. A request with another method is tried again only if it cannot have been
    carried out: no connection was made, or the server refused it with 429, or with 503 and
    `Retry-After`."""
    retry_after_max: float = attrs.field(default=60.0, validator=_number(finite=False))
    """Longest `Retry-After` that is waited for, in seconds; the wait replaces the back-off and is
    never shortened. A longer one ends the request as a failure of kind `retry_after`."""
    budget: float | None = attrs.field(default=0.2, validator=_check_budget)
    """Retries that a host may get, as a share of its first tries in the last 10 seconds, on top of
    10 retries a second. By default, a failing host thus gets at most a fifth more requests. A retry
    at the time given by `Retry-After` does not count. `None`: no bound."""

    pause_hosts: bool = attrs.field(default=True, validator=_check_flag)
    """Whether a failure may pause its host for all requests: a 429 or 503 for its `Retry-After` or
    the back-off, an outage for the back-off. If `False`, only the failed request waits for its next
    try."""

    def permits(self, outcome: Outcome, method: str) -> bool:
        """Whether a request with this `method` and `outcome` may be tried again."""
        kind = outcome.kind
        if kind is None or outcome.permanent:
            return False
        if outcome.connect_failed:
            return kind in TRANSIENT
        if kind is FailureKind.status and outcome.status_code not in self.statuses:
            return False
        if method not in self.methods and not outcome.undone:
            return False
        if kind is FailureKind.status:
            return True
        return kind in TRANSIENT

    def asks_too_long(self, outcome: Outcome) -> bool:
        """Whether the server asks for a longer wait than `retry_after_max`."""
        return outcome.retry_after is not None and outcome.retry_after > self.retry_after_max

    def backoff_delay(self, n: int, random: Callable[[], float]) -> float:
        """Draw the wait before retry number `n`, in seconds; `random` returns 0 to 1."""
        return random() * self._bound(n)

    def silence_delay(
        self, n: int, random: Callable[[], float], maximum: float = math.inf
    ) -> float:
        """
        Draw the wait before retry number `n` of a request that got no answer at all, in seconds.

        Half of it is fixed ("equal jitter"): waits drawn from 0 could spend all tries of a request
        within an outage of a fraction of a second.
        """
        bound = min(maximum, self._bound(n))
        return bound / 2 + random() * bound / 2

    def _bound(self, n: int) -> float:
        # For a policy with very many attempts, ldexp would overflow, and 2**n grow without bound.
        doublings = min(n - 1, 64)
        bound: float = min(self.backoff_max, self.backoff * 2**doublings)
        return bound
