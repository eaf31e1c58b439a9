"""A server in a thread, whose requests all workers count at, and an executor of threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncbatch.testing import LoopbackServer, Reply

HOSTS = 6


@pytest.fixture
def site() -> Iterator[LoopbackServer]:
    """A server of six hosts that answers each request with its path, after some milliseconds."""
    with LoopbackServer(hosts=HOSTS).in_thread() as server:
        server.on("*", lambda request: Reply(body=request.path).delayed(0.002, jitter=0.004))
        server.on("/gone*", Reply(404))
        yield server


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Workers in this process, which are there at once."""
    with ThreadPoolExecutor(2) as executor:
        yield executor
    gc.collect()
