"""
A program that fetches on Dask or on Ray, and kills one of the engine's workers on the way.

`python on_engine.py dask OUT` prints what came of it as JSON. It is a program of its own because
the engines leave threads and sockets behind.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import httpx

from asyncbatch.cluster import RayExecutor, fetch_sharded, open_dataset
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply

HOSTS = 6
COUNT = 360
PER_HOST = 2
KILL_AT = 100


@contextlib.contextmanager
def dask() -> Iterator[tuple[Executor, Callable[[], int]]]:
    """Start Dask on this machine, and yield it with what names one of its processes."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
    )
    with cluster, Client(cluster) as client:
        yield client.get_executor(pure=False), lambda: min(each.pid for each in nannies(cluster))


def nannies(cluster: Any) -> list[Any]:
    """Return what starts the processes of Dask."""
    return [worker for worker in cluster.workers.values() if worker.pid]


@contextlib.contextmanager
def ray() -> Iterator[tuple[Executor, Callable[[], int]]]:
    """Start Ray on this machine, and yield it with what names one of its processes."""
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
    )
    try:
        yield RayExecutor(num_cpus=1), busy_with_ray
    finally:
        ray.shutdown()


def busy_with_ray() -> int:
    """Return a process of Ray that runs a shard; it calls itself by the function."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ray::run_shard" in (folder / "cmdline").read_bytes():
                return int(folder.name)
    raise RuntimeError("no process of Ray runs a shard")


def main(engine: str, out: str) -> None:
    """Fetch, with one worker killed, and print what came of it."""
    opened = {"dask": dask, "ray": ray}[engine]
    with LoopbackServer(hosts=HOSTS).in_thread() as site, opened() as (executor, a_worker):

        def answer(request: RecordedRequest) -> Reply:
            if site.statistics().requests == KILL_AT:
                os.kill(a_worker(), signal.SIGKILL)
            return Reply(body=request.path).delayed(0.02)

        site.on("*", answer)
        urls = [site.url(f"/{n}", host=1 + n % HOSTS) for n in range(COUNT)]
        reports = list(
            fetch_sharded(urls, out, executor=executor, workers=2, shards=3, per_host=PER_HOST)
        )
        rows = open_dataset(out).to_arrow().sort_by("index").to_pylist()
        found = {
            "errors": [report.error for report in reports if not report.ok],
            "tries": sorted(report.tries for report in reports),
            "is_whole": [row["content"].decode() for row in rows]
            == [httpx.URL(url).path for url in urls],
            "peak": max(site.statistics(n).peak_active for n in range(1, HOSTS + 1)),
            "requests": site.statistics().requests,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
