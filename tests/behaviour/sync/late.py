"""Fetch for the first time when the main thread has ended: in a thread, or as the program exits."""

from __future__ import annotations

import atexit
import sys
import threading

import asyncbatch

WAY, URL, PACKED = sys.argv[1:]


def late() -> None:
    try:
        results = asyncbatch.fetch_many_sync([URL, PACKED], trust_env=False, retry=None)
        print([result.ok or result.error for result in results], flush=True)
        with asyncbatch.SyncFetcher(trust_env=False, retry=None) as fetcher:
            print(len(fetcher.fetch(PACKED).content), flush=True)
            print(sum(result.ok for result in fetcher.stream([URL] * 3)), flush=True)
    except RuntimeError as error:
        # Since Python 3.12 no thread can be started then: there, only the first line comes.
        print(error, flush=True)


def after_main() -> None:
    threading.main_thread().join()
    late()


if WAY == "atexit":
    atexit.register(late)
else:
    threading.Thread(target=after_main).start()
