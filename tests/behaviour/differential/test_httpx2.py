"""The table of exchanges on httpx2: plain, and through each lane."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.behaviour.differential.comparison import Places, compare, open_places
from tests.behaviour.differential.exchanges import GROUPS, TABLE

pytestmark = pytest.mark.once

httpx2 = pytest.importorskip("httpx2")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    async with open_places() as places:
        yield places


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
@pytest.mark.parametrize("group", GROUPS)
async def test_each_exchange_ends_as_with_plain_httpx2(group: str, places: Places) -> None:
    """Whatever a user can see is the same through each lane, the network requests included."""
    differences = [
        difference
        for exchange in TABLE[group]
        for difference in await compare(exchange, ["client", "engine"], httpx2, places)
    ]

    assert not differences, "\n" + "\n".join(differences)
