"""Fetch the lines of a compressed file with two processes, and what failed once more."""

import gzip
import sys

import polars as pl

from asyncbatch.cluster import fetch_sharded, open_dataset


def main(source: str, out: str) -> None:
    with gzip.open(source, "rt") as lines:
        urls = (line.strip() for line in lines)
        for report in fetch_sharded(urls, f"{out}/first", executor=2, per_host=10):
            print(report.shard, report.requests, report.error or "done", flush=True)
    first = open_dataset(f"{out}/first")
    failed = first.scan().filter(~pl.col("ok")).select("url").collect()["url"].to_list()
    for report in fetch_sharded(failed, f"{out}/again", executor=2, per_host=10):
        print(report.shard, report.requests, report.error or "done", flush=True)
    for summary in (first.summary(), open_dataset(f"{out}/again").summary()):
        print(summary.total, summary.succeeded, summary.failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
