"""Memory that runs out over one response: that one fails, and nothing else does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from asyncbatch import Failure, Result
from asyncbatch._http11 import ResponseProtocol
from asyncbatch._transport._causes import causes_of
from asyncbatch.testing import LoopbackServer, Reply
from tests.faults.lanes import fetcher_on

LARGE = random.Random(0).randbytes(400_000)


def out_of_memory(*_: Any, **__: Any) -> Any:
    """Stand in for what asks for more than there is."""
    raise MemoryError


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
    monkeypatch.setattr("asyncbatch._lanes._whole_body.decode", out_of_memory)
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
    """It does not wait for its time-out, or for ever where there is none."""
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
