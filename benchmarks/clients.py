"""
The clients, each driven in the way that is fastest for it, and all of them with the same checks.

Most are driven by as many workers as there are connections, which pull from one iterator: that is
faster for each of them than a task for each request, and flat in memory. Time-outs stay what the
client has by default; what limits its connections is raised to what the workload asks for.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.entrant import Client, Fetch, Setting, httpx_options, pulling, through_httpx
from benchmarks.workloads import COOKIE, POSTED


@asynccontextmanager
async def aiohttp_client(setting: Setting) -> AsyncIterator[Fetch]:
    import aiohttp
    from yarl import URL

    workload = setting.workload
    connector = aiohttp.TCPConnector(
        limit=setting.connections,
        limit_per_host=workload.per_host or 0,
        ssl=setting.ssl_context() or True,
    )
    options: dict[str, Any] = {"connector": connector}
    if workload.way in ("cookie", "any cookie"):
        # The hosts are addresses, from which it would take none.
        options["cookie_jar"] = aiohttp.CookieJar(unsafe=True)
    elif workload.way != "defaults":
        # Without a cookie jar, which costs it time and finds nothing here.
        options["cookie_jar"] = aiohttp.DummyCookieJar()
    if workload.way == "deadline":
        options["timeout"] = aiohttp.ClientTimeout(total=30.0)
    if workload.way == "hook":
        options["trace_configs"] = [_looking(aiohttp)]
    if setting.proxy is not None:
        options["proxy"] = setting.proxy
    async with aiohttp.ClientSession(**options) as session:
        if workload.way == "cookie":
            session.cookie_jar.update_cookies(dict([COOKIE]), URL(setting.first_url))

        async def get(url: str) -> tuple[int, bytes]:
            async with session.get(url) as response:
                return response.status, await response.read()

        async def post(url: str) -> tuple[int, bytes]:
            async with session.post(url, json=POSTED, headers={"x-id": url[-6:]}) as response:
                return response.status, await response.read()

        yield pulling(post if workload.posts else get, setting)


def _looking(aiohttp: Any) -> Any:
    """Return what has aiohttp call a function with each response."""

    async def look(_session: Any, _context: Any, params: Any) -> None:
        assert params.response.status == 200

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(look)
    return trace


@asynccontextmanager
async def httpx_client(setting: Setting) -> AsyncIterator[Fetch]:
    import httpx

    async with httpx.AsyncClient(**httpx_options(httpx, setting)) as client:
        yield through_httpx(client, setting)


@asynccontextmanager
async def httpx2_client(setting: Setting) -> AsyncIterator[Fetch]:
    import httpx2

    async with httpx2.AsyncClient(**httpx_options(httpx2, setting)) as client:
        yield through_httpx(client, setting)


@asynccontextmanager
async def httpx_aiohttp_client(setting: Setting) -> AsyncIterator[Fetch]:
    import httpx
    import httpx_aiohttp

    options = httpx_options(httpx, setting)
    async with httpx_aiohttp.HttpxAiohttpClient(**options) as client:
        yield through_httpx(client, setting)


@asynccontextmanager
async def pyreqwest_client(setting: Setting) -> AsyncIterator[Fetch]:
    from pyreqwest.client import ClientBuilder
    from pyreqwest.cookie import CookieStore
    from pyreqwest.proxy import ProxyBuilder

    builder = ClientBuilder().pool_max_idle_per_host(setting.connections)
    if setting.proxy is None:
        builder = builder.no_proxy()
    else:
        builder = builder.proxy(ProxyBuilder.all(setting.proxy))
    way = setting.workload.way
    if way == "any cookie":
        builder = builder.default_cookie_store(True)
    elif way == "cookie":
        store = CookieStore()
        store.insert("=".join(COOKIE), setting.first_url)
        builder = builder.cookie_provider(store)
    elif way == "hook":
        builder = builder.with_middleware(_looking_on)
    if setting.workload.tls:
        builder = builder.add_root_certificate_pem(_authority(setting))
    if setting.workload.http2:
        builder = builder.http2(True)
    async with builder.build() as client:
        has_limit = way == "deadline"

        async def get(url: str) -> tuple[int, Any]:
            request = client.get(url)
            if has_limit:
                request = request.timeout(timedelta(seconds=30))
            response = await request.build().send()
            return response.status, await response.bytes()

        async def post(url: str) -> tuple[int, Any]:
            request = client.post(url).header("x-id", url[-6:]).body_json(POSTED)
            response = await request.build().send()
            return response.status, await response.bytes()

        yield pulling(post if setting.workload.posts else get, setting)


async def _looking_on(request: Any, following: Any) -> Any:
    response = await following.run(request)
    assert response.status == 200
    return response


@asynccontextmanager
async def wreq_client(setting: Setting) -> AsyncIterator[Fetch]:
    import wreq

    options: dict[str, Any] = {
        "http2_only" if setting.workload.http2 else "http1_only": True,
        "no_proxy": True,
        "pool_max_idle_per_host": setting.connections,
        "gzip": True,
    }
    if setting.workload.tls:
        options["tls_verify"] = wreq.CertStore.from_pem_stack(_authority(setting))
    client = wreq.Client(**options)

    async def get(url: str) -> tuple[int, Any]:
        response = await client.get(url)
        return response.status.as_int(), await response.bytes()

    yield pulling(get, setting)
    client.close()


@asynccontextmanager
async def pyqwest_client(setting: Setting) -> AsyncIterator[Fetch]:
    import pyqwest

    version = pyqwest.HTTPVersion.HTTP2 if setting.workload.http2 else pyqwest.HTTPVersion.HTTP1
    transport = pyqwest.HTTPTransport(
        http_version=version,
        pool_max_idle_per_host=setting.connections,
        tls_ca_cert=_authority(setting) if setting.workload.tls else None,
        enable_otel=False,
    )
    client = pyqwest.Client(transport)

    async def get(url: str) -> tuple[int, bytes]:
        response = await client.get(url)
        return response.status, response.content

    async with transport:
        yield pulling(get, setting)


@asynccontextmanager
async def niquests_client(setting: Setting) -> AsyncIterator[Fetch]:
    import niquests

    options: dict[str, Any] = {
        "disable_http2": not setting.workload.http2,
        "disable_http3": True,
    }
    async with niquests.AsyncSession(pool_maxsize=setting.connections, **options) as session:
        session.trust_env = False
        if setting.workload.tls:
            session.verify = setting.ca_file

        async def get(url: str) -> tuple[int, bytes]:
            response = await session.get(url)
            return response.status_code or 0, response.content or b""

        yield pulling(get, setting)


@asynccontextmanager
async def curl_cffi_client(setting: Setting) -> AsyncIterator[Fetch]:
    from curl_cffi import AsyncSession, CurlHttpVersion

    options: dict[str, Any] = {
        "http_version": CurlHttpVersion.V1_1,
        "trust_env": False,
        "verify": setting.ca_file if setting.workload.tls else True,
    }
    async with AsyncSession(max_clients=setting.connections, **options) as session:

        async def get(url: str) -> tuple[int, bytes]:
            response = await session.get(url)
            return response.status_code, response.content

        yield pulling(get, setting)


def _authority(setting: Setting) -> bytes:
    return Path(setting.ca_file).read_bytes()


# The name of each distribution, and the client that it brings.
PEERS: dict[str, Client] = {
    "aiohttp": aiohttp_client,
    "httpx": httpx_client,
    "httpx2": httpx2_client,
    "httpx-aiohttp": httpx_aiohttp_client,
    "pyreqwest": pyreqwest_client,
    "wreq": wreq_client,
    "pyqwest": pyqwest_client,
    "niquests": niquests_client,
    "curl_cffi": curl_cffi_client,
}


def find_client(name: str) -> Client:
    """
    Return the client called `name`.

    Raises:
        KeyError: There is none.
    """
    if name in PEERS:
        return PEERS[name]
    if name == "floor":
        client: Client = importlib.import_module("benchmarks.floor").floor_client
        return client
    if name.startswith("openai"):
        sdk: dict[str, Client] = importlib.import_module("benchmarks.sdk").SDK_CLIENTS
        return sdk[name]
    ours: dict[str, Client] = importlib.import_module("benchmarks.ours").OURS
    return ours[name]
