"""The slowest requests: which are kept, and what is told of them."""

from __future__ import annotations

import httpx

from asyncbatch._results.report._figures import SlowRequest
from asyncbatch._results.report._slowest import SLOWEST, Slowest
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Attempt, Timing
from tests.samples import failure, success


def slowest_of(*results: Result) -> tuple[SlowRequest, ...]:
    """Return the slowest of some results, each offered only if it takes long enough."""
    slowest = Slowest()
    for result in results:
        if result.elapsed > slowest.least:
            slowest.add(result)
    return slowest.shown()


def test_the_slowest_are_kept_the_slowest_first() -> None:
    """Some of them; those that were never tried were not slow."""
    results = [success(n, elapsed=n / 10) for n in range(50)]

    shown = slowest_of(*results, failure(99, elapsed=99.0, attempts=0))

    assert [each.elapsed for each in shown] == [n / 10 for n in range(49, 37, -1)]
    assert len(shown) == SLOWEST
    assert shown[0].url == "http://host.test/49"


def test_a_slow_request_is_told_by_its_phases() -> None:
    """Each try, and the wait between two, in their order; together they are its time."""
    result = success(
        elapsed=4.0,
        attempts=2,
        timing=Timing(wait=1.0, receive=0.5),
        history=(Attempt(503, httpx.ReadError("x"), Timing(connect=0.25, wait=0.25), 1.0),),
    )

    (slow,) = slowest_of(result)

    assert slow.segments == (
        ("connect", 0.25),
        ("wait", 0.25),
        ("retry", 2.0),
        ("wait", 1.0),
        ("receive", 0.5),
    )
    assert sum(seconds for _, seconds in slow.segments) == slow.elapsed


def test_time_that_is_not_known_is_called_so() -> None:
    """As of a connection that failed; one that waited for its next try is told apart."""
    (unknown,) = slowest_of(failure(elapsed=2.0))
    (waited,) = slowest_of(failure(elapsed=2.0, kind=FailureKind.host_down))

    assert unknown.segments == (("other", 2.0),)
    assert waited.segments == (("retry", 2.0),)


def test_those_of_two_collections_are_put_together() -> None:
    """As if all of them had been offered to one."""
    results = [success(n, elapsed=n / 10) for n in range(50)]
    one, other = Slowest(), Slowest()
    for result in results:
        (one if result.index % 2 else other).add(result)

    one.merge(other.state())

    assert one.shown() == slowest_of(*results)
    assert one.least == one.shown()[-1].elapsed
