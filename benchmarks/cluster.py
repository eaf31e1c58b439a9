"""
What shards cost, and what a second process brings: `python -m benchmarks.cluster`.

The server is two processes that answer each request after 5 ms, so that it is not the limit. With
20 slots for each worker, one worker waits most of its time, as it does for servers on the internet.
What the machine allows is measured beside it: two processes that have nothing to do with each
other, and know neither shards nor journals, against one.
The last table is no measurement: it plays a hundred million URLs on a hundred workers.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from asyncbatch import Fetcher, Rate
from asyncbatch.cluster import fetch_sharded
from asyncbatch.cluster._load import load_of
from asyncbatch.cluster._packing import pack

DELAY = 0.005
SLOTS = 20
HOSTS = 40
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n" + b'{"message":"hi"}\n'


class Server(asyncio.Protocol):
    """Answers each request after a delay."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(data.count(b"\r\n\r\n")):
            loop.call_later(DELAY, self._transport.write, ANSWER)


def serve(found: Connection) -> None:
    """Serve until the process is ended."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "0.0.0.0", 0)
        found.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def servers(count: int) -> Iterator[list[int]]:
    """Run servers in processes of their own, and yield their ports."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    processes = [context.Process(target=serve, args=(sender,), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield [receiver.recv() for _ in processes]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def urls_of(ports: list[int], count: int) -> list[str]:
    hosts = [f"127.0.0.{1 + n}:{ports[n % len(ports)]}" for n in range(HOSTS)]
    return [f"http://{hosts[n % HOSTS]}/{n}" for n in range(count)]


def busy_seconds(urls: list[str], processes: int) -> float:
    """Return the seconds from the first start of a shard to the last end."""
    with tempfile.TemporaryDirectory() as folder:
        reports = list(
            fetch_sharded(urls, folder, executor=processes, shards=2 * processes, concurrency=SLOTS)
        )
    assert all(report.ok for report in reports), [report.error for report in reports]
    begun = [report.started.timestamp() for report in reports if report.started is not None]
    # From the first start of a shard on: processes start before that, once.
    last = [start + report.seconds for start, report in zip(begun, reports, strict=True)]
    return max(last) - min(begun)


def fetch_alone(urls: list[str], start: Any, found: Connection) -> None:
    """Fetch without shards, from a common start on, and send the beginning and the end."""

    async def main() -> None:
        async with Fetcher(concurrency=SLOTS) as fetcher:
            await fetcher.fetch_many(urls[:HOSTS])
            start.wait()
            begun = time.time()
            results = await fetcher.fetch_many(urls)
            ended = time.time()
        assert len(results.successes) == len(urls)
        found.send((begun, ended))

    asyncio.run(main())


def plain_seconds(urls: list[str], processes: int) -> float:
    """Return the same of processes that fetch their part of the hosts each, on their own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    start = context.Barrier(processes)
    started = [
        context.Process(target=fetch_alone, args=(urls[part::processes], start, sender))
        for part in range(processes)
    ]
    for process in started:
        process.start()
    found: list[tuple[float, float]] = [receiver.recv() for _ in started]
    for process in started:
        process.join()
    return max(ended for _, ended in found) - min(begun for begun, _ in found)


def measure_two(ports: list[int], count: int, rounds: int) -> None:
    urls = urls_of(ports, count)
    ratios, ceilings, shares = [], [], []
    for _ in range(rounds):
        one, two = busy_seconds(urls, 1), busy_seconds(urls, 2)
        plain_one, plain_two = plain_seconds(urls, 1), plain_seconds(urls, 2)
        ratios.append(one / two)
        ceilings.append(plain_one / plain_two)
        shares.append(ratios[-1] / ceilings[-1])
        print(f"  1 process {count / one:7,.0f}/s   2 processes {count / two:7,.0f}/s", flush=True)
        print(f"  alone     {count / plain_one:7,.0f}/s   two alone   {count / plain_two:7,.0f}/s")
    for name, found in (
        ("two processes against one", ratios),
        ("two that know nothing of each other", ceilings),
        ("the first by the second", shares),
    ):
        shown = ", ".join(f"{each:.2f}" for each in found)
        print(f"{name:<36}{statistics.median(found):.2f} ({shown})", flush=True)


def measure_shards(ports: list[int], rounds: int) -> None:
    """Print what a shard of one request costs, in a process that has its libraries loaded."""
    urls = urls_of(ports, HOSTS)
    here, apart = [], []
    for _ in range(rounds):
        with ThreadPoolExecutor(1) as threads:
            here.append(cost_of_shard(urls, threads))
        apart.append(cost_of_shard(urls, 1))
    wall, processor = (1000 * statistics.median(times) for times in zip(*here, strict=True))
    other = 1000 * statistics.median(wall for wall, _ in apart)
    print(f"a shard of one request: {wall:.0f} ms, {processor:.0f} ms of CPU")
    print(f"the same in a process of its own, which has been started: {other:.0f} ms", flush=True)


def cost_of_shard(urls: list[str], executor: Executor | int) -> tuple[float, float]:
    """Return the seconds of a shard, and those of CPU of this process."""
    with tempfile.TemporaryDirectory() as folder:
        # With one slot, each host is a shard.
        reports = fetch_sharded(urls, folder, executor=executor, shards=HOSTS, concurrency=1)
        # Without the first one, which loads what it needs, and without the end of a process.
        counts, walls, processors = zip(
            *((each.requests, time.perf_counter(), time.process_time()) for each in reports),
            strict=True,
        )
    assert counts == (1,) * HOSTS
    count = len(walls) - 1
    return (walls[-1] - walls[0]) / count, (processors[-1] - processors[0]) / count


def makespan(seconds: list[float], workers: int) -> float:
    """Return when the last worker is done."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 3600:,.1f} h"


def simulate(workers: int = 100, slots: int = 100, latency: float = 0.2) -> Iterator[str]:
    """Yield the rows of the table in `docs/scaling.md`."""
    total = sum(1 / n for n in range(1, 100_001))
    skewed = [max(1, round(1e8 / total / n)) for n in range(1, 100_001)]
    for name, counts, per_host, rate in (
        ("none", skewed, None, None),
        ("`per_host=8`", skewed, 8, None),
        ("`rate=Rate(100)`", skewed, None, Rate(100)),
        ("`per_host=8`, and all hosts of one size", [1000] * 100_000, 8, None),
    ):
        loads = [
            load_of("h", n, latency=latency, concurrency=slots, per_host=per_host, rate=rate)
            for n in counts
        ]
        packed = pack(loads, workers=workers, concurrency=slots, shards=8 * workers)
        alone = max(load.seconds for load in loads)
        work = sum(load.work for load in loads) / slots
        planned = makespan([shard.seconds for shard in packed], workers)
        useful = -(-work // alone)
        yield (
            f"| {name} | {shown(alone)} | {shown(work / workers)} | {shown(planned)} "
            f"| {useful:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--paper", action="store_true", help="only play the hundred million URLs")
    arguments = parser.parse_args()
    if not arguments.paper:
        with servers(2) as ports:
            measure_shards(ports, arguments.rounds)
            measure_two(ports, arguments.requests, arguments.rounds)
    print(*simulate(), sep="\n")


if __name__ == "__main__":
    main()
