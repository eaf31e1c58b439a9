"""Why it was slow: which limit is named, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._results._limits import Limits
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._causes import Diagnosis, diagnosis_of
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Timing
from tests.samples import failure, success

T0 = 1_700_000_000.0
PHASES = {
    "wait": "waiting for servers to answer",
    "receive": "receiving bodies",
    "tls": "TLS handshakes",
    "dns": "resolving names",
}


def steady(count: int = 100, seconds: float = 10.0, phase: str = "wait") -> list[Result]:
    """Return results that end evenly over some seconds."""
    return [
        success(
            n,
            started=T0 + n * seconds / count,
            elapsed=seconds / count,
            timing=Timing(**{phase: seconds / count}),
        )
        for n in range(count)
    ]


def diagnosed(results: list[Result], duration: float = 10.0, **limits: Any) -> Diagnosis:
    builder = ReportBuilder()
    for result in results:
        builder.add(result)
    return diagnosis_of(builder.build(duration=duration, limits=Limits(**limits)))


def names_of(diagnosis: Diagnosis) -> list[str]:
    return [cause.name for cause in diagnosis.causes]


@pytest.mark.parametrize("phase", PHASES)
def test_full_slots_are_named_with_what_filled_them(phase: str) -> None:
    """And what to do depends on it."""
    found = diagnosed(steady(phase=phase), slots=60, slots_full=9.0)

    assert found.headline.startswith("All 60 slots were taken for 90% of the time.")
    assert PHASES[phase] in found.headline
    assert "concurrency" in found.advice
    assert ("network" in found.advice) is (phase == "receive")
    assert ("connections" in found.advice) is (phase in ("tls", "dns"))


@pytest.mark.parametrize("reason", ["per_host", "rate", "total_rate", "pause", "slow_start"])
def test_a_limit_is_named_with_its_host(reason: str) -> None:
    """With that which it held longest, and how many others there were."""
    hosts = {"a.test": {reason: 8.0}, "b.test": {reason: 2.0}, "c.test": {"other": 9.0}}

    found = diagnosed(steady(), hosts=hosts, slots_full=1.0)

    assert names_of(found) == [reason, "slots"]
    assert (found.causes[0].seconds, found.causes[0].share) == (8.0, 0.8)
    assert found.causes[0].where == "a.test and 1 other host"
    assert "80% at a.test" in found.headline or "80% of the time at a.test" in found.headline
    assert found.advice == found.causes[0].advice != ""


def test_of_two_limits_the_longer_one_is_named() -> None:
    """The other one is listed."""
    found = diagnosed(steady(), slots=5, slots_full=4.0, hosts={"a.test": {"rate": 9.0}})

    assert "rate" in found.headline
    assert names_of(found) == ["rate", "slots"]


def test_of_two_equal_limits_the_slots_are_named() -> None:
    """No other limit matters before them."""
    found = diagnosed(steady(), slots=5, slots_full=9.0, hosts={"a.test": {"rate": 9.5}})

    assert "slots" in found.headline


def test_the_last_requests_are_named_if_nothing_else_is() -> None:
    """Ninety requests in a second, and ten that take ten."""
    fast = [success(n, started=T0, elapsed=1.0) for n in range(95)]
    slow = [success(n, started=T0, elapsed=10.0) for n in range(95, 100)]

    found = diagnosed([*fast, *slow], slots=100, slots_full=0.05)

    assert names_of(found) == ["tail"]
    assert found.headline.startswith("The last 10% of the requests took 9")


def test_a_limit_that_makes_the_last_requests_slow_is_named_instead() -> None:
    """It says more."""
    fast = [success(n, started=T0, elapsed=1.0) for n in range(95)]
    slow = [success(n, started=T0, elapsed=10.0) for n in range(95, 100)]

    found = diagnosed([*fast, *slow], hosts={"a.test": {"per_host": 9.0}})

    assert "per_host" in found.headline


def test_a_single_slow_request_is_named() -> None:
    """All could start at once."""
    found = diagnosed([success(started=T0, elapsed=9.0, timing=Timing(wait=9.0))], slots=9)

    assert "as long as the slowest request, 9 s" in found.headline
    assert "100% of the time waiting for servers" in found.headline


def test_a_slow_input_is_named() -> None:
    """No limit was reached, and few slots were in use."""
    found = diagnosed(steady(), slots=60)

    assert "No limit held requests back" in found.headline
    assert "On average 1.0 of 60 slots were in use" in found.headline
    assert "input" in found.advice


def test_without_measurements_nothing_is_made_up() -> None:
    """As of results from a journal."""
    found = diagnosed(steady())

    assert found.causes == ()
    assert "On average 1.0 slots were in use" in found.headline


def test_no_requests_and_none_sent_are_said() -> None:
    """There is nothing to explain."""
    unsent = [failure(n, kind=FailureKind.not_started, attempts=0) for n in range(3)]

    assert diagnosed([]).headline == "There were no requests."
    assert diagnosed(unsent).headline == "No request was sent: not_started."


def test_no_duration_is_no_error() -> None:
    """As of results that were made by hand."""
    found = diagnosed([success()], duration=0.0, slots_full=1.0, hosts={"a": {"rate": 1.0}})

    assert found.causes == ()


def test_a_host_without_a_name_is_called_so() -> None:
    """A share is never above one."""
    (cause,) = diagnosed(steady(), hosts={"": {"rate": 99.0}}).causes

    assert cause.where == "a host without a name"
    assert cause.share == 1.0
