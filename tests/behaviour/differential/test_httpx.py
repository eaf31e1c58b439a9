"""The table of exchanges on httpx: plain, and through each lane."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from asyncbatch import Fetcher, Request
from tests.behaviour.differential.comparison import LANES, TRUSTING, Places, compare, open_places
from tests.behaviour.differential.exchanges import GROUPS, LATE, TABLE
from tests.served import lanes_of

pytestmark = pytest.mark.once


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    async with open_places() as places:
        yield places


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
@pytest.mark.parametrize("group", GROUPS)
async def test_each_exchange_ends_as_with_plain_httpx(group: str, places: Places) -> None:
    """Whatever a user can see is the same through each lane, the network requests included."""
    differences = [
        difference
        for exchange in TABLE[group]
        for difference in await compare(exchange, LANES, httpx, places)
    ]

    assert not differences, "\n" + "\n".join(differences)


@pytest.mark.parametrize("group", ["redirects", "plain redirects", "bodies", "encodings"])
async def test_the_direct_lane_has_taken_what_it_can(group: str, places: Places) -> None:
    """Every hop, but those of a body which is streamed or of several parts."""
    async with Fetcher(retry=None, verify=TRUSTING, trust_env=False) as fetcher:
        lanes = lanes_of(fetcher)
        for exchange in TABLE[group]:
            if "files" in exchange.request or isinstance(exchange.request.get("content"), LATE):
                continue
            lanes.clear()
            request = Request(places.fill(exchange.path), exchange.method, **exchange.request)
            await fetcher.fetch(request)

            assert set(lanes) == {"direct"}, exchange.name
