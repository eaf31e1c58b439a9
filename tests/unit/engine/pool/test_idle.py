"""How many idle connections are kept, and for how long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.pool._idle import IDLE_GRACE, IdleConnections


class FakeSweep:
    """Remembers when it is to look."""

    def __init__(self) -> None:
        self.next_at = NEVER

    def by(self, deadline: float) -> None:
        self.next_at = min(self.next_at, deadline)


class FakeConnection:
    """Leaves the idle ones when it is closed, as a pool sees to it."""

    def __init__(self, idle: IdleConnections, name: str) -> None:
        self.idle = idle
        self.name = name
        self.origin_pool = SimpleNamespace(idle={})
        self.closed_at: float | None = None

    def close(self) -> None:
        self.idle.remove(self)  # type: ignore[arg-type]
        self.closed_at = CLOCK.now


class Clock:
    now = 0.0


CLOCK = Clock()


def run(idle: IdleConnections, deadlines: FakeSweep) -> None:
    """Look whenever the sweep is due, to the end."""
    while deadlines.next_at < NEVER:
        CLOCK.now, deadlines.next_at = deadlines.next_at, NEVER
        deadlines.next_at = min(deadlines.next_at, idle.close_expired(CLOCK.now))


def keep(idle: IdleConnections, name: str, now: float, told: int | None = None) -> FakeConnection:
    connection = FakeConnection(idle, name)
    idle.add(connection, now, told)  # type: ignore[arg-type]
    return connection


@pytest.mark.parametrize(
    ("told", "kept"),
    [(None, 60.0), (5, 4.0), (1, 0.5), (0, 0.0), (61, 60.0), (100, 60.0), (2, 1.0), (59, 58.0)],
)
def test_a_connection_is_kept_for_a_minute_or_as_long_as_its_server_says(
    told: int | None, kept: float
) -> None:
    """A little shorter than the server says: it may close at the moment in which we write."""
    deadlines = FakeSweep()
    idle = IdleConnections(deadlines, maximum=10, expiry=60.0)  # type: ignore[arg-type]
    connection = keep(idle, "a", 100.0, told)
    run(idle, deadlines)

    assert connection.closed_at == 100.0 + kept
    assert not idle.members


def test_each_expires_in_its_own_time_whatever_others_were_told() -> None:
    """The one kept last may well be the first to go."""
    deadlines = FakeSweep()
    idle = IdleConnections(deadlines, maximum=10, expiry=60.0)  # type: ignore[arg-type]
    told = [None, 5, 30, None, 5, 2, 0]
    all_of_them = [keep(idle, str(n), float(n), each) for n, each in enumerate(told)]
    run(idle, deadlines)

    closed = [connection.closed_at for connection in all_of_them]
    assert closed == [60.0, 5.0, 31.0, 63.0, 8.0, 6.0, 6.0]


def test_one_that_was_used_again_starts_anew() -> None:
    """And is no more of the group that it was of."""
    deadlines = FakeSweep()
    idle = IdleConnections(deadlines, maximum=10, expiry=60.0)  # type: ignore[arg-type]
    connection = keep(idle, "a", 0.0, 5)
    idle.remove(connection)  # type: ignore[arg-type]
    idle.add(connection, 3.0, None)  # type: ignore[arg-type]
    run(idle, deadlines)

    assert connection.closed_at == 63.0


def test_servers_cannot_make_ever_more_groups() -> None:
    """However many times they name, where nothing else bounds them."""
    idle = IdleConnections(FakeSweep(), maximum=10, expiry=NEVER)  # type: ignore[arg-type]
    for told in range(0, 100_000, 7):
        idle.remove(keep(idle, "a", 0.0, told))  # type: ignore[arg-type]

    assert len(idle._groups) < 310


def test_the_longest_idle_goes_first_where_there_are_too_many() -> None:
    """A moment later: until then they may still be of use."""
    deadlines = FakeSweep()
    idle = IdleConnections(deadlines, maximum=2, expiry=60.0)  # type: ignore[arg-type]
    kept = [keep(idle, str(n), n * 0.01) for n in range(5)]
    assert [connection.closed_at for connection in kept] == [None] * 5
    run(idle, deadlines)

    assert [connection.closed_at for connection in kept[:3]] == [0.02 + IDLE_GRACE] * 3
    assert [connection.closed_at for connection in kept[3:]] == [60.03, 60.04]
