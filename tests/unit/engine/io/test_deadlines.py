"""The sweep: one timer for all limits, and what it makes of a loop that stood still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.io import _deadlines as _deadlines
from asyncbatch._engine.io._deadlines import BEAT, SWEEP_INTERVAL, Deadlines
from asyncbatch._runtime._stalls import GRACE, LATE


class World:
    """Time, one timer, and what is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: tuple[float, Callable[[], object]] | None = None
        self.is_busy = True
        self.looks: list[float] = []
        self.stalls: list[Any] = []
        self.following = NEVER
        self.deadlines = Deadlines(
            self,  # type: ignore[arg-type]
            self.look,
            is_busy=lambda: self.is_busy,
            on_stall=lambda *told: self.stalls.append(told),
        )

    def call_later(self, delay: float, call: Callable[[], object]) -> World:
        self.timer = (self.now + delay, call)
        return self

    def cancel(self) -> None:
        self.timer = None

    def look(self, now: float) -> float:
        self.looks.append(now)
        return self.following

    def run_at(self, now: float) -> None:
        """Let the loop come to its timer at this time."""
        assert self.timer is not None
        due, call = self.timer
        assert now >= due
        self.now, self.timer = now, None
        call()

    def beat(self, until: float) -> None:
        """Let the loop live until a time."""
        while self.timer is not None and self.timer[0] <= until:
            self.run_at(self.timer[0])
        self.now = until


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(_deadlines, "monotonic", lambda: world.now)
    return world


def test_it_looks_at_the_earliest_deadline_and_not_before(world: World):
    """And again at the next one that it was told of."""
    world.following = 120.0
    world.deadlines.by(110.0)
    world.deadlines.by(105.0)
    world.deadlines.by(115.0)
    world.beat(104.9)
    assert world.looks == []

    world.beat(105.2)
    assert world.looks == pytest.approx([105.0], abs=SWEEP_INTERVAL)
    world.beat(121.0)
    assert len(world.looks) >= 2
    assert world.stalls == []


def test_it_rests_while_nothing_is_under_way(world: World):
    """Then its timer is set to the next deadline, and the next exchange tells."""
    world.deadlines.by(160.0)
    world.is_busy = False
    world.beat(101.0)

    assert world.timer is not None
    assert world.timer[0] == 160.0
    assert world.deadlines.next_at == NEVER
    world.is_busy = True
    world.deadlines.by(190.0)
    assert world.timer[0] == pytest.approx(101.0 + BEAT)
    assert world.deadlines.next_at == 160.0


def test_a_loop_that_stood_still_enforces_nothing_at_first(world: World):
    """What is told is when that began at the latest, and how much more the limits get."""
    world.deadlines.by(100.5)
    world.beat(100.35)
    assert world.timer is not None
    due = world.timer[0]
    world.run_at(103.0)

    assert world.looks == []
    ((seconds, since, more),) = world.stalls
    assert (seconds, since) == (pytest.approx(103.0 - due), due)
    assert GRACE <= more <= GRACE + BEAT + 1e-9
    world.beat(103.0 + GRACE)
    assert world.looks == []
    world.beat(104.0)
    assert len(world.looks) == 1


def test_a_loop_that_is_only_busy_is_none_that_stood_still(world: World):
    """Up to a tenth of a second."""
    world.deadlines.by(100.05)
    world.run_at(100.05 + LATE * 0.9)

    assert world.stalls == []
    assert len(world.looks) == 1


def test_what_is_known_is_not_found_out_again(world: World):
    """The code that has measured a stall passes its length."""
    world.deadlines.by(110.0)
    world.beat(101.0)
    world.now = 103.0
    world.deadlines.excuse(2.0)
    world.run_at(103.0)

    assert world.stalls == []


def test_a_stopped_one_does_nothing(world: World):
    """However near the deadlines are."""
    world.deadlines.by(100.01)
    world.deadlines.stop()
    world.deadlines.by(100.02)

    assert world.timer is None


def test_one_that_is_stopped_by_what_it_finds_sets_no_timer(world: World):
    """An expired exchange may be the last of its pool, which is closed then."""

    def look(now: float) -> float:
        world.deadlines.stop()
        return now + 1.0

    world.deadlines._look = look
    world.deadlines.by(100.01)
    world.beat(100.5)

    assert world.timer is None
