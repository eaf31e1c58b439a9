"""
Fetch bombs one after the other, and print by how many bytes each made this process grow.

A process of its own, so that what is counted is what the system counts, decoders in C included.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import httpx

import asyncbatch
from asyncbatch.testing import LoopbackServer, Reply
from tests.raw_server import Peer, serve
from tests.zstd_encoder import encoder

MIB = 1024 * 1024
SIZE = 96 * MIB
CAP = 4 * MIB


def _deflated(bits: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, bits)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(SIZE // MIB)), packer.flush()])


def _brotli() -> bytes:
    packer = brotli.Compressor(quality=1)
    return b"".join([*(packer.process(bytes(MIB)) for _ in range(SIZE // MIB)), packer.finish()])


def _zstd() -> bytes:
    packer = encoder(level=1)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(SIZE // MIB)), packer.flush()])


CODINGS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: _deflated(31),
    "deflate": lambda: _deflated(15),
    "br": _brotli,
    "zstd": _zstd,
}


def replies() -> Iterator[tuple[str, Reply]]:
    """Name what is fetched, and pack it."""
    for coding, pack in CODINGS.items():
        bomb = pack()
        fields = {"content-encoding": coding}
        yield coding, Reply(200, bomb, fields)
        yield f"{coding}-chunked", Reply(200, bomb, fields, framing="chunked")
        yield f"{coding}-error", Reply(500, bomb, fields)
        yield f"{coding}-moved", Reply(302, bomb, {**fields, "location": "/small"})
        stacked = zlib.compress(bomb)
        yield f"{coding}-stacked", Reply(200, stacked, {"content-encoding": f"{coding}, deflate"})


async def pour(peer: Peer) -> None:
    """Answer with a body that is as long as it is plain, or until the client has enough."""
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(SIZE // MIB):
        await peer.send(bytes(MIB))


def peak_of_memory() -> int:
    """Return the most that this process has had in memory since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> None:
    """Count from what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


async def grown(fetcher: asyncbatch.Fetcher, url: str) -> int:
    """Fetch, and return by how much memory grew at most."""
    forget_peak()
    before = peak_of_memory()
    result: Any = await fetcher.fetch(url)
    assert result.ok or result.kind == asyncbatch.FailureKind.too_large, result
    return peak_of_memory() - before


async def main(lane: str) -> None:
    """Fetch everything in one lane."""
    transport = asyncbatch.HTTPTransport()
    client = httpx.AsyncClient(transport=transport) if lane == "client" else None
    async with LoopbackServer() as server:
        server.on("/small", Reply())
        names = []
        for name, reply in replies():
            server.on(f"/{name}", reply)
            names.append(name)
        async with asyncbatch.Fetcher(client, max_body=CAP, retry=None) as fetcher:
            await fetcher.fetch_many([server.url("/small"), server.url("/gzip")])
            growth = {name: await grown(fetcher, server.url(f"/{name}")) for name in names}
            async with serve(pour) as pouring:
                growth["plain"] = await grown(fetcher, pouring.url)
    if client is not None:
        await client.aclose()
    print(json.dumps(growth))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
