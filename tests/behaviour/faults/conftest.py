"""The ways in which requests are sent, each with the event loops where it is a way of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BACKENDS

WAYS = [
    ("asyncio", "direct"),
    ("asyncio", "client"),
    ("asyncio", "stock"),
    ("uvloop", "direct"),
    ("trio", "direct"),
    ("trio", "client"),
    ("trio", "stock"),
]


@pytest.fixture(params=[way for way in WAYS if way[0] in BACKENDS], ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return an event loop and a lane."""
    way: tuple[str, str] = request.param
    return way


@pytest.fixture
def anyio_backend(way: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the event loop of the way."""
    return BACKENDS[way[0]]


@pytest.fixture
def lane(way: tuple[str, str]) -> str:
    """Return the lane of the way, for `fetcher_on`."""
    return way[1]
