"""
How long asyncbatch keeps the event loop to itself: `python -m benchmarks.stalls`.

For each kind of work, the callback of the event loop that took most processor time. That rather
than wall time, since the figures are about what we do, not about what else the machine does; the
garbage collector is off, since what it takes depends on all that the program keeps.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import gc
import gzip
import io
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx

from asyncbatch import Fetcher, Folder, Request, Results
from asyncbatch.testing import LoopbackServer, Reply

AUTH = ("user", "secret")
"""Makes a request take the client lane."""


def serve(urls: Any, stop: Any) -> None:
    """Run the server, in a process of its own."""
    gzipped = {"content-encoding": "gzip"}
    dense = gzip.compress(os.urandom(1_000) * 30_000)
    random = gzip.compress(os.urandom(20_000_000), 1)
    with LoopbackServer(record=0).in_thread() as server:
        server.on("/", Reply())
        server.on("/10MB", Reply(body=10_000_000))
        server.on("/chunks", Reply(body=10_000_000, framing="chunked"))
        server.on("/bomb", Reply(body=dense, headers=gzipped))
        server.on("/random", Reply(body=random, headers=gzipped))
        urls.put(server.url("/"))
        stop.wait()


def works(url: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Return what is done: a name, an input, and options."""
    for path, name in (
        ("10MB", "a body of 10 MB"),
        ("chunks", "the same in chunks"),
        ("bomb", "gzip, 100 KB that become 30 MB"),
        ("random", "gzip, 20 MB that stay 20 MB"),
    ):
        yield name, [url + path] * 3, {}
        yield f"{name}, client lane", [Request(url + path, auth=AUTH)] * 3, {}
    folder = tempfile.mkdtemp()
    to_files = Folder(folder, exists="rename")
    yield "10 MB to a file", [Request(url + "10MB", to=to_files)] * 3, {}
    yield "the same, client lane", [Request(url + "10MB", auth=AUTH, to=to_files)] * 3, {}
    yield "gzip to a file, 100 KB to 30 MB", [Request(url + "bomb", to=to_files)] * 3, {}
    yield "1,000 files of 0 bytes", [Request(url, to=to_files)] * 1000, {}
    shutil.rmtree(folder)
    body = bytes(100_000_000)
    yield "a request body of 100 MB", [Request(url, "POST", content=body)], {}
    yield "the same, client lane", [Request(url, "POST", content=body, auth=AUTH)], {}
    files = {"file": io.BytesIO(body[:20_000_000])}
    yield "a file of 20 MB as multipart", [Request(url, "POST", files=files)], {}
    yield "a TLS context", ["https://127.0.0.1:1/"], {}
    yield "20 names to look up", [f"http://{n}.invalid/" for n in range(20)], {}
    mock = httpx.MockTransport(lambda _: httpx.Response(200))
    many = [f"http://host{n % 100}.test/{n}" for n in range(20_000)]
    yield "20,000 requests over a mock", many, {"transport": mock}
    yield "20,000 URLs that are none", ["gopher://host.test/"] * 20_000, {"transport": mock}
    yield "20,000 that a batch has no time for", many, {"transport": mock, "batch_timeout": 1e-6}


@contextlib.contextmanager
def timed_callbacks(times: list[float]) -> Iterator[None]:
    """Note the processor time of each callback that asyncio's own loop runs."""
    original = asyncio.events.Handle._run

    def run(handle: asyncio.events.Handle) -> None:
        begun = time.thread_time()
        original(handle)
        times.append(time.thread_time() - begun)

    asyncio.events.Handle._run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        asyncio.events.Handle._run = original  # type: ignore[method-assign]


async def measure(items: Any, options: dict[str, Any]) -> tuple[list[float], Results]:
    """Return the times of all callbacks of one batch, and its results."""
    options = dict(options)
    batch_timeout = options.pop("batch_timeout", None)
    times: list[float] = []
    async with Fetcher(trust_env=False, retry=None, **options) as fetcher:
        with timed_callbacks(times):
            # In a task of its own: what builds the input has been timed otherwise.
            await asyncio.sleep(0)
            times.clear()
            results = await fetcher.fetch_many(items, batch_timeout=batch_timeout)
            await asyncio.sleep(0)
    return times, results


def main() -> None:
    """Print the table."""
    context = multiprocessing.get_context("spawn")
    urls, stop = context.Queue(), context.Event()
    server = context.Process(target=serve, args=(urls, stop), daemon=True)
    server.start()
    url = urls.get(timeout=30)
    gc.disable()
    asyncio.run(measure([url] * 10, {}))  # imports, and what is made once
    for name, items, options in works(url):
        times, results = asyncio.run(measure(items, options))
        begun = time.thread_time()
        results.summary()
        summary = time.thread_time() - begun
        del results
        gc.collect()
        longest = max(times) * 1_000
        print(f"{name:38} {longest:6.1f} ms  (summary {summary * 1_000:5.1f} ms)", flush=True)
    stop.set()
    server.join()


if __name__ == "__main__":
    main()
