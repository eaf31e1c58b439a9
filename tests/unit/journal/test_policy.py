"""`JournalRules.decide`: which requests are served from a journal, and which are sent."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from asyncbatch import FailureKind, Retry
from asyncbatch._journal._policy import (
    JournalRules,
    KeptResult,
    ReuseDecision,
    may_be_repeated,
    statuses_of,
)

SERVE, SEND, DOUBT = ReuseDecision

OK = KeptResult(kind=None, status_code=200, is_permanent=False, is_undone=False, age=10.0)


def failed(kind: str, **fields: Any) -> KeptResult:
    """Return what is kept of a failure."""
    return attrs.evolve(OK, kind=FailureKind(kind), status_code=None, **fields)


def decide(kept: KeptResult, *, safe: bool = True, **options: Any) -> ReuseDecision:
    """Decide with the usual statuses."""
    return JournalRules(**options).decide(kept, may_repeat=safe, statuses=statuses_of(None))


PASSING = [
    "dns",
    "connect",
    "tls",
    "timeout",
    "protocol",
    "truncated",
    "proxy",
    "host_down",
    "retry_after",
    "not_started",
    "disk",
    "checksum",
]
LASTING = ["decode", "redirect", "too_large", "blocked", "invalid_request", "callback"]


@pytest.mark.parametrize("kind", PASSING)
def test_a_failure_that_may_pass_is_sent_again(kind: str) -> None:
    """Unless it is permanent, or the journal says none."""
    assert decide(failed(kind)) is SEND
    assert decide(failed(kind), retry="all") is SEND
    assert decide(failed(kind), retry="none") is SERVE
    assert decide(failed(kind, is_permanent=True)) is SERVE


@pytest.mark.parametrize("kind", LASTING)
def test_a_failure_that_lasts_is_served(kind: str) -> None:
    """Unless the journal says all."""
    assert decide(failed(kind)) is SERVE
    assert decide(failed(kind), retry="all") is SEND


@pytest.mark.parametrize(
    ("status", "expected"), [(404, SERVE), (500, SEND), (503, SEND), (429, SEND), (501, SERVE)]
)
def test_a_status_is_sent_again_if_the_policy_retries_it(
    status: int, expected: ReuseDecision
) -> None:
    """By `Retry.statuses`, or its default."""
    kept = attrs.evolve(failed("status"), status_code=status)

    assert decide(kept) is expected
    assert JournalRules().decide(kept, may_repeat=True, statuses=frozenset({status})) is SEND


@pytest.mark.parametrize("kind", [*PASSING, "in_doubt"])
def test_an_unsafe_request_is_sent_again_only_if_nothing_was_done(kind: str) -> None:
    """A POST that may have run is served as it failed."""
    assert decide(failed(kind), safe=False) is SERVE
    if kind != "in_doubt":
        assert decide(failed(kind, is_undone=True), safe=False) is SEND
    assert decide(failed(kind), safe=False, retry="all") is SEND


def test_a_request_in_doubt_that_may_be_repeated_is_sent() -> None:
    """The policy of this run decides."""
    assert decide(failed("in_doubt"), safe=True) is SEND


@pytest.mark.parametrize(
    ("age", "expected"),
    # Written a minute in the future by a clock that was set since, and a day.
    [(9.0, SERVE), (10.0, SERVE), (11.0, SEND), (-60.0, SERVE), (-86400.0, SEND)],
)
def test_a_success_is_served_until_it_is_too_old(age: float, expected: ReuseDecision) -> None:
    """By `max_age`; an unsafe request is served at any age."""
    kept = attrs.evolve(OK, age=age)

    assert decide(kept, max_age=10.0) is expected
    assert decide(kept, max_age=10.0, safe=False) is SERVE
    assert decide(kept) is SERVE


def test_a_lasting_failure_that_is_too_old_is_sent_again() -> None:
    """A page that was missing may be there."""
    kept = attrs.evolve(failed("status", age=11.0), status_code=404)

    assert decide(kept, max_age=10.0) is SEND
    assert decide(kept, max_age=10.0, safe=False) is SERVE


def test_a_success_without_its_body_is_fetched_again() -> None:
    """Or is in doubt, where the request must not be sent twice, unless that is asked for."""
    kept = attrs.evolve(OK, has_body=False)

    assert decide(kept) is SEND
    assert decide(kept, safe=False) is DOUBT
    assert decide(kept, safe=False, retry="none") is DOUBT
    assert decide(kept, safe=False, retry="all") is SEND


def test_a_request_whose_file_was_refused_is_sent_unless_it_was_carried_out() -> None:
    """Another run has other files."""
    kept = attrs.evolve(failed("invalid_request"), is_of_file=True)

    assert decide(kept) is SEND
    assert decide(kept, retry="none") is SERVE
    assert decide(kept, safe=False) is SERVE
    assert decide(attrs.evolve(kept, is_undone=True), safe=False) is SEND


@pytest.mark.parametrize(
    ("method", "retry", "has_key", "expected"),
    [
        ("GET", Retry(), False, True),
        ("PUT", None, False, True),
        ("GET", Retry(methods={"POST"}), False, True),
        ("POST", Retry(), False, False),
        ("POST", None, False, False),
        ("PATCH", Retry(), False, False),
        ("POST", Retry(), True, True),
        ("POST", Retry(methods={"GET", "POST"}), False, True),
    ],
)
def test_a_request_may_be_repeated_by_its_method_or_its_key(
    method: str, retry: Retry | None, has_key: bool, expected: bool
) -> None:
    """Idempotent methods, those of `Retry.methods`, and any with an `Idempotency-Key`."""
    assert may_be_repeated(method, retry, has_idempotency_key=has_key) is expected
