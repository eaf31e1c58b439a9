"""Print which event loops run the calls, with or without uvloop, as the command line says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from asyncbatch import SyncFetcher, fetch_many_sync

if sys.argv[1] == "without":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed


async def urls() -> AsyncIterator[str]:
    print(type(asyncio.get_running_loop()).__module__.partition(".")[0])
    yield sys.argv[2]


assert fetch_many_sync(urls())[0].ok
with SyncFetcher() as fetcher:
    assert fetcher.fetch_many(urls())[0].ok
    assert next(fetcher.stream(urls())).ok
