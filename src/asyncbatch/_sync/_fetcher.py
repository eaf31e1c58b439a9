"""
`SyncFetcher`: a `Fetcher` for code without await, and for several threads.

A thin layer: the `Fetcher` runs the batches, the `Portal` the thread.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self, TypeAlias, Unpack

import httpx

from asyncbatch._api._fetcher import Fetcher
from asyncbatch._api._options import FetcherOptions, shows_options
from asyncbatch._api._statistics import Statistics
from asyncbatch._batch._input import Input, RequestLike, Requests
from asyncbatch._journal._journal import JournalTypes
from asyncbatch._journal._open_journal import CLOSE_SECONDS
from asyncbatch._results._results import Results
from asyncbatch._sync._portal import Portal
from asyncbatch._sync._stream import CrossingFetcher, SyncResultStream
from asyncbatch._values._errors import FetcherClosed
from asyncbatch._values._folder import ToTypes
from asyncbatch._values._request import UNSET, Unset
from asyncbatch._values._result import Result

ClientFactory: TypeAlias = Callable[[], httpx.AsyncClient]
FetcherMaker: TypeAlias = Callable[[], AbstractAsyncContextManager[CrossingFetcher]]


class SyncFetcher:
    """
    Fetch many URLs with one client and one set of limits: `Fetcher` for code without await.

    Use it as a context manager. Several threads may use it at the same time, and share its limits
    and its connections; so may a thread whose event loop is running. From entering to leaving, the
    fetcher runs an event loop in a thread of its own, which reads the inputs and calls a callable
    `progress`. When it is left, calls of other threads end with `FetcherClosed`.

    It does not survive a fork: make a new one in the child process.

    Args:
        client: A function that makes the `httpx.AsyncClient` or `httpx2.AsyncClient` to use; the
            client is closed at the end. A client itself is a `TypeError`, since it would belong to
            another event loop.
        options: Every option of `Fetcher`.

    Raises:
        TypeError: If an option is unknown or of a wrong type. With `client`, some of these errors
            are raised when the fetcher is entered.
        ValueError: If an option has an impossible value.
    """

    @shows_options
    def __init__(
        self, client: ClientFactory | None = None, **options: Unpack[FetcherOptions]
    ) -> None:
        self._portal = Portal(fetcher_maker(client, options))
        self._entered = False
        # None until the fetcher is opened; they stay afterwards.
        self._fetcher: CrossingFetcher | None = None
        self._finalizer: weakref.finalize[[Portal[CrossingFetcher]], SyncFetcher] | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """
        The client that sends all requests.

        It belongs to the event loop of this fetcher: read its attributes, but do not await its
        methods.

        Raises:
            FetcherClosed: If the fetcher has never been opened.
        """
        return self._opened().client

    def __enter__(self) -> Self:
        if self._entered:
            raise FetcherClosed("this fetcher has been opened before; make a new one")
        self._entered = True
        try:
            self._fetcher = self._portal.open()
            self._finalizer = weakref.finalize(self, _stop_unclosed, self._portal)
        except BaseException:
            self._portal.stop_unclosed()  # an interruption may have come after it was opened
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.refuse_own_thread()  # and close nothing then
        try:
            self._portal.close()
        except BaseException:
            self._portal.stop_unclosed()  # an interruption may have come before it was told to stop
            raise
        finally:
            if self._finalizer is not None:
                self._finalizer.detach()

    def fetch(
        self,
        request: RequestLike,
        *,
        batch_timeout: float | None = None,
        to: ToTypes | Unset | None = UNSET,
    ) -> Result:
        """
        Fetch one request, under the same limits as a batch.

        Args:
            request: A `str`, `httpx.URL`, `httpx.Request` or `Request`.
            batch_timeout: As for `Fetcher.fetch`.
            to: As for `Fetcher.fetch`.

        Returns:
            The result, a `Success` or a `Failure`.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `request` is not a request.
            ValueError: If `batch_timeout` has an impossible value.
        """
        fetcher = self._opened()
        close_seconds = CLOSE_SECONDS if fetcher.locks(to) else 0.0
        call = self._portal.prepare(_fetch, fetcher, request, batch_timeout, to)
        return call.result(close_seconds)

    def fetch_many(
        self,
        requests: Requests,
        *,
        batch_timeout: float | None = None,
        to: ToTypes | Unset | None = UNSET,
        journal: JournalTypes | None = None,
    ) -> Results:
        """
        Fetch all `requests` and return their results in the order of the input.

        If the call ends early, for example by Ctrl-C, the requests in flight are cancelled.

        Args:
            requests: Any iterable or async iterable; read lazily, in the fetcher's thread. A plain
                iterable must not block, because all batches wait while it does.
            batch_timeout: As for `Fetcher.fetch_many`.
            to: As for `Fetcher.fetch_many`.
            journal: As for `Fetcher.fetch_many`.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `requests` is not an iterable, or is a single request.
            OSError: If the journal cannot be used; see `JournalError`.
            ValueError: If `batch_timeout` has an impossible value.
            Exception: As raised by the iterable, after every request that was read before it has
                ended. Its attribute `results` holds their results.
        """
        fetcher = self._opened()
        # The locks of the batch must be free for the next call, if Ctrl-C ends this one.
        close_seconds = CLOSE_SECONDS if fetcher.locks(to, journal) else 0.0
        call = self._portal.prepare(fetch_many_with, fetcher, requests, batch_timeout, to, journal)
        return call.result(close_seconds)

    def stream(
        self,
        requests: Requests,
        *,
        ordered: bool = False,
        backlog: int | None = None,
        batch_timeout: float | None = None,
        to: ToTypes | Unset | None = UNSET,
        journal: JournalTypes | None = None,
        report: bool = False,
    ) -> SyncResultStream:
        """
        Fetch `requests` and yield results as they come, in constant memory.

        Returns an iterator, to be used directly in a `for` loop. Fetching begins at once. Leaving
        the loop early drops the iterator and cancels the requests in flight. If you keep it in a
        variable, as for its `summary`, close it, or use it as a context manager.

        Args:
            requests: Any iterable or async iterable, endless ones included; read lazily, in the
                fetcher's thread. A plain iterable must not block, because all batches wait while it
                does.
            ordered: Whether to yield in the order of the input rather than of completion.
            backlog: Most results that wait to be consumed; see `Fetcher.stream`.
            batch_timeout: As for `Fetcher.fetch_many`.
            to: As for `Fetcher.fetch_many`.
            journal: As for `Fetcher.fetch_many`.
            report: Whether to keep the figures for `SyncResultStream.report`.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `requests` is not an iterable, or is a single request.
            OSError: If the journal cannot be used; see `JournalError`.
            Exception: As raised by the iterable, after the last result.
        """
        return self._opened().begin_stream(
            self._portal,
            Input(requests),
            self,
            ordered=ordered,
            backlog=backlog,
            batch_timeout=batch_timeout,
            to=to,
            journal=journal,
            report=report,
        )

    def statistics(self) -> Statistics:
        """
        Return the current state of the fetcher: requests in flight and waiting, and hosts.

        Raises:
            FetcherClosed: If the fetcher is not open.
        """
        return self._portal.call(_statistics, self._opened())

    def reopen(self, host: str) -> bool:
        """
        End the pause of a host, or use it again after it was given up.

        Args:
            host: As for `Fetcher.reopen`.

        Returns:
            Whether a host of that name was paused or given up.

        Raises:
            FetcherClosed: If the fetcher is not open.
            TypeError: If `host` is not a `str`.
            ValueError: If `host` does not name a host.
        """
        return self._portal.call(_reopen, self._opened(), host)

    def _opened(self) -> CrossingFetcher:
        if self._fetcher is None:
            raise FetcherClosed("open it first: with SyncFetcher()")
        return self._fetcher


def fetcher_maker(client: ClientFactory | None, options: FetcherOptions) -> FetcherMaker:
    """
    Return a function that opens a fetcher, to be called in the event loop.

    Raises:
        TypeError: If `client` is not a function, or an option is unknown or of a wrong type.
        ValueError: If an option has an impossible value.
    """
    if client is None:
        fetcher = CrossingFetcher(None, **options)
        return lambda: fetcher
    if not callable(client):
        raise TypeError(
            "client must be a function that makes a client, such as "
            f"client=lambda: httpx.AsyncClient(...), not {client!r}: a client must be made in the "
            "event loop that uses it, which the fetcher starts"
        )
    return functools.partial(_open_with_client, client, options)


@asynccontextmanager
async def _open_with_client(
    make_client: ClientFactory, options: FetcherOptions
) -> AsyncGenerator[CrossingFetcher]:
    client = make_client()
    fetcher = CrossingFetcher(client, **options)
    async with client, fetcher:
        yield fetcher


async def _fetch(
    fetcher: Fetcher,
    request: RequestLike,
    batch_timeout: float | None,
    to: ToTypes | Unset | None,
) -> Result:
    return await fetcher.fetch(request, batch_timeout=batch_timeout, to=to)


async def fetch_many_with(
    fetcher: Fetcher,
    requests: Requests,
    batch_timeout: float | None,
    to: ToTypes | Unset | None,
    journal: JournalTypes | None,
) -> Results:
    return await fetcher.fetch_many(requests, batch_timeout=batch_timeout, to=to, journal=journal)


async def _reopen(fetcher: Fetcher, host: str) -> bool:
    return fetcher.reopen(host)


async def _statistics(fetcher: Fetcher) -> Statistics:
    return fetcher.statistics()


def _stop_unclosed(portal: Portal[CrossingFetcher]) -> None:
    """Close a fetcher that was dropped, or that is open when the interpreter exits."""
    try:
        portal.stop_unclosed()
    finally:
        warnings.warn(
            "a SyncFetcher was not closed; use it as a context manager",
            ResourceWarning,
            stacklevel=2,
        )
