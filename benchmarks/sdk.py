"""
An SDK that takes only clients of httpx2: with its own, with aiohttp below, and on our transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from benchmarks.entrant import Client, Fetch, Setting, pulling
from benchmarks.workloads import GREETING

_MESSAGES = [{"role": "user", "content": "Hi!"}]


@asynccontextmanager
async def sdk_client(setting: Setting) -> AsyncIterator[Fetch]:
    """Run the SDK as it is made by default."""
    async with _opened(setting, None) as fetch:
        yield fetch


@asynccontextmanager
async def sdk_on_aiohttp(setting: Setting) -> AsyncIterator[Fetch]:
    """Run the SDK on the client over aiohttp that it brings."""
    import openai

    limits = _limits(setting)
    async with _opened(setting, openai.DefaultAioHttpClient(limits=limits)) as fetch:
        yield fetch


@asynccontextmanager
async def sdk_on_transport(setting: Setting) -> AsyncIterator[Fetch]:
    """Run the SDK on our transport."""
    import httpx2

    import asyncbatch

    transport = asyncbatch.HTTPTransport.for_library(httpx2)(limits=_limits(setting))
    async with _opened(setting, httpx2.AsyncClient(transport=transport)) as fetch:
        yield fetch


def _limits(setting: Setting) -> Any:
    import httpx2

    return httpx2.Limits(
        max_connections=setting.connections, max_keepalive_connections=setting.connections
    )


@asynccontextmanager
async def _opened(setting: Setting, http_client: Any) -> AsyncIterator[Fetch]:
    import openai

    url = urlsplit(setting.first_url)
    base_url = f"{url.scheme}://{url.netloc}/v1"
    async with openai.AsyncOpenAI(
        api_key="none", base_url=base_url, max_retries=0, timeout=60, http_client=http_client
    ) as client:
        create: Any = client.chat.completions.create

        async def get(url: str) -> tuple[int, bytes]:
            completion = await create(
                model="model", messages=_MESSAGES, extra_query={"n": url.partition("?")[2]}
            )
            # What the SDK makes of the answer is checked, since it hides the rest.
            is_right = completion.choices[0].message.content == GREETING
            return 200 if is_right else 0, setting.content

        yield pulling(get, setting)


SDK_CLIENTS: dict[str, Client] = {
    "openai": sdk_client,
    "openai on aiohttp": sdk_on_aiohttp,
    "openai on HTTPTransport": sdk_on_transport,
}
