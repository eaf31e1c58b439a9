"""What the tests of requests share: a fetcher on each transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, Retry
from asyncbatch._lanes.request import _native

AT_ONCE = Retry(backoff=0)


def _lanes() -> dict[str, Callable[[], Any]]:
    return {
        "ours": lambda: Fetcher(trust_env=False, retry=AT_ONCE),
        "theirs": lambda: Fetcher(
            httpx.AsyncClient(trust_env=False, timeout=10, follow_redirects=True), retry=AT_ONCE
        ),
    }


@pytest.fixture(params=sorted(_lanes()))
async def fetcher(request: pytest.FixtureRequest) -> AsyncIterator[Fetcher]:
    """Open a fetcher on our own transport, and one on httpx's."""
    async with _lanes()[request.param]() as fetcher:
        yield fetcher
        await fetcher.client.aclose()


@pytest.fixture(autouse=True)
def _look_at_the_layout_of_requests_again() -> None:
    """Forget what another test, which may have patched httpx, has made of it."""
    _native._known_constructor.cache_clear()
    _native._known_constructor(httpx)
