"""The table of exchanges over HTTP/2: against plain httpx over HTTP/2, and our own HTTP/1.1."""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from asyncbatch import Fetcher, Request
from conformance.http2 import gateway
from tests.behaviour.differential.comparison import (
    LANES,
    TRUSTING,
    Places,
    compare,
    differences,
    names_of,
    observe,
    open_servers,
    server_context,
)
from tests.behaviour.differential.exchanges import GROUPS, LATE, TABLE
from tests.served import lanes_of

pytestmark = pytest.mark.once


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    async with open_http2_places() as places:
        yield places


def http2_context() -> ssl.SSLContext:
    context = server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@asynccontextmanager
async def open_http2_places() -> AsyncIterator[Places]:
    """Run the servers of the table behind gateways that speak HTTP/2."""
    async with open_servers() as (plain, tls), AsyncExitStack() as stack:
        bases: list[str] = []
        for host in ("127.0.0.1", "127.0.0.2"):
            listener = socket.create_server((host, 0))
            bases.append(f"https://{host}:{listener.getsockname()[1]}")
            running = gateway(listener, (host, plain.port), http2_context())
            await stack.enter_async_context(running)
        base, other = bases
        yield Places((plain, tls), names_of(base, other, plain, tls), {"http2": True})


# Over HTTP/2, each exchange of these ends in our own lanes as over HTTP/1.1, and over HTTP/1.1 in
# all lanes as with plain httpx: those are tests of their own. So every third is played here, from
# a first one that differs from seed to seed. `-m slow` plays all of them.
LARGE = {"redirects", "plain redirects", "bodies", "encodings"}
STRIDES = [
    *((group, 3 if group in LARGE else 1) for group in TABLE if group != "all redirects"),
    *(
        pytest.param(group, 1, marks=pytest.mark.slow)
        for group in TABLE
        if group in LARGE or group == "all redirects"
    ),
]


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
@pytest.mark.parametrize(("group", "stride"), STRIDES)
async def test_each_exchange_ends_as_with_plain_httpx(
    group: str, stride: int, places: Places
) -> None:
    """Whatever a user can see is the same as with httpx over HTTP/2."""
    found = [
        difference
        for exchange in TABLE[group][random.randrange(stride) :: stride]
        if not (exchange.only_http11 or exchange.httpx_http2)
        for difference in await compare(exchange, LANES, httpx, places)
    ]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
@pytest.mark.parametrize("lane", ["engine", "direct"])
@pytest.mark.parametrize("group", GROUPS)
async def test_each_exchange_ends_as_over_http11(group: str, lane: str, places: Places) -> None:
    """With the same answers, kinds, texts and requests, but for what the versions differ in."""
    old = attrs.evolve(places, settings={})
    found: list[str] = []
    for exchange in TABLE[group]:
        if exchange.only_http11:
            continue
        ones = await observe(exchange, LANES[lane], httpx, places)
        others = await observe(exchange, LANES[lane], httpx, old)
        for number, (mine, other) in enumerate(zip(ones, others, strict=True)):
            found += [
                f"{exchange.name}: {each}"
                for each in differences(_neutral(mine), _neutral(other), number)
            ]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("group", ["redirects", "bodies", "encodings"])
async def test_the_direct_lane_has_taken_it_over_http2(group: str, places: Places) -> None:
    """Every hop, but those of a body which is streamed or of several parts."""
    async with Fetcher(retry=None, verify=TRUSTING, trust_env=False, http2=True) as fetcher:
        lanes = lanes_of(fetcher)
        bases = places.names["base"], places.names["other"]
        for exchange in TABLE[group]:
            is_streamed = isinstance(exchange.request.get("content"), LATE)
            if exchange.only_http11 or "files" in exchange.request or is_streamed:
                continue
            lanes.clear()
            request = Request(places.fill(exchange.path), exchange.method, **exchange.request)
            result = await fetcher.fetch(request)

            assert set(lanes) == {"direct"}, exchange.name
            if result.response is not None and str(result.response.url).startswith(bases):
                assert result.response.http_version == "HTTP/2", exchange.name


# About one connection, and the length of what a server says of them.
_OF_HTTP11 = {"connection", "transfer-encoding"}


def _neutral(seen: Any) -> Any:
    """Return an observation without what the versions of HTTP differ in."""
    if isinstance(seen, list):
        return [_neutral(each) for each in seen]
    if not isinstance(seen, dict):
        return seen
    kept = {
        name: _neutral(value)
        for name, value in seen.items()
        if name not in ("downloaded", "extensions")
    }
    if seen.get("end") == "protocol":
        kept["error"].pop("text")  # it names the bytes, or what HTTP/2 calls them
    if "headers" in kept:
        kept["headers"] = _neutral_fields(kept["headers"])
    if "status" in kept:
        kept["status"] = kept["status"][0]  # HTTP/2 has no phrase
        # What the server tells of a request has a length of its own.
        kept["headers"] = [field for field in kept["headers"] if field[0] != b"content-length"]
    echoed = _echoed(seen.get("content"))
    if echoed is not None:
        kept["content"] = kept["text"] = echoed
    return kept


def _neutral_fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields in an order of their own: h2 moves cookies to the end."""
    return sorted(
        (name.lower(), _neutral_sight(value) if name == b"x-seen" else value)
        for name, value in fields
        if name.lower().decode() not in _OF_HTTP11
    )


def _neutral_sight(value: bytes) -> bytes:
    """Return what a hook has seen, without lengths of what the server tells of a request."""
    return re.sub(rb"[0-9]+", b"", value.replace(b", 'reason_phrase'", b""))


def _echoed(content: Any) -> Any:
    """Return a request that the server tells of, as it would over either version."""
    if not (isinstance(content, bytes) and content.startswith(b'{"method"')):
        return None
    request = json.loads(content)
    fields = [(name.lower().encode(), value.encode()) for name, value in request["headers"]]
    return {**request, "headers": _neutral_fields(fields)}
