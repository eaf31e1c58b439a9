"""A batch under sentry-sdk: prints how many requests failed, and how many spans there were."""

from __future__ import annotations

import asyncio
from typing import Any

import sentry_sdk

from asyncbatch import Fetcher
from asyncbatch.testing import LoopbackServer

spans: list[str] = []


class Nowhere(sentry_sdk.transport.Transport):
    """Sends nothing anywhere."""

    def capture_envelope(self, envelope: Any) -> None:
        """Forget what would be sent."""


def note(event: Any, _: Any) -> None:
    """Note the spans of a transaction that has ended."""
    spans.extend(span["op"] for span in event["spans"])


async def main() -> None:
    """Run a batch of three in one transaction."""
    async with LoopbackServer() as server:
        with sentry_sdk.start_transaction(name="batch"):
            async with Fetcher(retry=None) as fetcher:
                results = await fetcher.fetch_many([server.url()] * 3)
    print(len(results.failures), spans.count("http.client"))


sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    traces_sample_rate=1.0,
    before_send_transaction=note,
    transport=Nowhere,
)
asyncio.run(main())
