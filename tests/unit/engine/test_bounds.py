"""How many connections a pool may have, and how long it keeps those that are idle."""

from __future__ import annotations

import sys

import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport
from asyncbatch._engine import Bounds, bounds_for
from asyncbatch._engine._bounds import MOST_IDLE, affordable_idle, bounds_of

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("soft", "idle"), [(64, 16), (1024, 256), (8192, 2048), (1_000_000, MOST_IDLE), (3, 1)]
)
def test_a_quarter_of_the_descriptors_is_for_idle_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, idle: int
) -> None:
    """And never more than some thousands."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    assert affordable_idle() == idle


def test_without_a_limit_of_descriptors_there_is_one_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each connection costs memory as well."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)

    assert affordable_idle() == MOST_IDLE


def test_a_system_that_tells_no_limit_has_one_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Windows, where there is no such module."""
    monkeypatch.setitem(sys.modules, "resource", None)

    assert affordable_idle() == MOST_IDLE


def test_idle_connections_come_on_top_of_those_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many hosts share a small concurrency, and each keeps its connection."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (400, 400))

    assert bounds_for(10) == Bounds(total=110, in_use=10, idle=100, idle_expiry=60.0)


@pytest.mark.parametrize(
    ("limits", "bounds"),
    [
        (
            httpx.Limits(max_connections=100, max_keepalive_connections=20),
            Bounds(100, 100, 20, 5.0),
        ),
        (httpx.Limits(max_connections=10), Bounds(10, 10, 10, 5.0)),
        (
            httpx.Limits(max_connections=None, max_keepalive_connections=9, keepalive_expiry=1.5),
            Bounds(sys.maxsize, sys.maxsize, 9, 1.5),
        ),
        (httpx.Limits(max_connections=5, max_keepalive_connections=9), Bounds(5, 5, 5, 5.0)),
        (httpx.Limits(), Bounds(sys.maxsize, sys.maxsize, 50, 5.0)),
        (
            httpx.Limits(max_connections=7, max_keepalive_connections=None, keepalive_expiry=None),
            Bounds(7, 7, 7, float("inf")),
        ),
    ],
)
def test_limits_of_the_callers_are_kept(
    monkeypatch: pytest.MonkeyPatch, limits: httpx.Limits, bounds: Bounds
) -> None:
    """As httpx reads them; what they leave open is for the descriptors to say."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 200))

    assert bounds_of(limits) == bounds


def test_a_transport_of_its_own_keeps_what_it_can() -> None:
    """In use are as many as with httpx; httpcore's pool, if it is ever used, is httpx's own."""
    transport = HTTPTransport()

    engine, pool = transport.engine, transport._pool
    assert engine._max_in_use == 100
    assert engine._max_connections == 100 + affordable_idle()
    assert (pool._max_connections, pool._max_keepalive_connections) == (100, 20)


async def test_a_fetcher_has_as_many_in_use_as_its_concurrency() -> None:
    """Unless its caller's `limits` say otherwise."""
    async with Fetcher(concurrency=7) as fetcher:
        own = fetcher.client._transport.engine  # type: ignore[attr-defined]
    async with Fetcher(
        concurrency=7,
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=3.0),
    ) as fetcher:
        asked = fetcher.client._transport.engine  # type: ignore[attr-defined]

    assert (own._max_in_use, own._max_idle, own._idle_expiry) == (7, affordable_idle(), 60.0)
    assert (asked._max_connections, asked._max_in_use, asked._max_idle) == (20, 20, 5)
    assert asked._idle_expiry == 3.0
