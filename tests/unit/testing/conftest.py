"""
What the tests of the loopback server share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncbatch.testing import LoopbackServer
from tests.unit.testing.raw_client import RawClient


@pytest.fixture
async def client(server: LoopbackServer) -> AsyncIterator[RawClient]:
    """Connect to the first host of the server."""
    async with RawClient.connect(server) as client:
        yield client
