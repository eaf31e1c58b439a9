"""
`fetch_many_sync`: one batch, on a fetcher of its own and without await.

The event loop runs in the calling thread if it may, and otherwise in one of its own (`Portal`).
"""

from __future__ import annotations

import functools
import threading
from typing import Any, Unpack

import anyio
import anyio.lowlevel

from asyncbatch._api._options import FetcherOptions, shows_options
from asyncbatch._batch._input import Requests
from asyncbatch._journal._journal import JournalTypes
from asyncbatch._results._results import Results
from asyncbatch._sync._fetcher import (
    ClientFactory,
    FetcherMaker,
    fetch_many_with,
    fetcher_maker,
)
from asyncbatch._sync._portal import Portal, is_loop_running, run_loop
from asyncbatch._sync._signals import handlers_here, interrupting
from asyncbatch._values._request import UNSET


@shows_options
def fetch_many_sync(
    requests: Requests,
    *,
    client: ClientFactory | None = None,
    batch_timeout: float | None = None,
    journal: JournalTypes | None = None,
    **options: Unpack[FetcherOptions],
) -> Results:
    """
    Fetch all `requests` concurrently and return one result each: `fetch_many` without await.

    It works in a script, in any thread, and in a thread whose event loop is running, as in a
    notebook; it blocks that loop until it returns. Ctrl-C cancels the requests in flight, closes
    everything and raises `KeyboardInterrupt`. In a script, the event loop runs in the calling
    thread, elsewhere in a thread that ends before this returns. `requests` is read in that thread.

    Args:
        requests: An iterable or async iterable of `str`, `httpx.URL`, `httpx.Request` or `Request`,
            read lazily. A plain iterable must not block, because all requests wait while it does.
        client: A function that makes the `httpx.AsyncClient` to use; the client is closed at the
            end. A client itself is a `TypeError`, since it would belong to another event loop.
        batch_timeout: Seconds for the whole call; see `Fetcher.fetch_many`.
        journal: A file in which the results are kept; see `Fetcher.fetch_many`.
        options: Every option of `Fetcher`.

    Returns:
        The `Results`, one for each request.

    Raises:
        TypeError: If an option is unknown or of a wrong type, or `requests` is not an iterable.
        ValueError: If an option has an impossible value.
        OSError: If the journal cannot be used; see `JournalError`.
        Exception: As raised by the iterable, after every request that was read before it has
            ended. Its attribute `results` holds their results.
    """
    make_fetcher = fetcher_maker(client, options)
    if _may_run_here():
        return _run_here(make_fetcher, requests, batch_timeout, journal)
    portal = Portal(make_fetcher)
    try:
        return portal.call(fetch_many_with, portal.open(), requests, batch_timeout, UNSET, journal)
    finally:
        try:
            portal.close()
        except BaseException:
            portal.stop_unclosed()  # an interruption may have come before it was told to stop
            raise


def _may_run_here() -> bool:
    """
    Whether the event loop may run in the calling thread.

    It may in the main thread, where Ctrl-C ends it. After the main thread has ended, it runs in any
    thread, since no further thread can be started then.
    """
    main = threading.main_thread()
    return (threading.current_thread() is main or not main.is_alive()) and not is_loop_running()


def _run_here(
    make_fetcher: FetcherMaker,
    requests: Requests,
    batch_timeout: float | None,
    journal: JournalTypes | None,
) -> Results:
    handlers = handlers_here()
    raised: list[BaseException] = []

    async def run() -> Results | None:
        native: Any = anyio.lowlevel.current_token().native_token
        with anyio.CancelScope() as scope:
            end = functools.partial(native.call_soon_threadsafe, scope.cancel)
            with interrupting(handlers, end, raised):
                return await _open_and_fetch(make_fetcher, requests, batch_timeout, journal)
        return None

    try:
        results = run_loop(run)
    except KeyboardInterrupt as interrupt:
        # Its context is the cancellation that ended the loop, which does not concern the caller.
        interrupt.__suppress_context__ = True
        raise
    if raised:
        raise raised[0]
    assert results is not None
    return results


async def _open_and_fetch(
    make_fetcher: FetcherMaker,
    requests: Requests,
    batch_timeout: float | None,
    journal: JournalTypes | None,
) -> Results:
    async with make_fetcher() as fetcher:
        return await fetcher.fetch_many(requests, batch_timeout=batch_timeout, journal=journal)
