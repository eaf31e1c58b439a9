"""
Interrupt the plain API before each line of it in turn, and see what that leaves.

Writes how many places there were; a place at which something hangs or is left ends the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import asyncbatch
from asyncbatch import FetcherClosed, SyncFetcher, fetch_many_sync

WAY, URL = sys.argv[1:]
SOURCE = str(Path(asyncbatch.__file__).parent)
SECONDS = 60.0


class Interrupter:
    """Raises KeyboardInterrupt before the n-th line of ours that the main thread runs."""

    def __init__(self, line: int) -> None:
        self.left = line
        self.source = SOURCE

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self.source):
            return None
        if event == "line" and self.left and is_reached_by_signals(frame):
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def is_reached_by_signals(frame: FrameType) -> bool:
    """
    Whether a signal can raise there: Python looks for them at calls, not between two statements.

    The head of a `with` comes up once more at its end, behind the last call of its body.
    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return not line.startswith(("with ", "try:"))


def fetch_many(urls: list[str]) -> None:
    with SyncFetcher(trust_env=False) as fetcher:
        fetcher.fetch_many(urls)


def stream(urls: list[str]) -> None:
    with SyncFetcher(trust_env=False) as fetcher:
        for _ in fetcher.stream(urls):
            pass


def survived(urls: list[str]) -> None:
    """Go on with the same fetcher after the interrupt."""
    with SyncFetcher(trust_env=False) as fetcher:
        try:
            fetcher.fetch_many(urls)
        except KeyboardInterrupt:
            try:
                assert len(fetcher.fetch_many(urls).successes) == len(urls)
            except FetcherClosed as error:
                raise AssertionError from error
            raise


def left_free(urls: list[str]) -> None:
    """Interrupt the beginning of a stream: its journal is free for another one at once."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "run.db")
        with opened() as (fetcher, traced):
            try:
                with traced:
                    stream = fetcher.stream(urls, journal=journal)
            except KeyboardInterrupt:
                with fetcher.stream(urls, journal=journal) as again:
                    assert len(list(again)) == len(urls)
                raise
            with stream:
                assert len(list(stream)) == len(urls)


def left_idle(urls: list[str]) -> None:
    """Interrupt the beginning of a stream: nothing fetches for it any more."""
    with opened() as (fetcher, traced):
        try:
            with traced:
                stream = fetcher.stream(urls * 200, backlog=1)
        except KeyboardInterrupt:
            while fetcher.statistics().batches:
                time.sleep(0.001)
            raise
        stream.close()


@contextlib.contextmanager
def opened() -> Iterator[tuple[SyncFetcher, contextlib.AbstractContextManager[None]]]:
    """
    Open a fetcher, uninterrupted; it comes with a context that is interrupted.

    There, only in the plain API itself: the rest makes values, and holds nothing.
    """
    tracer: Any = sys.gettrace()
    tracer.source = str(Path(SOURCE, "_sync"))
    sys.settrace(None)

    @contextlib.contextmanager
    def traced() -> Iterator[None]:
        sys.settrace(tracer)
        try:
            yield
        finally:
            sys.settrace(None)

    with SyncFetcher(trust_env=False) as fetcher:
        yield fetcher, traced()


def in_a_notebook(urls: list[str]) -> None:
    """Where a loop runs already: a thread of ours for the call alone."""

    async def cell() -> None:
        fetch_many_sync(urls, trust_env=False)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()


WAYS: dict[str, Callable[[list[str]], None]] = {
    "fetch_many": fetch_many,
    "stream": stream,
    "survived": survived,
    "left_free": left_free,
    "left_idle": left_idle,
    "in_a_notebook": in_a_notebook,
}


def is_interrupted(line: int) -> bool:
    """Interrupt before a line; say whether there was such a line."""
    interrupter = Interrupter(line)
    sys.settrace(interrupter)
    try:
        WAYS[WAY]([URL, URL])
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return interrupter.left == 0


def threads_end() -> bool:
    """Whether all threads but this one end in time."""
    deadline = time.monotonic() + SECONDS
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    return threading.active_count() == 1


line = 1
while is_interrupted(line):
    assert threads_end(), f"threads are left after line {line}: {threading.enumerate()}"
    line += 1
print(line)
