"""
One measurement, in a process of its own: its CPU time and its memory are the client's alone.

`python -m benchmarks.worker JSON` prints one line of JSON. Started by `rounds.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from benchmarks import layers, s_time, wrk
from benchmarks.clients import find_client
from benchmarks.entrant import Fetch, Setting, Unavailable, WrongAnswer
from benchmarks.origin import requests_served
from benchmarks.workloads import (
    BY_NAME,
    RESOURCES,
    Workload,
    asked,
    ideal_makespan,
    numbered,
    paced_urls,
    slow_urls,
)

if TYPE_CHECKING:
    import asyncbatch

# Each connection is warm, and one look at the cost is not spoilt by a hiccup.
_LEAST_CALIBRATION = 200
# Requests after which a process takes no longer for its batches because it is new.
_WARM = 4_000
# How much of a measurement it takes to say how long that will be.
_LEAST_SHARE = 0.2
# Results on the way of a stream at which the memory is looked at.
_LOOKS = 100


@dataclass(frozen=True)
class Servers:
    """Where the servers are."""

    origin: str
    """Scheme, host and port of nginx, as the workload has it."""
    port: int
    """nginx's port without TLS."""
    slow_port: int
    """That of the slow server, with or without TLS as the workload has it."""
    ca_file: str
    proxy: str | None = None
    """The URL of squid, where it runs."""


@dataclass(frozen=True)
class Job:
    """What a worker is to do."""

    workload: str
    client: str
    loop: str
    seconds: float
    """How long a measurement is to take, where that is free."""
    core: int | None
    servers: Servers

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the job that was written as JSON."""
        values = json.loads(text)
        return cls(**{**values, "servers": Servers(**values["servers"])})

    def setting(self) -> Setting:
        """Return what the client is set up for."""
        workload = BY_NAME[self.workload]
        resource_ = RESOURCES[workload.resource]
        first_url = self.servers.origin + resource_.path
        proxy = self.servers.proxy if workload.way == "proxy" else None
        return Setting(workload, resource_.content, self.servers.ca_file, first_url, proxy)


Figures = dict[str, Any]


class Meter:
    """Wall clock, CPU and memory of this process, from when it is made."""

    def __init__(self) -> None:
        # The peak that the process has reached so far, while it imported, is forgotten.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._base = memory("VmRSS")
        self._cpu = cpu_seconds()
        self._begun = time.perf_counter()

    def figures(self, requests: int) -> Figures:
        """Return what has been spent on `requests` since."""
        wall = time.perf_counter() - self._begun
        cpu = cpu_seconds() - self._cpu
        peak = memory("VmHWM")
        return {
            "requests": requests,
            "wall": wall,
            "cpu": cpu,
            "peak_memory": peak,
            "memory_growth": max(0, peak - self._base),
        }


def memory(name: str) -> int:
    """Return a figure of /proc/self/status in bytes; there `VmHWM` is this process's own peak."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cpu_seconds() -> float:
    """Return the CPU time that this process has taken, all threads of it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(job: Job) -> Figures:
    """Measure one client with one workload."""
    setting = job.setting()
    workload = setting.workload
    if workload.kind == "stream":
        return await measure_stream(setting, job.servers.port)
    if workload.kind == "opening":
        return await measure_opening(setting, job.servers.slow_port)
    async with find_client(job.client)(setting) as fetch:
        if workload.kind == "makespan":
            return await measure_makespan(fetch, workload, job.servers.slow_port)
        if workload.kind == "pace":
            return await measure_pace(fetch, workload, job.servers.slow_port)
        if workload.kind == "batches":
            return await measure_batches(fetch, setting, job)
        return await measure_rate(fetch, setting, job)


async def measure_rate(fetch: Fetch, setting: Setting, job: Job) -> Figures:
    """Fetch for about so many seconds, once all connections are open."""
    least = 2 * max(setting.connections, setting.workload.hosts or 1)
    await fetch(asked(setting.workload, setting.first_url, least))
    count = least if setting.workload.is_large else max(least, _LEAST_CALIBRATION)
    # To begin takes time as well, of which a short batch would tell more than of the rest.
    while (spent := await _timed(fetch, setting, count)) < job.seconds * _LEAST_SHARE:
        count *= 4
    count = max(least, int(count * job.seconds / spent))
    with checked_count(job.servers.port, count * RESOURCES[setting.workload.resource].hops):
        meter = Meter()
        await fetch(asked(setting.workload, setting.first_url, count))
        return meter.figures(count)


async def measure_batches(fetch: Fetch, setting: Setting, job: Job) -> Figures:
    """Fetch batches of a fixed size, for about so many seconds and one at least."""
    count = setting.workload.count
    assert count is not None
    await _timed(fetch, setting, _LEAST_CALIBRATION)
    # Several where they are short: with one, a hiccup made 11 batches of 120, on a new process.
    least = min([await _timed(fetch, setting, count) for _ in range(-(-_WARM // count))])
    batches = max(1, int(job.seconds / least))
    with checked_count(job.servers.port, count * batches):
        meter = Meter()
        for _ in range(batches):
            await fetch(asked(setting.workload, setting.first_url, count))
        return meter.figures(count * batches)


async def _timed(fetch: Fetch, setting: Setting, count: int) -> float:
    """Return the seconds that so many requests take."""
    begun = time.perf_counter()
    await fetch(asked(setting.workload, setting.first_url, count))
    return time.perf_counter() - begun


async def measure_makespan(fetch: Fetch, workload: Workload, port: int) -> Figures:
    """Fetch everything from the slow server, and compare with the least time that it can take."""
    urls = slow_urls(workload, port)
    meter = Meter()
    await fetch(urls)
    figures = meter.figures(len(urls))
    return {**figures, "makespan_ratio": figures["wall"] / ideal_makespan(workload)}


async def measure_pace(fetch: Fetch, workload: Workload, port: int) -> Figures:
    """Fetch a fixed number from the slow server, once all connections are open."""
    urls = paced_urls(workload, port)
    await fetch(urls[: 2 * workload.connections])
    meter = Meter()
    await fetch(urls)
    return meter.figures(len(urls))


async def measure_stream(setting: Setting, port: int) -> Figures:
    """Stream a fixed number of requests through `Fetcher.stream`, and watch the memory."""
    from benchmarks.ours import checking, open_fetcher

    workload, check = setting.workload, checking(setting)
    assert workload.count is not None
    step = max(1, workload.count // _LOOKS)
    async with open_fetcher(setting) as fetcher:

        async def stream(count: int, look: Callable[[int], None]) -> None:
            done = 0
            async with fetcher.stream(numbered(setting.first_url, count)) as results:
                async for result in results:
                    check(result)
                    done += 1
                    if done % step == 0:
                        look(done)
            assert done == count, f"{done} results of {count} requests"

        await stream(5_000, lambda _: None)
        curve: list[tuple[int, int]] = []
        total = workload.count * workload.repeats
        with checked_count(port, total):
            meter = Meter()
            for _ in range(workload.repeats):
                await stream(workload.count, lambda done: curve.append((done, memory("VmRSS"))))
            figures = meter.figures(total)
    return {**figures, "memory_curve": curve[:_LOOKS]}


async def measure_opening(setting: Setting, port: int) -> Figures:
    """
    Begin as many requests as there are slots, and see when all of them have been sent.

    The server answers none of them meanwhile. Each has a connection that an earlier batch opened.
    `beyond` is what the slots cost without their requests, as far as the client can tell: the CPU
    time of as many requests that are answered at once, less that of the same ones by 100 slots.
    """
    from benchmarks.ours import checking, open_fetcher

    workload, check = setting.workload, checking(setting)
    slots = workload.connections

    few = replace(setting, workload=replace(workload, connections=100))

    def held(count: int, latency: float = workload.latency) -> list[str]:
        return list(numbered(f"http://127.0.0.1:{port}/{latency}", count))

    async with open_fetcher(setting) as fetcher, open_fetcher(few) as narrow:

        async def finish(batch: Awaitable[asyncbatch.Results]) -> None:
            for result in await batch:
                check(result)

        # A host that has just answered for the first time is not given all of them at once.
        await finish(fetcher.fetch_many(held(4 * slots)))
        walls, cpus = [], []
        for _ in range(workload.repeats):
            urls = held(slots)
            gc.collect()
            begun, cpu = time.perf_counter(), cpu_seconds()
            batch = asyncio.ensure_future(fetcher.fetch_many(urls))
            # Not `statistics`, which looks at the hosts in each of these turns as well.
            taken = fetcher._slots
            assert taken is not None
            while taken.taken < slots and not batch.done():  # noqa: ASYNC110  # each turn
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # requests are sent at the end of the turn
            walls.append(time.perf_counter() - begun)
            cpus.append(cpu_seconds() - cpu)
            if batch.done():
                raise WrongAnswer("the server did not hold its answers")
            await finish(batch)

        async def cost(of: asyncbatch.Fetcher) -> float:
            urls = held(slots, 0.0)
            gc.collect()
            cpu = cpu_seconds()
            results = await of.fetch_many(urls)
            cpu = cpu_seconds() - cpu
            for result in results:
                check(result)
            return cpu

        await cost(narrow)
        # In turn, so that other load is on both.
        pairs = [(await cost(fetcher), await cost(narrow)) for _ in range(workload.repeats)]
    return {
        "requests": slots * workload.repeats,
        "wall": sum(walls),
        "cpu": sum(cpus),
        "beyond": median(wide - few_slots for wide, few_slots in pairs),
    }


@contextlib.contextmanager
def checked_count(port: int, count: int) -> Iterator[None]:
    """
    Check at the server that it had as many requests as the client says.

    Raises:
        WrongAnswer: It had more or fewer.
    """
    before = requests_served(port)
    yield
    # The second look is a request itself.
    served = requests_served(port) - before - 1
    if served != count:
        raise WrongAnswer(f"{count} requests were made, and the server had {served}")


def prepare_process(core: int | None) -> None:
    """Keep to one core, and allow as many descriptors as the system does."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(loop: str, function: Callable[[Job], Coroutine[Any, Any, Figures]], job: Job) -> Figures:
    """Run a coroutine function on the loop that is asked for."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(function(job))


def answer(job: Job) -> Figures:
    """Do the job and return its figures, or why it cannot be done."""
    prepare_process(job.core)
    try:
        if job.client == "wrk":
            return wrk.measure(job.setting(), job.seconds)
        if job.client == "openssl s_time":
            return s_time.measure(job.setting(), job.seconds)
        if job.client == "layers":
            return {"layers": layers.measure(job.seconds)}
        return run(job.loop, measure, job)
    except (ImportError, Unavailable) as error:
        return {"unavailable": str(error)}


if __name__ == "__main__":
    print(json.dumps(answer(Job.read(sys.argv[1]))))
