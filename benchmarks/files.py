"""
Bodies that go to files, beside curl and beside aiohttp with aiofiles: `python -m benchmarks.files`.

Both write to folders of one disk, in turns. Ours also syncs each file before it gets its name,
which the others do not. So what one has left to be written is brought to the disk before the next
one begins, which would wait for it otherwise. On a machine that does other things, compare the CPU
times.

The small files of each round go to a new folder, and all of them are removed at the end: ext4
without a journal does not use an inode again for a minute or more, and looks at each that it passes
over. With those of a few rounds removed, making a file takes 230 to 390 instead of 10 to 30 µs, on
both sides. A second run within five minutes pays this; give it a folder on another disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from asyncbatch import Fetcher, Folder, Request
from benchmarks.origin import find_nginx

LARGE = 1024**3
SMALL, COUNT = 20_000, 2_000
CONCURRENCY = 100
ROUNDS = 3

CONFIGURATION = """
{user} daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}/www; }}
}}
"""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run nginx with a large file and many small ones; yield its URL."""
    program = find_nginx()
    if program is None:
        sys.exit("nginx is missing: apt install nginx-light")
    www = folder / "www"
    www.mkdir()
    with (www / "large").open("wb") as file:
        for _ in range(LARGE // 2**20):
            file.write(os.urandom(2**20))
    for number in range(COUNT):
        (www / str(number)).write_bytes(os.urandom(SMALL))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = "user root root;" if os.geteuid() == 0 else ""
    configuration = folder / "conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, user=user))
    with subprocess.Popen([program, "-p", str(folder), "-c", str(configuration)]) as server:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)


async def ours_large(url: str, out: Path) -> None:
    """Fetch the large file."""
    async with Fetcher() as fetcher:
        result = await fetcher.fetch(Request(f"{url}/large", to=out / "ours"))
    assert result.size == LARGE, result


async def ours_small(url: str, out: Path) -> None:
    """Fetch the small files."""
    urls = [f"{url}/{number}" for number in range(COUNT)]
    async with Fetcher(concurrency=CONCURRENCY) as fetcher:
        results = await fetcher.fetch_many(urls, to=Folder(out))
    results.raise_for_failures()


async def theirs_small(url: str, out: Path) -> None:
    """Fetch the small files with aiohttp, and write them with aiofiles."""
    import aiofiles
    import aiohttp

    slots = asyncio.Semaphore(CONCURRENCY)
    async with aiohttp.ClientSession() as session:

        async def one(number: int) -> None:
            async with (
                slots,
                session.get(f"{url}/{number}") as response,
                aiofiles.open(out / str(number), "wb") as file,
            ):
                async for chunk in response.content.iter_chunked(65536):
                    await file.write(chunk)

        await asyncio.gather(*map(one, range(COUNT)))


def curl_large(url: str, out: Path) -> None:
    """Fetch the large file with curl."""
    subprocess.run(["curl", "-sf", "-o", out / "curl", f"{url}/large"], check=True)


def measured(work: Callable[[Path], object], folder: Path) -> tuple[float, float]:
    """Return the seconds that some work in a new folder takes, and those of processor time."""
    out = Path(tempfile.mkdtemp(dir=folder))
    os.sync()
    begun, spent = time.perf_counter(), _processor_time()
    work(out)
    seconds = time.perf_counter() - begun, _processor_time() - spent
    for name in ("ours", "curl"):  # the large file
        (out / name).unlink(missing_ok=True)
    return seconds


def _processor_time() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def in_loop(function: Callable[[str, Path], Awaitable[None]], url: str) -> Any:
    """Return what runs a function in an event loop of its own, given the folder to write to."""
    return lambda out: asyncio.run(function(url, out))  # type: ignore[arg-type]  # a coroutine


def compare(name: str, ours: Any, theirs: Any, folder: Path) -> None:
    """Print the times of both, and the ratios of the medians."""
    rounds = [(measured(ours, folder), measured(theirs, folder)) for _ in range(ROUNDS)]
    (wall, spent), (their_wall, their_spent) = (
        [sorted(each[side][at] for each in rounds)[ROUNDS // 2] for at in range(2)]
        for side in range(2)
    )
    print(
        f"{name}: {wall:.2f} s ({spent:.2f} s of CPU) against {their_wall:.2f} s "
        f"({their_spent:.2f} s); theirs / ours {their_wall / wall:.2f} ({their_spent / spent:.2f})"
    )


async def peak_of(url: str, out: Path, count: int) -> float:
    """Return the most MiB of Python objects at a time while the large file is fetched so often."""
    to = Folder(out, exists="rename")
    async with Fetcher() as fetcher:
        await fetcher.fetch(f"{url}/0", to=to)  # whatever is made once
        tracemalloc.start()
        results = await fetcher.fetch_many([f"{url}/large"] * count, to=to, batch_timeout=5.0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(results) == count
    return peak / 2**20


def memory_of_a_file(url: str, out: Path) -> float:
    """Return the MiB that each further file under way takes."""
    one, many = (asyncio.run(peak_of(url, out, count)) for count in (1, 9))
    return (many - one) / 8


def main() -> None:
    """Measure and print."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as name, serving(Path(name)) as url:
        folder = Path(name)
        large = in_loop(ours_large, url)
        if shutil.which("curl"):
            compare("1 GiB, beside curl", large, lambda out: curl_large(url, out), folder)
        try:
            theirs = in_loop(theirs_small, url)
            small = in_loop(ours_small, url)
            compare("2,000 files of 20 KB, beside aiohttp and aiofiles", small, theirs, folder)
        except ImportError as error:
            print(error)
        out = Path(tempfile.mkdtemp(dir=folder))
        print(f"memory of one file under way: {memory_of_a_file(url, out):.2f} MiB")


if __name__ == "__main__":
    main()
