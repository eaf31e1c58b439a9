"""What the direct lane makes of TLS connections, and of resets."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch import FailureKind, Fetcher
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.asyncio_only


async def test_a_tls_connection_is_timed_and_used_again(tls_server: LoopbackServer) -> None:
    """The handshake once, and then as without TLS."""
    async with Fetcher(retry=None, verify=TRUSTING) as fetcher:
        first, again = [await fetcher.fetch(tls_server.url()) for _ in range(2)]

    phases = [[name for name, _ in result.timing.phases()] for result in (first, again)]
    assert phases == [["connect", "tls", "send", "wait", "receive"], ["send", "wait", "receive"]]
    assert tls_server.statistics().connections == 1


@pytest.mark.parametrize(
    ("where", "kind"), [("head", FailureKind.protocol), ("body", FailureKind.truncated)]
)
async def test_a_reset_behind_some_bytes_is_told_at_once(
    server: LoopbackServer, where: str, kind: FailureKind
) -> None:
    """Not when the time is up."""
    places: dict[str, Any] = {where: 9}
    server.on("/", Reply(body=500).reset(**places))

    async with Fetcher(retry=None, timeout=3) as fetcher:
        result = await fetcher.fetch(server.url())

    assert not result.ok
    assert result.kind == kind
