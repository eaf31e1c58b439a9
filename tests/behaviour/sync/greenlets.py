"""Fetch where gevent has put greenlets in the place of threads, before or after our import."""

from __future__ import annotations

import sys

WAY, URL, PACKED = sys.argv[1:]

if WAY == "after":
    import asyncbatch

from gevent import monkey  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: E402

monkey.patch_all()

if WAY == "before":
    import asyncbatch

print(len(asyncbatch.fetch_many_sync([URL] * 10, timeout=10, retry=None).successes))
with asyncbatch.SyncFetcher(timeout=10, retry=None) as fetcher:
    print(len(fetcher.fetch_many([URL] * 10).successes))
    print(sum(result.ok for result in fetcher.stream([URL] * 10)))
    print(len(fetcher.fetch(PACKED).content))
