"""
Fetch a URL that hangs, in the way named on the command line, until Ctrl-C ends it.

At its end the process writes which threads and sockets are left, as JSON.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import sys
import threading
from pathlib import Path

import anyio

from asyncbatch import SyncFetcher, fetch_many_sync

WAY, URL = sys.argv[1:]
URLS = [URL] * 5


def report() -> None:
    links = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    threads = [thread.name for thread in threading.enumerate()]
    sockets = [link for link in links if link.startswith("socket:")]
    print(json.dumps({"threads": threads, "sockets": len(sockets)}))


def script() -> None:
    fetch_many_sync(URLS)


def fetch() -> None:
    with SyncFetcher() as fetcher:
        fetcher.fetch(URL)


def fetch_many() -> None:
    with SyncFetcher() as fetcher:
        fetcher.fetch_many(URLS)


def stream() -> None:
    with SyncFetcher() as fetcher:
        for _ in fetcher.stream(URLS):
            pass


def caught() -> None:
    """Go on after the interrupt, in the same fetcher, with nothing under way any more."""
    with SyncFetcher() as fetcher:
        try:
            fetcher.fetch_many(URLS)
        except KeyboardInterrupt:
            while fetcher.statistics().batches:
                pass
            raise


def run_in_asyncio(way: str) -> None:
    async def main() -> None:
        WAYS[way]()

    asyncio.run(main())


def run_in_trio(way: str) -> None:
    async def main() -> None:
        WAYS[way]()

    anyio.run(main, backend="trio")


def run_in_notebook(way: str) -> None:
    """Run a cell as ipykernel does: in a task of a loop that leaves Ctrl-C to Python."""

    async def cell() -> None:
        WAYS[way]()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()


WAYS = {"script": script, "fetch": fetch, "fetch_many": fetch_many, "stream": stream}
WAYS["caught"] = caught
SURROUNDINGS = {
    "plain": lambda way: WAYS[way](),
    "asyncio": run_in_asyncio,
    "trio": run_in_trio,
    "notebook": run_in_notebook,
}

atexit.register(report)
surrounding, _, way = WAY.partition("-")
SURROUNDINGS[surrounding](way)
