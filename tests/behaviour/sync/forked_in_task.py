"""Fork in a task of an event loop that anyio runs, and fetch without `await` in the child."""

from __future__ import annotations

import os
import sys

import anyio

from asyncbatch import SyncFetcher, fetch_many_sync

BACKEND, URL = sys.argv[1:]


def in_child() -> None:
    print("child, alone:", fetch_many_sync([URL], trust_env=False)[0].ok, flush=True)
    with SyncFetcher(trust_env=False) as fetcher:
        print("child, with a fetcher:", fetcher.fetch(URL).ok, flush=True)


async def main() -> None:
    if (child := os.fork()) == 0:
        try:
            in_child()
        finally:
            os._exit(3)  # as multiprocessing leaves a forked child
    _, status = os.waitpid(child, 0)  # noqa: ASYNC222  # nothing else goes on
    print("child exited with", os.waitstatus_to_exitcode(status))


anyio.run(main, backend=BACKEND)
