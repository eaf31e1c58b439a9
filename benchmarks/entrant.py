"""
What takes part in a benchmark: a client is given a `Setting` and makes a `Fetch` of it.

Imports no client, and so is what all of them are written with.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import POSTED, Workload

Fetch = Callable[[Iterable[str]], Awaitable[None]]
"""Fetch all URLs, and raise unless each was answered as it must be."""
Get = Callable[[str], Awaitable[tuple[int, Any]]]
"""Fetch one URL and return its status and its body."""


# A body is checked by its length and by its end. Whole, 10 MB would be compared in 1 ms where they
# are bytes and in 100 where they are a memoryview, and that would be all that is measured.
_TAIL = 1_000


class WrongAnswer(Exception):
    """A response was not what the server sends."""


class Unavailable(Exception):
    """A client cannot take part; the message says why."""


@dataclass(frozen=True)
class Setting:
    """What a client is set up for."""

    workload: Workload
    content: bytes
    """What each body must be."""
    ca_file: str
    first_url: str
    proxy: str | None = None
    """The URL of a forward proxy, where the workload goes through one."""

    @property
    def connections(self) -> int:
        return self.workload.connections

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what verifies the server, or None where there is no TLS."""
        if not self.workload.tls:
            return None
        return ssl.create_default_context(cafile=self.ca_file)

    @property
    def tail(self) -> bytes:
        """The end of what each body must be: all of a small one."""
        return self.content[-_TAIL:]


Client = Callable[[Setting], AbstractAsyncContextManager[Fetch]]


def pulling(get: Get, setting: Setting) -> Fetch:
    """Return a fetch by workers that pull from one iterator."""
    size, tail = len(setting.content), setting.tail

    def check(status: int, body: Any) -> None:
        if status != 200 or len(body) != size or body[-_TAIL:] != tail:
            raise WrongAnswer(f"status {status}, {len(body)} bytes")

    async def work(urls: Iterator[str]) -> None:
        for url in urls:
            check(*await get(url))

    async def work_async(urls: AsyncIterator[str]) -> None:
        async for url in urls:
            check(*await get(url))

    async def fetch(urls: Iterable[str]) -> None:
        source = AsyncUrls(urls) if setting.workload.way == "async input" else iter(urls)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(setting.connections):
                is_async = isinstance(source, AsyncUrls)
                tasks.create_task(work_async(source) if is_async else work(source))

    return fetch


class AsyncUrls:
    """An async iterator over URLs that never waits, and that several tasks may pull from."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = iter(urls)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for url in self._urls:
            return url
        raise StopAsyncIteration


def httpx_options(library: Any, setting: Setting) -> dict[str, Any]:
    """Return the settings of an httpx client that holds as many connections as asked for."""
    context = setting.ssl_context()
    return {
        "limits": library.Limits(
            max_connections=setting.connections, max_keepalive_connections=setting.connections
        ),
        "timeout": 30.0,
        # The system's certificates take 20 ms and 5 MB, and nobody needs them here.
        "verify": context or ssl.create_default_context(cafile=setting.ca_file),
        "trust_env": False,
        "http2": setting.workload.http2,
    }


def through_httpx(client: Any, setting: Setting) -> Fetch:
    """Return the bare loop over an httpx client."""

    async def get(url: str) -> tuple[int, bytes]:
        response = await client.get(url)
        return response.status_code, response.content

    async def post(url: str) -> tuple[int, bytes]:
        response = await client.post(url, json=POSTED, headers={"x-id": url[-6:]})
        return response.status_code, response.content

    return pulling(post if setting.workload.posts else get, setting)
