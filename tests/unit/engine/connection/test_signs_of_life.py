"""When the server of a silent connection is asked for a sign of life, and when it is overdue."""

from __future__ import annotations

from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.connection._signs_of_life import DOUBT, SILENCE, SignsOfLife


def asked(at: float) -> SignsOfLife:
    """Those of a server that was sent a request."""
    signs = SignsOfLife()
    signs.asked_at = at
    return signs


def test_a_server_that_owes_nothing_is_not_doubted() -> None:
    """Nothing was asked, or all was heard since."""
    signs = asked(10.0)
    signs.heard()

    assert not signs.begin_doubt(1000.0)
    assert not SignsOfLife().begin_doubt(1000.0)


def test_a_server_is_doubted_after_some_silence_and_once() -> None:
    """Not for a request that is given up soon after it was sent."""
    signs = asked(10.0)

    assert not signs.begin_doubt(10.0 + SILENCE / 2)
    assert signs.begin_doubt(10.0 + SILENCE)
    assert not signs.begin_doubt(11.0 + SILENCE)


def test_a_sign_is_overdue_after_some_time() -> None:
    """Counted from when it was asked for."""
    signs = asked(10.0)
    signs.begin_doubt(20.0)

    assert signs.deadline == 20.0 + DOUBT
    assert not signs.are_overdue(20.0 + DOUBT - 0.01)
    assert signs.are_overdue(20.0 + DOUBT)


def test_any_bytes_end_a_doubt() -> None:
    """And that is told, since the connection has room again."""
    signs = asked(10.0)
    signs.begin_doubt(20.0)

    assert signs.heard()
    assert not signs.heard()
    assert signs.deadline == NEVER
    assert not signs.are_overdue(1000.0)


def test_a_connection_that_is_left_waits_for_no_sign() -> None:
    """It has no use of one."""
    signs = asked(10.0)
    signs.begin_doubt(20.0)

    signs.end_doubt()

    assert (signs.deadline, signs.are_overdue(1000.0)) == (NEVER, False)


def test_the_time_of_a_blocked_loop_does_not_count() -> None:
    """Neither where no sign is waited for."""
    doubted, other = asked(10.0), asked(10.0)
    doubted.begin_doubt(20.0)

    doubted.take_out(3.0)
    other.take_out(3.0)

    assert (doubted.deadline, other.deadline) == (23.0 + DOUBT, NEVER)
