"""Exit with a fetcher that nobody closed, in the state named on the command line."""

from __future__ import annotations

import contextlib
import sys
import threading

from asyncbatch import FetcherClosed, SyncFetcher

STATE, URL, HANGING = sys.argv[1:]


def wait() -> None:
    with contextlib.suppress(FetcherClosed):
        fetcher.fetch(HANGING)


fetcher = SyncFetcher().__enter__()
assert fetcher.fetch(URL).ok
if STATE == "streaming":
    stream = fetcher.stream([URL, HANGING], ordered=True)
    assert next(stream).ok
if STATE == "waiting":
    threading.Thread(target=wait, daemon=True).start()
if STATE == "raising":
    raise SystemExit(3)
if STATE == "closed":
    fetcher.__exit__(None, None, None)
print("last line")
