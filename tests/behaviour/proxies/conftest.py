"""Proxies of each kind, and origins that say what they were sent."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from asyncbatch.testing import LoopbackServer, Reply
from tests.proxies import ProxyServer
from tests.unit.lanes.conftest import AUTHORITY


@pytest.fixture
async def origin() -> AsyncIterator[LoopbackServer]:
    """Run an origin."""
    async with LoopbackServer(default=Reply(body=b"ok")) as server:
        yield server


@pytest.fixture
async def tls_origin() -> AsyncIterator[LoopbackServer]:
    """Run an origin with TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    async with LoopbackServer(ssl_context=context, default=Reply(body=b"ok")) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    """Run a proxy without TLS of its own."""
    with ProxyServer() as server:
        yield server


@pytest.fixture
def tls_proxy() -> Iterator[ProxyServer]:
    """Run a proxy that TLS is spoken to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    with ProxyServer(context=context) as server:
        yield server
