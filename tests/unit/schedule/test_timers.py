from __future__ import annotations

import math

from asyncbatch._schedule._timers import Timers


class Alarm:
    """Writes down when it went off."""

    def __init__(self, name: str, log: list[tuple[str, float]]) -> None:
        self.timer: float | None = None
        self._name = name
        self._log = log

    def on_time(self, when: float) -> None:
        self._log.append((self._name, when))


def test_timers_go_off_in_order_each_with_its_own_time() -> None:
    """Also when the caller comes late; those of one time in the order in which they were set."""
    timers, log = Timers(), []
    for name, when in (("late", 3.0), ("first", 1.0), ("second", 1.0), ("never", 9.0)):
        timers.set(Alarm(name, log), when)

    timers.run(5.0)

    assert log == [("first", 1.0), ("second", 1.0), ("late", 3.0)]
    assert timers.next_at == 9.0


def test_a_moved_timer_goes_off_once_at_its_new_time() -> None:
    """Setting it again replaces it, be it earlier or later."""
    timers, log = Timers(), []
    alarm = Alarm("moved", log)
    for when in (5.0, 2.0, 7.0):
        timers.set(alarm, when)

    timers.run(6.0)
    timers.run(8.0)

    assert log == [("moved", 7.0)]
    assert timers.next_at == math.inf


def test_a_cancelled_timer_wakes_nobody() -> None:
    """`next_at` does not see it either."""
    timers, log = Timers(), []
    alarm = Alarm("cancelled", log)
    timers.set(alarm, 1.0)
    timers.cancel(alarm)
    timers.cancel(alarm)

    assert timers.next_at == math.inf
    timers.run(2.0)
    assert log == []


def test_cancelled_timers_do_not_pile_up() -> None:
    """A far deadline that is set and cancelled a million times over takes no memory."""
    timers, log = Timers(), []
    timers.set(Alarm("near", log), 1.0)
    for n in range(10_000):
        alarm = Alarm("far", log)
        timers.set(alarm, 1000.0 + n)
        timers.cancel(alarm)

    assert len(timers) < 200


def test_a_timer_may_set_others_while_it_goes_off() -> None:
    """What is due by then goes off in the same run."""
    timers, log = Timers(), []
    follower = Alarm("follower", log)

    class Chain(Alarm):
        def on_time(self, when: float) -> None:
            super().on_time(when)
            timers.set(follower, when + 1)

    timers.set(Chain("leader", log), 1.0)
    timers.run(2.0)

    assert log == [("leader", 1.0), ("follower", 2.0)]
