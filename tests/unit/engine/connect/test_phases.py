"""`ConnectPhases`: how long the phases of a new connection take."""

from __future__ import annotations

from time import monotonic

import pytest

from asyncbatch._engine.connect._phases import ConnectPhases


def test_the_time_of_a_blocked_loop_is_taken_out_of_a_phase() -> None:
    """The host was not asked in it."""
    phases = ConnectPhases()

    phases.enter_phase("connect", monotonic() - 100)
    phases.take_out(70)
    phases.leave_phase()

    assert phases.connect == pytest.approx(30, abs=10)


def test_a_phase_that_began_while_the_loop_was_blocked_takes_no_negative_time() -> None:
    """The loop was blocked for longer than the phase lasted."""
    phases = ConnectPhases()

    phases.enter_phase("dns")
    phases.take_out(100)
    phases.leave_phase()

    assert phases.dns is not None
    assert 0 <= phases.dns < 50


def test_an_exchange_that_takes_over_is_told_only_of_the_time_after_it() -> None:
    """What came before was another exchange's, and may be longer than its own whole time."""
    phases = ConnectPhases()
    phases.dns = 50.0
    phases.enter_phase("connect", monotonic() - 100)

    phases.count_from_now()
    phases.leave_phase()

    assert phases.dns is None
    assert phases.connect is not None
    assert 0 <= phases.connect < 50


def test_a_phase_that_began_before_it_was_taken_over_counts_from_then_on() -> None:
    """A connect that was begun at once is entered by the dial's task, a turn later."""
    phases = ConnectPhases()

    phases.count_from_now()
    phases.enter_phase("connect", monotonic() - 100)
    phases.leave_phase()

    assert phases.connect is not None
    assert 0 <= phases.connect < 50
