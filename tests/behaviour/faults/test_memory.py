"""Memory that runs out over one response: that one fails, and nothing else does."""

from __future__ import annotations

import random
import socket
import ssl
import types
from typing import Any

import pytest
import trustme

from asyncbatch import Failure, Result
from asyncbatch._engine._errors import causes_of
from asyncbatch._engine.http11 import ResponseProtocol
from asyncbatch.testing import LoopbackServer, Reply
from tests.behaviour.faults.lanes import fetcher_on
from tests.machines import need_own_transports

LARGE = random.Random(0).randbytes(400_000)


def _raise_memory_error(*_: Any, **__: Any) -> Any:
    raise MemoryError


# Stands in for code of ours that asks for more than there is: what is raised elsewhere is the
# caller's own.
out_of_memory = types.FunctionType(
    _raise_memory_error.__code__, {"__name__": "asyncbatch", "MemoryError": MemoryError}
)


def is_short_of_memory(result: Result) -> bool:
    """Say whether this is the failure of a body for which there was no memory."""
    if not isinstance(result, Failure) or result.kind != "decode":
        return False
    return any(isinstance(cause, MemoryError) for cause in causes_of(result.error))


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["on the loop", "in a thread"])
async def test_a_decoder_without_memory_is_the_failure_of_its_response(
    server: LoopbackServer, lane: str, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Of kind `decode`, without another try; the rest of the batch goes on."""
    for decoder in ("decode", "gunzip_at_once"):
        monkeypatch.setattr(f"asyncbatch._lanes.response._whole_body.{decoder}", out_of_memory)
    server.on("/packed", Reply(body=body).gzipped())
    urls = [server.url("/plain"), server.url("/packed")] * 5
    async with fetcher_on(lane) as fetcher:
        results = await fetcher.fetch_many(urls)
        again = await fetcher.fetch(server.url("/plain"))

    assert [result.text for result in results[::2]] == ["ok"] * 5
    assert all(is_short_of_memory(result) for result in results[1::2])
    assert {result.attempts for result in results} == {1}
    assert again.ok


async def test_a_response_without_memory_fails_at_once(
    server: LoopbackServer, way: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for its timeout, or without end if it has none."""
    if way[1] == "stock":
        pytest.skip("httpx's transport has a reader of its own")
    original = ResponseProtocol.receive

    def receive(self: ResponseProtocol, content: Any) -> bool:
        return out_of_memory() if b"large" in bytes(content) else original(self, content)

    monkeypatch.setattr(ResponseProtocol, "receive", receive)
    server.on("/large", Reply(body=b"large"))
    urls = [server.url("/plain"), server.url("/large")] * 5
    async with fetcher_on(way[1], timeout=None) as fetcher:
        results = await fetcher.fetch_many(urls)

    assert [result.text for result in results[::2]] == ["ok"] * 5
    assert all(is_short_of_memory(result) for result in results[1::2])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("method", ["recv", "send"])
async def test_a_socket_without_memory_is_the_failure_of_its_request(
    method: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there to be read would otherwise be asked for again and again, without an end."""
    need_own_transports()
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    original = getattr(socket.socket, method)
    calls = 0

    def call(self: socket.socket, *args: Any) -> Any:
        nonlocal calls
        if not is_ours(self) or not is_short:
            return original(self, *args)
        calls += 1
        raise MemoryError

    def is_ours(sock: socket.socket) -> bool:
        return sock.family == socket.AF_INET and sock.getpeername()[1] == port

    is_short = False
    monkeypatch.setattr(socket.socket, method, call)
    async with LoopbackServer(ssl_context=context) as server:
        port = int(server.url().split(":")[2].strip("/"))
        server.on("/large", Reply(body=LARGE))
        async with fetcher_on("direct", timeout=None, verify=False, retry=None) as fetcher:
            before = await fetcher.fetch(server.url())
            is_short = True
            # Over TLS a further one would try to connect again and again: see `test_exhaustion.py`.
            paths = ["/"] if tls else ["/", "/large"]
            short = [await fetcher.fetch(server.url(path)) for path in paths]
            is_short = False
            after = await fetcher.fetch_many([server.url("/large")] * 3)

    assert before.ok
    assert not any(result.ok for result in short)
    assert all(any(isinstance(e, MemoryError | OSError) for e in causes_of(r.error)) for r in short)
    assert all(result.ok for result in after)
    assert calls < 20


async def test_a_body_without_room_is_the_failure_of_its_request(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the room is made for all of it at once, since its length is known."""
    monkeypatch.setattr(ResponseProtocol, "place_body", out_of_memory)
    server.on("/large", Reply(body=LARGE).paced(50_000, every=0.001))
    async with fetcher_on("direct", timeout=None) as fetcher:
        results = await fetcher.fetch_many([server.url("/large"), server.url("/plain")])

    assert is_short_of_memory(results[0])
    assert results[1].ok
