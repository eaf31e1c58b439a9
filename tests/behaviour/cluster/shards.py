"""What the tests of shards ask of a data set, and functions that workers import."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from asyncbatch.cluster import ShardTask, _run, open_dataset, run_shard
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply
from tests.behaviour.cluster.conftest import HOSTS
from tests.waiting import text_of

SECONDS_TO_COME_TRUE = 200.0
"""On a busy machine a process takes many seconds to start."""


def urls_of(server: LoopbackServer, count: int, path: str = "/") -> list[str]:
    """Return URLs of all hosts in turn."""
    return [server.url(f"{path}{n}", host=1 + n % HOSTS) for n in range(count)]


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a data set in the order of the input."""
    rows: list[dict[str, Any]] = open_dataset(out).to_arrow().to_pylist()
    return sorted(rows, key=lambda row: row["index"])


def check_whole(out: Path, urls: list[str]) -> None:
    """Each request has one row, with its own answer."""
    rows = rows_of(out)

    assert [row["index"] for row in rows] == list(range(len(urls)))
    assert [row["url"] for row in rows] == urls
    assert [row["content"].decode() for row in rows] == [httpx.URL(url).path for url in urls]


def times_asked(server: LoopbackServer) -> collections.Counter[str]:
    """Return how often each path was asked for."""
    return collections.Counter(request.path for request in server.requests)


def die(response: httpx.Response) -> None:
    """End the worker at one page."""
    if response.url.path == "/deadly":
        os._exit(9)


def run_elsewhere(task: ShardTask) -> None:
    """Run a shard as on another machine, where the folder of the data set is on a network."""
    _run._is_on_network = lambda path: True
    run_shard(task)


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS_TO_COME_TRUE) -> None:
    """Wait until something has come true in another thread or process."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, text_of(condition)
        time.sleep(0.002)


class Gate:
    """Answers some requests, and then none until it is open; those that wait stay so."""

    def __init__(self, site: LoopbackServer, after: int) -> None:
        self._site = site
        self._after = after
        self.is_open = False
        site.on("*", self.answer)

    def answer(self, request: RecordedRequest) -> Reply:
        """Answer with the path."""
        reply = Reply(body=request.path)
        if self.is_open or self._site.statistics().requests <= self._after:
            return reply.delayed(0.01)
        return reply.delayed(3600)
