"""Where the time went, worked out of what was noted on the way."""

from __future__ import annotations

import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._values._timing import (
    NETWORK_PHASES,
    Attempt,
    Course,
    Timing,
    moment_of,
    phases_of,
    timing_of,
)

# Begun, sending, sent, first byte, ended; dns, connect, tls; bytes.
WHOLE: Course = (1.0, 2.0, 2.5, 4.0, 4.25, 0.25, 0.5, None, 99)


@pytest.mark.parametrize(
    ("course", "phases"),
    [
        (
            WHOLE,
            {"dns": 0.25, "connect": 0.5, "send": 0.5, "wait": 1.5, "receive": 0.25},
        ),
        ((1.0, 0.0, 0.0, 0.0, 3.0, None, 1.0, None, 0), {"connect": 1.0}),
        ((1.0, 2.0, 0.0, 0.0, 3.0, None, None, None, 0), {"send": 1.0}),
        ((1.0, 2.0, 2.5, 0.0, 3.0, None, None, None, 0), {"send": 0.5, "wait": 0.5}),
        (
            (1.0, 2.0, 4.0, 3.0, 5.0, None, None, None, 0),
            {"send": 2.0, "wait": 0.0, "receive": 2.0},
        ),
    ],
    ids=["whole", "not sent", "sent in part", "not answered", "answered before it was sent"],
)
def test_a_course_has_the_phases_that_it_reached(course: Course, phases: dict[str, float]) -> None:
    """One that was not left lasts to the end; none is below zero."""
    assert dict(timing_of(course).phases()) == phases


@pytest.mark.parametrize("network", [WHOLE, timing_of(WHOLE)], ids=["course", "timing"])
def test_waits_with_us_are_put_before_the_network(network: Timing | Course) -> None:
    """Whatever they were before."""
    timing = timing_of(network, queued=7.0, throttled=8.0)

    assert timing == attrs.evolve(timing_of(WHOLE), queued=7.0, throttled=8.0)


def test_the_phases_of_hops_add_up() -> None:
    """A phase that neither had stays unknown; the waits are those of the last."""
    first = Timing(queued=1.0, connect=1.0, wait=2.0)
    second = Timing(queued=5.0, wait=3.0, receive=0.5)

    assert second.following(first) == Timing(queued=5.0, connect=1.0, wait=5.0, receive=0.5)


SECONDS = st.floats(0.0, 100.0)
PHASE = st.none() | SECONDS
COURSES = st.tuples(*[st.just(0.0) | SECONDS] * 4, SECONDS, PHASE, PHASE, PHASE, st.integers(0, 9))
TIMINGS = st.builds(Timing, **dict.fromkeys(NETWORK_PHASES, PHASE))


@given(st.lists(COURSES | TIMINGS, max_size=6))
def test_the_phases_of_many_are_those_of_each(networks: list[Timing | Course]) -> None:
    """They are worked out column by column for speed: `timing_of` is the twin."""
    expected: dict[str, list[float]] = {name: [] for name in NETWORK_PHASES}
    for network in networks:
        for name, seconds in timing_of(network).phases():
            expected[name].append(seconds)

    found = dict(phases_of(networks))

    assert {name: sorted(all_of) for name, all_of in found.items()} == {
        name: sorted(all_of) for name, all_of in expected.items()
    }


def test_an_attempt_travels() -> None:
    """With its error."""
    attempt = Attempt(503, ValueError("no"), Timing(wait=1.0), 0.5)
    copy = pickle.loads(pickle.dumps(attempt))

    assert (copy.status_code, copy.timing, copy.delay) == (503, attempt.timing, 0.5)
    assert (type(copy.error), copy.error.args) == (ValueError, ("no",))


@pytest.mark.parametrize("seconds", [1e12, -1e12, 1e30, float("inf")])
def test_a_time_beyond_the_years_of_a_datetime_is_none(seconds: float):
    """It is that of a clock which was never set, and fails no result."""
    assert moment_of(seconds) is None
