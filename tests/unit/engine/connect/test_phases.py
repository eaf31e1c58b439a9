"""`ConnectPhases`: how long the phases of a new connection take."""

from __future__ import annotations

from time import monotonic

import pytest

from asyncbatch._engine.connect._phases import ConnectPhases


def test_the_time_of_a_blocked_loop_is_taken_out_of_a_phase() -> None:
    """The host was not asked in it."""
    phases = ConnectPhases()

    phases.enter("connect", monotonic() - 100)
    phases.take_out(70)
    phases.leave()

    assert phases.connect == pytest.approx(30, abs=10)


def test_a_phase_that_began_while_the_loop_was_blocked_takes_no_negative_time() -> None:
    """The loop was blocked for longer than the phase lasted."""
    phases = ConnectPhases()

    phases.enter("dns")
    phases.take_out(100)
    phases.leave()

    assert phases.dns is not None
    assert 0 <= phases.dns < 50
