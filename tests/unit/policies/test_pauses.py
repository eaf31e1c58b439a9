"""The pauses of one host, after its refusals."""

from __future__ import annotations

import pytest

from asyncbatch._policies._pauses import REMEMBERED_FOR, Pauses
from asyncbatch._values._retry import Retry
from tests.simulation import refused

MOST = Retry().retry_after_max


def pauses() -> Pauses:
    """Return the pauses of a host that has refused nothing, with the longest back-offs."""
    return Pauses(lambda: 1.0)


@pytest.mark.parametrize("asked", [None, 0.0, MOST + 1])
def test_a_refusal_pauses_for_a_back_off_that_grows_in_a_row(asked: float | None) -> None:
    """Also if it asks for no wait, or for a longer one than the policy allows."""
    host = pauses()
    seconds = [
        host.refused(refused(started_at=now, retry_after=asked), now, Retry())
        for now in (1.0, 11.0, 21.0)
    ]

    assert seconds == [0.5, 1.0, 2.0]
    assert host.until == 23.0
    assert host.matters_until == 23.0 + REMEMBERED_FOR


@pytest.mark.parametrize("asked", [0.25, 7.0, MOST])
def test_a_refusal_pauses_for_as_long_as_it_asks(asked: float) -> None:
    """Whichever pause in a row it is."""
    host = pauses()
    for began in (1.0, 101.0):
        refusal = refused(started_at=began, retry_after=asked)

        assert host.refused(refusal, began, Retry()) == asked
        assert host.until == began + asked


def test_a_burst_of_refusals_is_one_pause() -> None:
    """Those sent before it began only make it longer, as far as they ask for that."""
    host = pauses()
    assert host.refused(refused(started_at=0.0), 2.0, Retry()) == 0.5

    assert host.refused(refused(started_at=1.0), 2.1, Retry()) is None
    assert host.until == 2.5
    assert host.refused(refused(started_at=1.0, retry_after=9.0), 2.2, Retry()) is None
    assert host.until == 11.2
    assert host.refused(refused(started_at=12.0), 13.0, Retry()) == 1.0


@pytest.mark.parametrize(("started_at", "next_pause"), [(3.5, 0.5), (2.5, 1.0), (0.5, 2.0)])
def test_an_answer_ends_the_row_as_far_as_it_is_newer(started_at: float, next_pause: float) -> None:
    """One sent between the last two pauses ends the row before the last, an older one nothing."""
    host = pauses()
    for began in (1.0, 3.0):
        host.refused(refused(started_at=began), began, Retry())
    assert not host.is_over

    host.answered(started_at)

    assert host.is_over is (started_at == 3.5)
    assert host.refused(refused(started_at=4.0), 4.0, Retry()) == next_pause


def test_a_pause_that_was_ended_is_over_at_once() -> None:
    """It does not get longer if it is over already."""
    host = pauses()
    host.refused(refused(retry_after=9.0), 0.0, Retry())

    host.end_pause(4.0)
    host.end_pause(6.0)

    assert host.until == 4.0
