"""Fork while an async fetcher has connections open, and use or leave it in the child."""

from __future__ import annotations

import asyncio
import os
import sys

from asyncbatch import Fetcher, FetcherClosed

URL = sys.argv[1]


def in_child(fetcher: Fetcher) -> None:
    try:
        asyncio.run(fetcher.fetch(URL))  # type: ignore[arg-type]
    except FetcherClosed as error:
        print("child:", str(error).partition(",")[0], flush=True)

    async def anew() -> bool:
        async with Fetcher(trust_env=False, verify=False) as own:
            return (await own.fetch(URL)).ok

    print("child, with its own:", asyncio.run(anew()), flush=True)


async def main() -> None:
    async with Fetcher(trust_env=False, verify=False) as fetcher:
        assert (await fetcher.fetch(URL)).timing.connect is not None
        if (child := os.fork()) == 0:
            in_child(fetcher)
            os._exit(3)  # as multiprocessing leaves a forked child
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  # nothing else goes on
        again = await fetcher.fetch(URL)
        print("child exited with", os.waitstatus_to_exitcode(status))
        print("parent, on its old connection:", again.ok and again.timing.connect is None)


asyncio.run(main())
