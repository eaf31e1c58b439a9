"""
A program that fetches with a journal, and says what was delivered; to be killed.

It gets `URL JOURNAL COUNT KIND` and prints a line of JSON for each result as it is delivered. Each
request has a number of its own; every third one is a POST, and one in ten is equal to another one.
"""

from __future__ import annotations

import json
import os
import sys

import anyio

from asyncbatch import Fetcher, Request, Result


def requests_of(url: str, count: int) -> list[Request]:
    """Return the requests of a run; the tag is the number."""
    made = []
    for number in range(count):
        shown = number - number % 10 if number % 10 == 3 else number
        if number % 3 == 0:
            made.append(Request(f"{url}post", "POST", content=str(shown).encode(), tag=number))
        else:
            made.append(Request(f"{url}get/{shown}", tag=number))
    return made


def say(result: Result) -> None:
    """Print a result in one write, so that no line is cut by a kill."""
    line = json.dumps(
        [
            result.request.tag,
            result.request.method,
            str(result.kind or "ok"),
            result.from_journal,
            result.text,
        ]
    )
    os.write(1, f"{line}\n".encode())


async def main(url: str, journal: str, count: int, kind: str) -> None:
    requests = requests_of(url, count)
    async with Fetcher(concurrency=8) as fetcher:
        if kind == "all":
            for result in await fetcher.fetch_many(requests, journal=journal):
                say(result)
            return
        ordered = kind == "ordered"
        async with fetcher.stream(requests, ordered=ordered, journal=journal) as results:
            async for result in results:
                say(result)


if __name__ == "__main__":
    url, journal, count, kind, backend = sys.argv[1:]
    anyio.run(main, url, journal, int(count), kind, backend=backend)
