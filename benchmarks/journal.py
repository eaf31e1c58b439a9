"""
What a journal costs: `python -m benchmarks.journal [--million] [--folder DIR]`.

No server is needed: the results are made beforehand, and go through the output of a batch with a
journal. Times are of the CPU of a thread where that is what counts, and of the wall for the rate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from asyncbatch import Fetcher, Journal, Result, Success
from asyncbatch._batch._output import Collected
from asyncbatch._engine.http11._head import parse_head
from asyncbatch._files import Files
from asyncbatch._journal._open_journal import OpenJournal
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder

BODY = 1000
HEAD = parse_head(
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\n"
)


def answer() -> PlainResponseBuilder:
    """Return what the relay leaves of the head of a response, without its connection."""
    builder = PlainResponseBuilder.__new__(PlainResponseBuilder)
    builder.head, builder.status_code = HEAD, 200
    return builder


def results(count: int, offset: int = 0) -> list[Success]:
    """Make successes with bodies of a kilobyte that no compression shortens."""
    built = answer()
    course = (1.0, 1.1, 1.2, 1.3, 1.4, None, None, None, BODY)
    noise = os.urandom(BODY * 64)
    return [
        Success(
            index=offset + number,
            item=f"http://host.test/path/of/a/page/{offset + number}",
            url=None,
            elapsed=0.4,
            attempts=1,
            history=(),
            queued=0.0,
            throttled=0.0,
            network=course,
            content=noise[number % 60_000 :][: BODY - 20] + b"%020d" % number,
            response=built,
        )
        for number in range(count)
    ]


class Written(NamedTuple):
    """A journal that is open, and what puts results into it."""

    open_journal: OpenJournal
    put: Callable[[Result], object]


@contextlib.asynccontextmanager
async def written(path: Path, count: int) -> AsyncGenerator[Written]:
    """Open a journal as a batch does, with a key for each of `count` results."""
    async with Fetcher() as fetcher:
        shared: Any = fetcher._shared
        open_journal = OpenJournal(Journal(path), shared, Collected(), Files(None))
        await open_journal.open({}, print)
        open_journal.output.keys.update({index: b"%016d" % index for index in range(count)})
        yield Written(open_journal, open_journal.output.put)
        await open_journal.close()


async def writing(path: Path, count: int) -> dict[str, Any]:
    """
    Write results as a batch does, some hundred in each turn of the loop, as fast as it goes.

    The turns themselves take time of the loop's thread too, so they are made without a journal
    first, and their time is taken off.
    """
    made = results(count)
    plain = await _take_turns(Collected().put, made)
    async with written(path, count) as journal:
        kept = await _take_turns(journal.put, made, journal.open_journal.flush)
    size = (await anyio.Path(path).stat()).st_size
    return {
        "results a second, at most": count / kept.seconds,
        "µs of CPU in all a result": (kept.everything - plain.everything) / count * 1e6,
        "µs of the loop's thread a result": (kept.on_loop - plain.on_loop) / count * 1e6,
        "  of the turns alone": plain.on_loop / count * 1e6,
        "file ÷ bytes of the bodies": size / (count * BODY),
    }


RATE = 20_000
ROUNDS = 10


async def lagging(folder: Path) -> dict[str, Any]:
    """
    Measure how late the loop is while results are written at a steady rate.

    Rounds with and without a journal take turns, and the best of each counts: other programs make
    any of them worse. What the journal's own thread does to the loop is measured in its CPU time:
    the loop waits while that thread makes rows, and goes on while SQLite works on them.
    """
    made = results(RATE // 2)
    plain, kept, rates, steps = [], [], [], []
    for number in range(ROUNDS):
        plain.append((await _take_turns(Collected().put, made, rate=RATE)).lag)
        async with written(folder / f"{number}.db", len(made)) as journal:
            store: Any = journal.open_journal._writer._store
            store._connection = steps_of = _TimedConnection(store._connection)
            turns = await _take_turns(journal.put, made, journal.open_journal.flush, rate=RATE)
        kept.append(turns.lag)
        rates.append(len(made) / turns.seconds)
        steps += steps_of.between
    return {
        "results a second, steady": max(rates),
        "p99 of the loop's lag, ms": min(kept) * 1000,
        "  of the turns alone, ms": min(plain) * 1000,
        "the journal's thread in Python, ms": _p99(steps) * 1000,
    }


class _TimedConnection:
    """Notes the CPU time of its thread between two statements: it holds the interpreter then."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._since: float | None = None
        self.between: list[float] = []

    def execute(self, *arguments: Any) -> Any:
        if self._since is not None:
            self.between.append(time.thread_time() - self._since)
        try:
            return self._connection.execute(*arguments)
        finally:
            self._since = time.thread_time()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Turns(NamedTuple):
    """What the turns of a loop took, in seconds."""

    seconds: float
    on_loop: float
    everything: float
    lag: float


async def _take_turns(
    put: Callable[[Result], object],
    made: list[Success],
    flush: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
    *,
    rate: float | None = None,
) -> Turns:
    lags: list[float] = []
    busy = 0.0
    begun = due = time.perf_counter()
    cpu, everything = time.thread_time(), time.process_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_measure_lag, lags)
        for start in range(0, len(made), 100):
            for result in made[start : start + 100]:
                put(result)
            # The rest of a turn: what a batch does with a hundred requests in 5 ms.
            since = time.thread_time()
            while time.thread_time() - since < 0.002:
                os.getpid()
            busy += time.thread_time() - since
            now = time.perf_counter()
            due = now if rate is None else max(now, due + 100 / rate)
            await anyio.sleep(due - now)
        await flush()
        tasks.cancel_scope.cancel()
    return Turns(
        time.perf_counter() - begun,
        time.thread_time() - cpu - busy,
        time.process_time() - everything - busy,
        _p99(lags),
    )


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else 0.0


async def _measure_lag(lags: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await anyio.sleep(0.001)
        lags.append(max(0.0, time.perf_counter() - begun - 0.001))


async def resuming(path: Path, count: int) -> dict[str, Any]:
    """Serve a journal of finished requests."""
    urls = (f"http://host.test/path/of/a/page/{number}" for number in range(count))
    served = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    cpu = time.process_time()
    async with Fetcher() as fetcher, fetcher.stream(urls, journal=path) as stream:
        async for result in stream:
            served += result.from_journal
    assert served == count
    return {
        "seconds": time.perf_counter() - begun,
        "CPU seconds": time.process_time() - cpu,
        "MB more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


async def fill(path: Path, count: int) -> None:
    """Make a journal of finished requests, as a batch would have left it."""
    from asyncbatch._journal._identity import Identifier

    async with Fetcher() as fetcher:
        shared: Any = fetcher._shared
        open_journal = OpenJournal(Journal(path), shared, Collected(), Files(None))
        await open_journal.open({**fetcher._answer_options(), "key": None}, print)
        identifier: Identifier = open_journal._lookup._identifier  # type: ignore[assignment]
        for start in range(0, count, 5000):
            for result in results(min(5000, count - start), start):
                open_journal.output.keys[result.index] = identifier.identify(result._item).key
                open_journal.output.put(result)
            await open_journal.flush()
            open_journal.output._output._results.clear()  # type: ignore[attr-defined]
        await open_journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="resume a million finished requests")
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--folder", help="where the journals lie")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="journal-", dir=arguments.folder))
    try:
        figures = anyio.run(writing, folder / "run.db", arguments.count)
        for name, value in (figures | anyio.run(lagging, folder)).items():
            print(f"{name:<36}{value:>12.2f}")
        count = 1_000_000 if arguments.million else 50_000
        anyio.run(fill, folder / "finished.db", count)
        print(f"{count:,} finished requests resumed:")
        # In a process of its own: the memory of making them is not that of serving them.
        process = os.fork()
        if not process:
            for name, value in anyio.run(resuming, folder / "finished.db", count).items():
                print(f"  {name:<34}{value:>12.2f}", flush=True)
            os._exit(0)
        os.waitpid(process, 0)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
