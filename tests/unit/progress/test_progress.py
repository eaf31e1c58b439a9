"""`Progress`: what can be told from its counts."""

from __future__ import annotations

import pytest

from asyncbatch._progress import Progress
from tests.samples import progress


def test_done_is_what_ended_well_or_badly():
    """What is in flight is not done."""
    assert progress(succeeded=3, failed=2, in_flight=7).done == 5


@pytest.mark.parametrize(("elapsed", "rate"), [(2.0, 2.5), (0.0, 0.0)])
def test_the_rate_is_since_the_beginning(elapsed: float, rate: float):
    """At the very beginning there is none."""
    assert progress(succeeded=5, elapsed=elapsed).rate == rate


def test_what_remains_is_told_from_the_rate():
    """At ten a second, ninety take nine seconds."""
    assert progress(total=100, succeeded=10, elapsed=1.0).remaining == 9.0


@pytest.mark.parametrize(
    "unknown", [progress(total=None, succeeded=10), progress(total=100, succeeded=0)]
)
def test_what_remains_cannot_always_be_told(unknown: Progress):
    """Not without a total, and not before the first request is done."""
    assert unknown.remaining is None


def test_more_than_was_announced_leaves_nothing():
    """An input may be longer than its length told."""
    assert progress(total=10, succeeded=12).remaining == 0.0
