"""
Fetches while the process has hardly a descriptor left, and again when it has some.

Prints one line of JSON. Arguments: the event loop, the lane, the URL.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio

from asyncbatch import Request
from tests.behaviour.faults.lanes import fetcher_on
from tests.conftest import BACKENDS

LIMIT = 64
REQUESTS = 60


@contextlib.contextmanager
def all_taken_but(count: int) -> Iterator[None]:
    """Take all descriptors but so many."""
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for _ in range(count):
        os.close(taken.pop())
    yield
    for descriptor in taken:
        os.close(descriptor)


async def main(lane: str, url: str) -> dict[str, Any]:
    """Return how the requests ended, by how many descriptors there were."""
    seen: dict[str, Any] = {}
    # Whatever is loaded and opened late needs descriptors too.
    async with fetcher_on(lane) as fetcher:
        assert (await fetcher.fetch(url)).ok
    async with fetcher_on(lane, concurrency=LIMIT // 2) as fetcher:
        hasty = [Request(url, tag=number) for number in range(REQUESTS)]
        with all_taken_but(4):
            seen["few"] = await ends(fetcher, hasty)
    rules = {"deadline": 0.5, "give_up_host_after": None}
    async with fetcher_on(lane, concurrency=LIMIT // 2, **rules) as fetcher:
        with all_taken_but(0):
            seen["none"] = await ends(fetcher, hasty)
            name = url.replace("127.0.0.1", "localhost")
            seen["none by name"] = await ends(fetcher, [Request(name)] * 3)
    async with fetcher_on(lane, concurrency=LIMIT // 2) as fetcher:
        with all_taken_but(0):
            await fetcher.fetch_many(hasty, batch_timeout=0.2)
        seen["again"] = await ends(fetcher, hasty)
    return seen


async def ends(fetcher: Any, requests: list[Request]) -> dict[str, int]:
    """Fetch, and count how the requests ended."""
    results = await fetcher.fetch_many(requests)
    assert len(results) == len(requests)
    return Counter("ok" if result.ok else str(result.kind) for result in results)


resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
backend, options = BACKENDS[sys.argv[1]]
print(json.dumps(anyio.run(main, *sys.argv[2:], backend=backend, backend_options=options)))
