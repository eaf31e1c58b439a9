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

    assert pools.of(ORIGIN).streams == NEVER
    assert pools.of(ORIGIN._replace(is_tls=False)).streams == 1


def test_it_is_kept_for_as_long_as_something_would_be_lost() -> None:
    """And the first one is kept if there are two."""
    pools = OriginPools(lambda _: False)
    first, second = pools.of(ORIGIN), pools.of(ORIGIN)
    first.connections = 1

    assert pools.keep(first) is first
    assert pools.keep(second) is first
    pools.tidy(first)
    assert pools.kept == {ORIGIN: first}
    first.connections = 0
    pools.tidy(second)
    assert pools.kept == {ORIGIN: first}
    pools.tidy(first)
    assert not pools.kept
