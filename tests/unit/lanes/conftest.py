"""What the tests of the lanes share: both libraries, their clients, and a server with TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import trustme

from asyncbatch import Failure, Fetcher
from asyncbatch.testing import LoopbackServer, Reply
from tests.served import lanes_of

AUTHORITY = trustme.CA()

# Made once: it takes 20 ms.
TRUSTING = ssl.create_default_context()
AUTHORITY.configure_trust(TRUSTING)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """Return each of the two libraries."""
    return pytest.importorskip(request.param)


@pytest.fixture
async def client(library: Any) -> AsyncIterator[Any]:
    """Open a client of either library, as a caller may have one, that trusts `tls_server`."""
    async with library.AsyncClient(
        verify=TRUSTING, trust_env=False, follow_redirects=True, timeout=10
    ) as client:
        yield client


@pytest.fixture
async def httpx_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of httpx that trusts `tls_server`."""
    async with httpx.AsyncClient(verify=TRUSTING, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
async def tls_server() -> AsyncIterator[LoopbackServer]:
    """Run a server with a certificate for 127.0.0.1, and not for 127.0.0.2."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    async with LoopbackServer(hosts=2, ssl_context=context, default=Reply(body=b"ok")) as server:
        yield server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what makes every resolution of a name fail with an error number of getaddrinfo's."""

    def fail_with(number: int) -> None:
        async def getaddrinfo(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(number, "made up by the test")

        # Where anyio and trio ask; uvloop does not ask Python's socket module.
        monkeypatch.setattr("anyio._core._sockets.getaddrinfo", getaddrinfo)
        monkeypatch.setattr("trio._highlevel_open_tcp_stream.getaddrinfo", getaddrinfo)

    return fail_with


async def fetch(request: Any, *, lanes: tuple[str, ...] = ("direct",), **options: Any) -> Any:
    """Fetch through the direct lane."""
    async with Fetcher(**{"retry": None, "verify": TRUSTING, **options}) as fetcher:
        seen = lanes_of(fetcher)
        result = await fetcher.fetch(request)
        assert tuple(seen) == lanes
    return result


async def failure_of(client: Any, request: Any, **options: Any) -> Failure:
    """Fetch `request` once and return the failure that it must be."""
    async with Fetcher(client, **{"retry": None, "timeout": 10, **options}) as fetcher:
        result = await fetcher.fetch(request)
    assert not result.ok, result
    assert isinstance(result.error, Exception)
    assert result.attempts <= 1
    return result
