"""The proxies of a pool, taken, waited for and given back by attempts."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import FailureKind, ProxyError, ProxyPool
from asyncbatch._batch._proxies import Proxies
from asyncbatch._lanes import binding_of
from asyncbatch._policies._proxy_pool import FULL, REST
from asyncbatch._values._outcome import Outcome
from tests.transports import settle

pytestmark = pytest.mark.any_loop

ONE = ["http://a.test"]
TWO = [*ONE, "http://b.test"]


def proxies(urls: Any = ONE, **options: Any) -> Proxies:
    return Proxies(ProxyPool(urls, **options), lambda: 0.0)


def outcome(status: int | None = None, **given: Any) -> Outcome:
    kind = None if status == 200 else FailureKind.status if status else FailureKind.proxy
    return Outcome(status_code=status, kind=kind, **given)


def refused(status: int = 407) -> Outcome:
    """Return the outcome of a proxy that wants other credentials."""
    error = ProxyError("no", proxy="x", status_code=status)
    return outcome(error=error, permanent=True)


async def test_who_finds_no_room_waits_for_an_end() -> None:
    """However that comes: settled, or given back by one that was cancelled."""
    pool = proxies(per_proxy=1)
    taken: list[Any] = []

    async def take() -> None:
        taken.append(await pool.acquire("x", "h", lambda: 0.0))

    first: Any = pool.acquire_nowait("x", "h", 0.0)
    assert pool.acquire_nowait("x", "h", 0.0) is FULL
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(take)
        await settle()
        assert taken == []
        pool.settle(first, outcome(200), 0.0)
        await settle()
        assert taken == [first]
        pool.release(first)

    assert taken == [first, first]


async def test_where_all_rest_nobody_waits() -> None:
    """They fail at once, and are told for how long."""
    pool = proxies()
    proxy: Any = pool.acquire_nowait("x", "h", 0.0)
    pool.settle(proxy, refused(), 0.0)

    assert pool.acquire_nowait("x", "h", 1.0) is None
    assert await pool.acquire("x", "h", lambda: 1.0) is None
    told = pool.none_left(binding_of(httpx.AsyncClient()), 1.0)
    assert (told.kind, told.of_proxy, told.permanent) == (FailureKind.proxy, True, True)
    assert isinstance(told.error, ProxyError)
    assert f"{REST - 1.0:.3g} s" in str(told.error)


@pytest.mark.parametrize(("urls", "is_lasting"), [(ONE, True), (TWO, False)])
def test_where_another_is_left_a_refusal_is_no_reason_not_to_ask(
    urls: list[str], is_lasting: bool
) -> None:
    """Nothing was done by the one that refused."""
    pool, found = proxies(urls), refused()
    proxy: Any = pool.acquire_nowait("x", "h", 0.0)
    pool.settle(proxy, found, 0.0)

    assert (found.permanent, found.undone) == (is_lasting, not is_lasting)


@pytest.mark.parametrize(
    ("urls", "status", "of_proxy"), [(TWO, 429, True), (ONE, 429, False), (TWO, 503, False)]
)
def test_a_429_is_the_proxys_where_another_is_left(
    urls: list[str], status: int, of_proxy: bool
) -> None:
    """Its wait is then no pause of the host."""
    pool, found = proxies(urls), outcome(status, retry_after=7.0)
    proxy: Any = pool.acquire_nowait("x", "h", 0.0)
    pool.settle(proxy, found, 0.0)

    assert found.of_proxy is of_proxy
    assert found.retry_after == (None if of_proxy else 7.0)
