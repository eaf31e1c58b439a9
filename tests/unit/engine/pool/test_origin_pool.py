"""What is known of one origin: whether enough is being opened, and when it is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine import Origin
from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.pool._origin_pool import OriginPool, OriginPools

ORIGIN = Origin(True, "host.test", 443)


@pytest.mark.parametrize(
    ("streams", "opening", "waiting", "is_enough"),
    [
        (NEVER, 0, 1, False),
        (NEVER, 1, 1000, True),
        (1, 1, 1, True),
        (1, 1, 2, False),
        (20, 1, 20, True),
        (20, 1, 21, False),
        (20, 2, 40, True),
        (20, 0, 0, False),
    ],
)
def test_enough_is_opening_if_all_that_wait_will_have_a_place(
    streams: float, opening: int, waiting: int, is_enough: bool
) -> None:
    """As far as it is known how many a connection takes."""
    origin_pool = OriginPool(ORIGIN, may_share=streams > 1)
    origin_pool.streams = streams
    exchanges: list[Any] = [object() for _ in range(waiting)]
    origin_pool.waiting.update(dict.fromkeys(exchanges))
    origin_pool.opening.update({object(): None for _ in range(opening)})

    assert origin_pool.has_enough_opening is is_enough


def test_one_that_may_share_takes_any_number_until_more_is_known() -> None:
    """Over HTTP/1.1 it is one at a time."""
    pools = OriginPools(lambda origin: origin.is_tls)

    assert pools.find_or_add(ORIGIN).streams == NEVER
    assert pools.find_or_add(ORIGIN._replace(is_tls=False)).streams == 1


@pytest.mark.parametrize("reference", ["connections", "opening", "waiting"])
def test_it_is_kept_for_as_long_as_something_refers_to_it(reference: str) -> None:
    """A connection, a dial or an exchange that waits; and there is never a second one."""
    pools = OriginPools(lambda _: False)
    origin_pool = pools.find_or_add(ORIGIN)
    some: Any = {object(): None}
    setattr(origin_pool, reference, 1 if reference == "connections" else some)

    pools.tidy(origin_pool)
    assert pools.kept == {ORIGIN: origin_pool}
    assert pools.find_or_add(ORIGIN) is origin_pool
    setattr(origin_pool, reference, 0 if reference == "connections" else {})
    pools.tidy(origin_pool)
    assert not pools.kept


class Room:
    """A connection that has room, or not."""

    def __init__(self, has_room: bool) -> None:
        self.has_room = has_room


def test_the_connection_that_has_got_room_last_is_shared() -> None:
    """Those that have none any more are passed over, and forgotten."""
    origin_pool = OriginPools(lambda _: True).find_or_add(ORIGIN)
    connections: list[Any] = [Room(has_room) for has_room in (True, True, False, False)]
    origin_pool.shared.update(dict.fromkeys(connections))

    assert origin_pool.take_shared() is connections[1]
    assert list(origin_pool.shared) == connections[:2]
    connections[0].has_room = connections[1].has_room = False
    assert origin_pool.take_shared() is None
    assert not origin_pool.shared
