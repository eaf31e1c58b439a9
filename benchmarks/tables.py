"""
What tables of results cost: `python -m benchmarks.tables [--million] [--engines [COUNT]]`.

The results are made beforehand, so that only the tables are measured. With `--engines`, URLs in a
table are fetched from nginx, by `asyncbatch.arrow.fetch_batches` and by what engines have of their
own; those that are not installed are left out. Times are of the CPU, of all processes and threads.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from asyncbatch import Results, Success
from asyncbatch._engine.http11._head import parse_head
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder
from asyncbatch._results._table_file import ParquetFile
from benchmarks.journal import results
from benchmarks.origin import running_nginx

ROWS_OF_A_BATCH = 2_000

ENGINES = {
    "asyncbatch": "pyarrow",
    "daft": "daft",
    "ray": "ray",
    "polars-api": "polars_api",
}
"""What fetches the URLs of a table, with the module that it needs."""


def with_heads(made: list[Success]) -> list[Success]:
    """Return results each of which has a head of its own, as of a server that sends an `ETag`."""
    return [attrs.evolve(each, response=_answer(each.index)) for each in made]


def _answer(number: int) -> PlainResponseBuilder:
    builder = PlainResponseBuilder.__new__(PlainResponseBuilder)
    builder.head = parse_head(
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n"
        b'ETag: "%d"\r\nContent-Length: 1000\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\n' % number
    )
    builder.status_code = 200
    return builder


def measure(name: str, count: int, work: Callable[[], object]) -> None:
    """Print the CPU time of some work, and that of a row."""
    gc.collect()
    begun = time.process_time()
    made = work()
    seconds = time.process_time() - begun
    del made
    print(f"{name:<40}{seconds:>9.2f} s{seconds / count * 1e6:>9.2f} µs a row", flush=True)


def tables(count: int) -> None:
    """Make tables of results with bodies of a kilobyte."""
    import pyarrow as pa
    import pyarrow.compute

    # Loading is no part of a table, and pyarrow loads pandas with its first array.
    pa.array([1])
    made = results(count)
    plain = Results(made, duration=1.0)
    print(f"{count:,} results of a kilobyte, CPU:")
    measure("to_arrow", count, plain.to_arrow)
    measure("to_arrow, again", count, plain.to_arrow)
    some = min(count, 100_000)
    first = plain[:some]
    measure(
        f"to_arrow of {some:,}, heads unlike",
        some,
        Results(with_heads(made[:some]), duration=1).to_arrow,
    )
    measure(f"to_dicts of {some:,}", some, first.to_dicts)
    with tempfile.TemporaryDirectory() as folder:
        measure(f"to_jsonl of {some:,}", some, lambda: first.to_jsonl(Path(folder, "x.jsonl")))
        measure(
            f"a stream to Parquet, {some:,}",
            some,
            lambda: ParquetFile(Path(folder, "x.parquet")).write_all(iter(first)),
        )


# Engines


def engines(count: int) -> None:
    """Fetch the URLs of a table by each engine that is installed, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, running_nginx(Path(folder)) as ports:
        url = f"http://127.0.0.1:{ports.plain}/json"
        print(f"{count:,} small URLs in batches of {ROWS_OF_A_BATCH:,}, CPU:")
        ours = 0.0
        for name, module in ENGINES.items():
            if importlib.util.find_spec(module) is None:
                print(f"{name:<20}{'not installed':>16}")
                continue
            command = [sys.executable, "-m", "benchmarks.tables", "--engine", name]
            done = subprocess.run(
                [*command, "--url", url, "--count", str(count)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"{name:<20}{'failed':>16}: {done.stderr.strip().splitlines()[-1:]}")
                continue
            cost = json.loads(done.stdout.splitlines()[-1])
            ours = ours or cost
            print(f"{name:<20}{cost:>12.1f} µs{cost / ours:>9.1f} times ours", flush=True)


def engine(name: str, url: str, count: int) -> None:
    """Fetch a table by one engine, and print the µs of CPU for each URL."""
    urls = [f"{url}?{number}" for number in range(count)]
    fetch = {"asyncbatch": _ours, "daft": _daft, "ray": _ray, "polars-api": _polars_api}[name]
    take = fetch(urls)
    begun = _cpu()
    sizes = take()
    spent = _cpu() - begun
    assert len(sizes) == count
    assert set(sizes) == {17}, set(sizes)
    print(json.dumps(spent / count * 1e6))


def _cpu() -> float:
    """Return the seconds of CPU of this process and of those below it."""
    ticks, parents = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # Of children that have ended, too.
            ticks[int(folder.name)] = sum(map(int, fields[11:15]))
            parents[int(folder.name)] = int(fields[1])
    mine = os.getpid()
    total = 0
    for pid in ticks:
        above = pid
        while above not in (mine, 0) and above in parents:
            above = parents[above]
        total += ticks[pid] if above == mine else 0
    return total / os.sysconf("SC_CLK_TCK")


Take = Callable[[], list[int]]


def _ours(urls: list[str]) -> Take:
    import pyarrow as pa
    import pyarrow.compute as pc

    from asyncbatch.arrow import fetch_batches

    table = pa.table({"url": urls})

    def take() -> list[int]:
        found: list[int] = []
        for batch in fetch_batches(table.to_batches(max_chunksize=ROWS_OF_A_BATCH)):
            found += pc.binary_length(batch.column("content")).to_pylist()
        return found

    list(fetch_batches(table.slice(0, 10)))
    return take


def _daft(urls: list[str]) -> Take:
    import daft
    from daft.functions import download

    def sizes(some: list[str]) -> list[int]:
        frame = daft.from_pydict({"url": some}).into_batches(ROWS_OF_A_BATCH)
        found = frame.with_column("body", download(daft.col("url"), max_connections=100))
        return [len(body) for body in found.to_pydict()["body"]]

    sizes(urls[:10])
    return lambda: sizes(urls)


def _ray(urls: list[str]) -> Take:
    import ray
    from ray.data.expressions import download

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False

    def sizes(some: list[str]) -> list[int]:
        data = ray.data.from_items([{"url": url} for url in some])
        found = data.with_column("body", download("url"))
        return [len(row["body"]) for row in found.iter_rows()]

    sizes(urls[:10])
    return lambda: sizes(urls)


def _polars_api(urls: list[str]) -> Take:
    import polars
    import polars_api  # type: ignore[import-not-found]  # noqa: F401

    def sizes(some: list[str]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(some), ROWS_OF_A_BATCH):
            frame = polars.DataFrame({"url": some[start : start + ROWS_OF_A_BATCH]})
            bodies: Any = frame.select(polars.col("url").api.aget())
            found += [len(body) for body in bodies.to_series().to_list()]
        return found

    sizes(urls[:10])
    return lambda: sizes(urls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="tables of a million results")
    parser.add_argument(
        "--engines", type=int, nargs="?", const=20_000, metavar="COUNT", help="fetch by engines"
    )
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        engine(arguments.engine, arguments.url, arguments.count)
    elif arguments.engines:
        engines(arguments.engines)
    else:
        tables(1_000_000 if arguments.million else 100_000)


if __name__ == "__main__":
    main()
