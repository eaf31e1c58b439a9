"""SOCKS5 proxies: whole replies, however they come, and faults that are told as the proxy's."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind
from asyncbatch._engine import transport_class
from asyncbatch._engine.bridge._socks import SocksStream
from tests import aio
from tests.raw_server import CLOSING, Peer, serve

httpcore: Any = importlib.import_module("httpcore")

METHOD = b"\x05\x00"
CONNECTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
BEHIND = b"HTTP/1.1 200 OK"

# What the proxy sends, and what httpcore is to be given for it, reply by reply.
REPLIES: dict[str, tuple[bytes, list[bytes]]] = {
    "an address of IPv4": (METHOD + CONNECTED, [METHOD, CONNECTED]),
    "an address of IPv6": (
        METHOD + b"\x05\x00\x00\x04" + bytes(range(16)) + b"\x04\x38",
        [METHOD, CONNECTED],
    ),
    "a name": (METHOD + b"\x05\x00\x00\x03\x04name\x04\x38", [METHOD, CONNECTED]),
    "an empty name": (METHOD + b"\x05\x00\x00\x03\x00\x04\x38", [METHOD, CONNECTED]),
    "a password": (
        b"\x05\x02" + b"\x01\x00" + CONNECTED,
        [b"\x05\x02", b"\x01\x00", CONNECTED],
    ),
    "a refusal": (METHOD + b"\x05\x05" + CONNECTED[2:], [METHOD, b"\x05\x05" + CONNECTED[2:]]),
}


class Pieces:
    """A network stream that gives what it has piece by piece, and then its end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.limits: list[float | None] = []
        self.is_closed = False
        self.write = self.start_tls = self.get_extra_info = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        self.limits.append(timeout)
        return self._pieces.pop(0) if self._pieces else b""

    async def aclose(self) -> None:
        self.is_closed = True


async def replies_of(stream: SocksStream, count: int) -> list[bytes]:
    return [await stream.read(4096) for _ in range(count)]


@pytest.mark.parametrize("name", REPLIES)
async def test_each_reply_is_whole_wherever_it_is_cut(name: str) -> None:
    """At every place, byte by byte, and all of them at once; what comes behind is not lost."""
    sent, expected = REPLIES[name]
    wholes = [sent + BEHIND[: end // 2] for end in range(2 * len(BEHIND))]
    cuts = [(sent[:at], sent[at:] + BEHIND) for at in range(1, len(sent))]
    single = [bytes([byte]) for byte in sent + BEHIND]

    for pieces in (*((whole,) for whole in wholes), *cuts, single):
        stream = SocksStream(Pieces(*pieces), httpcore, 3.0)
        assert await replies_of(stream, len(expected)) == expected
        behind = b"".join(await replies_of(stream, len(BEHIND) + 1))
        assert BEHIND.startswith(behind)
        assert behind == b"".join(pieces)[len(sent) :]


async def test_no_more_is_given_than_is_asked_for() -> None:
    """Of what has come behind the last reply."""
    stream = SocksStream(Pieces(METHOD + CONNECTED + BEHIND), httpcore, None)
    await replies_of(stream, 2)

    assert [await stream.read(4), await stream.read(100)] == [BEHIND[:4], BEHIND[4:]]


@pytest.mark.parametrize("name", REPLIES)
async def test_an_end_within_a_reply_is_the_proxys_fault(name: str) -> None:
    """At every place; the connection is closed."""
    sent, expected = REPLIES[name]

    for end in range(len(sent)):
        pieces = Pieces(sent[:end])
        stream = SocksStream(pieces, httpcore, None)
        with pytest.raises(httpcore.ProxyError, match="closed within its handshake"):
            await replies_of(stream, len(expected))
        assert pieces.is_closed


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x04\x5a" + bytes(6),
        METHOD + b"HTTP",
        METHOD + b"\x04\x00\x00\x01" + bytes(6),
        METHOD + b"\x05\x5b\x00\x01" + bytes(6),
        METHOD + b"\x05\x00\x00\x09" + bytes(6),
    ],
)
async def test_what_is_no_reply_is_the_proxys_fault(sent: bytes) -> None:
    """Another protocol, another version, and values that there are not."""
    pieces = Pieces(sent)
    with pytest.raises(httpcore.ProxyError, match="not answer as a SOCKS5 proxy"):
        await replies_of(SocksStream(pieces, httpcore, None), 2)

    assert pieces.is_closed


async def test_each_reply_is_waited_for_as_long_as_a_connect() -> None:
    """Httpcore sets no limit there."""
    pieces = Pieces(METHOD, CONNECTED, b"ok")
    stream = SocksStream(pieces, httpcore, 3.0)
    await replies_of(stream, 2)
    await stream.read(10, timeout=7.0)

    assert pieces.limits == [3.0, 3.0, 7.0]


class Proxy:
    """A SOCKS5 proxy that ends some connections early, and answers the others itself."""

    def __init__(self, *ends: int) -> None:
        self._ends = list(ends)
        self.connections = 0

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        async with serve(self._run) as server:
            yield f"socks5://127.0.0.1:{server.port}"

    async def _run(self, peer: Peer) -> None:
        self.connections += 1
        left = self._ends.pop(0) if self._ends else 1000
        for asked, reply in ((3, METHOD), (10, CONNECTED)):
            await peer.reader.readexactly(asked)
            for byte in reply:
                if not left:
                    return
                left -= 1
                await peer.send(bytes([byte]))
                await aio.sleep(0)
        await peer.read_request()
        await peer.send(CLOSING)


@pytest.mark.may_block  # by the first import of httpcore2
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_a_transport_reads_replies_byte_by_byte(name: str) -> None:
    """Of either library."""
    pytest.importorskip("socksio")
    library = pytest.importorskip(name)
    async with Proxy().serve() as url:
        transport = transport_class(library)(proxy=library.Proxy(url))
        async with library.AsyncClient(transport=transport) as client:
            response = await client.get("http://127.0.0.1:9/")

    assert response.text == "ok"


@pytest.mark.may_block  # by the first import of httpcore2
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_an_upgrade_that_httpcore_carries_out_reads_whole_replies(name: str) -> None:
    """The engine opens no tunnel for what it does not do."""
    pytest.importorskip("socksio")
    library = pytest.importorskip(name)
    headers = {"upgrade": "echo", "connection": "upgrade"}
    async with Proxy().serve() as url:
        transport = transport_class(library)(proxy=library.Proxy(url))
        async with library.AsyncClient(transport=transport) as client:
            response = await client.get("http://127.0.0.1:9/", headers=headers)

    assert response.text == "ok"


async def test_a_proxy_that_ends_its_handshake_is_asked_again() -> None:
    """It is a failure to connect, and another connection may fare better."""
    pytest.importorskip("socksio")
    proxy = Proxy(0, 1, 6)
    retry = asyncbatch.Retry(attempts=4, backoff=0)
    async with proxy.serve() as url, asyncbatch.Fetcher(proxy=url, retry=retry) as fetcher:
        result = await fetcher.fetch("http://127.0.0.1:9/")

    assert result.ok
    assert {type(attempt.error) for attempt in result.history} == {asyncbatch.ProxyError}
    assert proxy.connections == result.attempts == 4


async def test_a_proxy_that_is_silent_in_its_handshake_runs_into_the_connect_limit() -> None:
    """Httpcore would wait for it until the attempt ends."""
    pytest.importorskip("socksio")

    async with serve(Peer.until_closed) as server:
        way = f"socks5://127.0.0.1:{server.port}"
        async with asyncbatch.Fetcher(proxy=way, retry=None, connect_timeout=0.1) as fetcher:
            result = await fetcher.fetch("http://127.0.0.1:9/")

    assert result.kind == FailureKind.timeout
    assert isinstance(result.error, httpx.TimeoutException)
