"""Use a fetcher in a child process that was forked while it was open."""

from __future__ import annotations

import os
import sys

from asyncbatch import FetcherClosed, SyncFetcher

with SyncFetcher() as fetcher:
    assert fetcher.fetch(sys.argv[1]).ok
    if (child := os.fork()) == 0:
        try:
            fetcher.fetch(sys.argv[1])
        except FetcherClosed as error:
            print("child:", error, flush=True)
        fetcher.__exit__(None, None, None)
        os._exit(7)  # as multiprocessing leaves a forked child
    _, status = os.waitpid(child, 0)
    assert fetcher.fetch(sys.argv[1]).ok
print("child exited with", os.waitstatus_to_exitcode(status))
