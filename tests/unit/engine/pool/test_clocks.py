"""The clocks of a pool: what is too late ends, and a blocked event loop costs nobody any time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.pool._clocks import PoolClocks


class Counted:
    """A connection, a dial or an exchange, which notes what becomes of its clocks."""

    def __init__(self, deadline: float = NEVER, begun_at: float = 0.0) -> None:
        self.deadline = self.expires = deadline
        self.begun_at = begun_at
        self.expired_at: float | None = None
        self.taken_out = self.given = 0.0

    def expire(self, now: float) -> None:
        self.expired_at = now

    def take_out(self, seconds: float, before: float = NEVER) -> None:
        self.taken_out += seconds

    def give_more_time(self, seconds: float) -> None:
        self.given += seconds


class Parts:
    """The parts of a pool, with one of each."""

    def __init__(self, **options: Any) -> None:
        self.connection, self.waiting, self.dial = Counted(**options), Counted(**options), Counted()
        self.close_idle_at = NEVER
        loop: Any = SimpleNamespace(call_later=lambda *_: None)
        members: Any = {self.connection}
        self.clocks = PoolClocks(loop, members, Counted.expire)  # type: ignore[arg-type]
        parts: list[Any] = [self, self, self.dial]
        self.everyone = {self.waiting: None}
        self.clocks.watch_over(*parts)

    def split(self, now: float) -> tuple[list[Counted], float]:
        is_late = self.waiting.expires <= now
        return ([self.waiting], NEVER) if is_late else ([], self.waiting.expires)

    def close_expired(self, now: float) -> float:
        return self.close_idle_at


@pytest.mark.parametrize("now", [2.0, 3.0])
def test_what_is_too_late_ends(now: float) -> None:
    """An exchange on its connection, and one that waits."""
    parts = Parts(deadline=2.0)
    assert parts.clocks._look(now) == NEVER

    assert parts.connection.expired_at == parts.waiting.expired_at == now


@pytest.mark.parametrize("first", ["connection", "waiting", "idle"])
def test_the_next_look_is_at_the_first_deadline(first: str) -> None:
    """Of an exchange, a wait or an idle connection."""
    parts = Parts(deadline=9.0)
    parts.close_idle_at = 8.0 if first == "idle" else 9.0
    if first != "idle":
        each = getattr(parts, first)
        each.deadline = each.expires = 8.0

    assert parts.clocks._look(2.0) == 8.0
    assert parts.connection.expired_at is parts.waiting.expired_at is None


@pytest.mark.parametrize(("begun_at", "expires"), [(1.0, 12.0), (3.0, 9.0)])
def test_time_that_was_measured_elsewhere_is_taken_out(begun_at: float, expires: float) -> None:
    """Of what had begun before it, as far as the pool can tell."""
    parts = Parts(deadline=9.0, begun_at=begun_at)
    parts.clocks.take_out(3.0, 2.0)

    assert parts.connection.taken_out == parts.dial.taken_out == 3.0
    assert parts.waiting.expires == expires
    assert parts.connection.given == 0.0


def test_limits_are_extended_and_others_told_when_the_loop_was_blocked() -> None:
    """By more than what was measured, since the bytes that have arrived are to be read first."""
    told: list[tuple[float, float]] = []
    parts = Parts(deadline=9.0, begun_at=1.0)
    parts.clocks.on_stall = lambda seconds, before: told.append((seconds, before))
    parts.clocks._stood_still(3.0, 2.0, 0.5)

    assert (parts.connection.taken_out, parts.connection.given) == (3.0, 0.5)
    assert parts.dial.taken_out == 3.5
    assert parts.waiting.expires == 12.5
    assert told == [(3.0, 2.0)]
