"""
`Fetcher`: owns the client, the policies, and the state that its batches share, while it is open.

`_batch` runs the batches; a lane of `_lanes` sends the requests.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self, Unpack, cast

import anyio
import anyio.lowlevel
import httpx
from anyio.lowlevel import EventLoopToken

from asyncbatch._api._client_options import check_client_options, pool_in
from asyncbatch._api._journaling import answer_options, journaled_batch
from asyncbatch._api._options import (
    ClientTypes,
    FetcherOptions,
    shows_options,
    split_options,
)
from asyncbatch._api._setup import (
    backlog_of,
    equip,
    fitted,
    make_client,
    refuse_with_client,
    report_of,
)
from asyncbatch._api._statistics import Statistics, statistics_by_host
from asyncbatch._api._stream import Streaming
from asyncbatch._batch import Batch, Shared
from asyncbatch._batch._batch import end_with
from asyncbatch._batch._input import Input, RequestLike, Requests
from asyncbatch._batch._output import Collected, Delivered, Output
from asyncbatch._files import Files
from asyncbatch._journal._journal import JournalTypes, as_journal
from asyncbatch._lanes import binding_of, check_transports
from asyncbatch._policies._host_limits import HostPatterns
from asyncbatch._results._results import Results, ResultStream
from asyncbatch._runtime._event_loop import (
    Clock,
    call_soon,
    clock_of,
    is_running,
    running_clock,
    running_loop,
)
from asyncbatch._runtime._slots import Slots
from asyncbatch._values._checks import check_seconds
from asyncbatch._values._errors import FetcherClosed, JournalError
from asyncbatch._values._folder import Folder, ToTypes, check_to
from asyncbatch._values._host_key import HostKey
from asyncbatch._values._redaction import shown
from asyncbatch._values._request import UNSET, Unset, is_request
from asyncbatch._values._result import Result
from asyncbatch._values._timeouts import CLOSE_SECONDS


class Fetcher:
    """
    Fetch many URLs with one client and one set of limits.

    Use it as an async context manager. Several batches may run on it, one after the other or at the
    same time; they share its slots, its limits per host and its connections. It belongs to the
    event loop in which it was entered.

    Args:
        client: An `httpx.AsyncClient` or `httpx2.AsyncClient` to use. It keeps its settings and
            stays open. Without one, the fetcher makes a client and closes it at the end.
        concurrency: Most requests in flight at a time. It is lowered to half of the files that the
            process may open, and to the size of the client's pool.
        per_host: Most requests in flight at one origin (scheme, host and port); `None`: no limit.
        rate: A `Rate` for each origin.
        total_rate: A `Rate` for all requests together.
        hosts: Limits of single hosts, by name: a mapping such as
            `{"api.example.org": HostLimits(rate=Rate(5))}`. `*.example.org` matches every name
            below `example.org`, but not `example.org` itself. A key with a port applies to that
            port. An exact name takes precedence over a wildcard, a longer wildcard over a shorter
            one.
        retry: A `Retry`, or `None` to try every request once.
        timeout: Seconds for one attempt, its redirects and body included; `None`: no limit. An
            `httpx.Timeout` limits each phase, and the attempt by the longest of them. Time in our
            queue does not count.
        connect_timeout: Seconds for opening a connection, and again for its TLS handshake.
        deadline: Seconds for a request with all its retries, from its first slot on.
        follow_redirects: Whether to follow redirects; `True` unless `client` says otherwise.
        max_redirects: Most redirects of one request; 20 unless `client` says otherwise.
        max_body: Most bytes of a decoded body; `None`: no limit.
        minimum_rate: Lowest rate of a response, in bytes per second averaged over 10 s; `None`: no
            minimum. The wait for the first byte does not count.
        addresses: Which addresses may be connected to. `"public"` refuses private, loopback,
            link-local and other special addresses (see `is_public`). A callable takes an
            `ipaddress` address and returns `True` or `False`; an IPv4-mapped IPv6 address is passed
            as IPv4, and without its zone. The address is checked before each connect, on redirects
            too; with a `socks5://` proxy, the proxy gets the checked address.
        proxy_resolves: Whether proxies other than `socks5://`, which resolve names themselves, are
            allowed together with `addresses`. Only addresses in URLs are checked then.
        give_up_host_after: Number of attempts in a row without a byte of an answer, over at least
            3 s, after which all requests to a host fail at once for 30 s; then one is sent as a
            probe. `None`: never.
        check: A function that is called with each `httpx.Response` of a status below 400 before it
            becomes a `Success`. If it raises, the result is a failure of kind `callback`, with
            the response; it is tried again only if `Retry.when` returns so. If the body goes to a
            file, `response.extensions["path"]` is its `.part`, and no file is made if it raises.
        to: Where the bodies of all calls are written: a folder as a path, or a `Folder`; `None`:
            they stay in memory.
        progress: `True` for a bar on stderr, `"rich"` or `"tqdm"` for a bar of that library, or a
            callable that is called with a `Progress` ten times a second.
        telemetry: An `asyncbatch.telemetry.OpenTelemetry`, which makes a span and a measurement of
            each request that is sent; `None`: no telemetry.
        options: Any other option of `httpx.AsyncClient`; not together with `client`.

    Raises:
        TypeError: If an option is unknown or of a wrong type.
        ValueError: If an option has an impossible value.
    """

    @shows_options
    def __init__(
        self, client: ClientTypes | None = None, **options: Unpack[FetcherOptions]
    ) -> None:
        own, client_options = split_options(options)
        check_client_options(client_options)
        self._proxy_pool = pool_in(client_options)
        self._shared: Shared | None = None
        self._closed = False
        self._owns_client = client is None
        if client is None:
            self._client = make_client(own, client_options)
        else:
            refuse_with_client(own, client_options)
            # It may be of httpx2, whose types are the same.
            self._client = cast("httpx.AsyncClient", client)
        check_transports(self._client, binding_of(self._client))
        self._options = fitted(own, self._client, asked="concurrency" in options)
        self._slots: Slots | None = None
        self._loop: EventLoopToken | None = None
        # The same, as `running_loop` returns it: comparing that takes no call.
        self._running_loop: object = None
        # The clock of the event loop, once the fetcher is open.
        self._clock: Clock = monotonic
        self._batches: set[Batch] = set()
        # Finished batches of one request, with their outputs, to be used again.
        self._spare: list[tuple[Batch, Collected]] = []

    @property
    def client(self) -> httpx.AsyncClient:
        """The client that sends all requests."""
        return self._client

    async def __aenter__(self) -> Self:
        if self._closed or self._shared is not None:
            raise FetcherClosed("this fetcher has been opened before; make a new one")
        if self._client.is_closed:
            raise FetcherClosed("the client of this fetcher is closed")
        if self._owns_client:
            await self._client.__aenter__()
        self._loop = anyio.lowlevel.current_token()
        self._running_loop = running_loop()
        self._clock = running_clock()
        self._slots = Slots(self._options.concurrency, self._clock)
        self._shared = equip(
            self._options,
            self._client,
            self._slots,
            owns_client=self._owns_client,
            # Not a method of this object, which would keep it alive.
            end_all=functools.partial(end_with, self._batches),
            proxy_pool=self._proxy_pool,
        )
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if anyio.lowlevel.current_token() != self._loop and is_running(self._loop):
            raise FetcherClosed(
                "this fetcher belongs to another event loop, which is running: close it there"
            )
        self._closed = True
        self._spare.clear()
        for batch in list(self._batches):
            batch.end_at_once()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for batch in list(self._batches):
                await batch.wait_ended()
        try:
            if self._shared is not None:
                self._shared.attempter.lane.close()
        finally:
            if self._owns_client:
                with anyio.CancelScope(shield=True):
                    await self._client.__aexit__(error_type, error, traceback)

    def __del__(self) -> None:
        opened = getattr(self, "_shared", None) is not None
        if opened and not self._closed and self._owns_client:
            # Only the sockets are closed here: the rest would take a task, and nothing would wait
            # for it. If the loop has ended, they are closed with their objects.
            transport = getattr(self._client, "own_transport", None)
            if transport is not None and transport.engine is not None:
                call_soon(self._loop, transport.engine.close_nowait)
            warnings.warn(f"unclosed {self!r}: use it in an async with", ResourceWarning, 1, self)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._shared else "not opened"
        return f"<Fetcher: {state}, concurrency={self._options.concurrency}>"

    async def fetch(
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
            batch_timeout: Seconds for the whole call, including all waits for a slot, the host or
                the next try. After that, the result is a failure of kind `timeout`, or
                `not_started` if the request has not been sent.
            to: The file that the body is written to, or the `Folder`. A path names a folder if it
                ends with a slash, or if it is an existing folder. Replaces the fetcher's `to`;
                `None`: into memory.

        Returns:
            The result, a `Success` or a `Failure`.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `request` is not a request.
            ValueError: If `batch_timeout` has an impossible value.
        """
        if not is_request(request):
            raise TypeError(
                f"a request must be a str, a URL or a Request, not {shown(request)}; "
                "for several at once, use fetch_many"
            )
        if batch_timeout is not None:
            batch_timeout = check_seconds("batch_timeout", batch_timeout)
        # Without the call where no file is named.
        has_file = to is not UNSET or self._options.to is not None
        to = self._to(to) if has_file else None
        batch, output = self._batch_of_one(batch_timeout, to)
        self._batches.add(batch)
        try:
            is_clean = await batch.run_one(request) and to is None
            has_room = len(self._spare) < self._options.concurrency
            if is_clean and has_room and not self._closed:
                self._spare.append((batch, output))
        finally:
            self._batches.discard(batch)
        return output.only_result()

    async def fetch_many(
        self,
        requests: Requests,
        *,
        batch_timeout: float | None = None,
        to: ToTypes | Unset | None = UNSET,
        journal: JournalTypes | None = None,
    ) -> Results:
        """
        Fetch all `requests` and return their results in the order of the input.

        Args:
            requests: Any iterable or async iterable; read lazily.
            batch_timeout: Seconds for the whole call. Requests that have not ended by then are
                failures of kind `timeout` or `not_started`. Items of an iterable without a length
                that have not been read by then get no result.
            to: The folder that the bodies are written to, as a path or a `Folder`; a `Request` may
                have its own `to`. Replaces the fetcher's `to`; `None`: into memory.
            journal: The path of a file, or a `Journal`, in which the results are kept. The same
                call in a later run, also after its program was killed, takes these results from
                the file, and sends the other requests.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `requests` is not an iterable, or is a single request.
            JournalInUse: If another batch writes to the journal.
            JournalFull: If there is no space left for the journal. Its attribute `results` holds
                the results that were written.
            OSError: If the journal cannot be used; see `JournalError`.
            ValueError: If `batch_timeout` has an impossible value.
            Exception: As raised by the iterable, after every request that was read before it has
                ended. Its attribute `results` holds their results.
        """
        batch_timeout = check_seconds("batch_timeout", batch_timeout)
        files = Files(self._to(to))
        source = Input(requests)
        batch = await self._batch(source, output := Collected(), batch_timeout, files, journal)
        clock = running_clock()
        begun = clock()
        error: Exception | None
        with self._registered(batch):
            try:
                await batch.run()
                error = batch.input_error
            except JournalError as raised:
                error = raised
        duration, limits = clock() - begun, batch.limits()
        if error is not None:
            # The results fetched before are not lost.
            with contextlib.suppress(AttributeError):  # an error may refuse attributes
                error.results = Results(  # type: ignore[attr-defined]
                    output.in_order(), duration=duration, limits=limits
                )
            raise error
        # In no variable: since Python 3.12 the traceback of a cancellation in the task group keeps
        # this frame until the garbage collector runs.
        return Results(output.in_order(), duration=duration, limits=limits)

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
    ) -> AbstractAsyncContextManager[ResultStream]:
        """
        Fetch `requests` and yield results as they come, in constant memory.

        Returns an async context manager over an async iterator, a `ResultStream`, which also has a
        `summary`. Leaving it early cancels the requests in flight.

        Args:
            requests: Any iterable or async iterable, endless ones included; read lazily.
            ordered: Whether to yield in the order of the input rather than of completion. One slow
                request then holds up the results after it.
            backlog: Most results that wait to be consumed, requests in flight included, so that a
                value below `concurrency` slows the batch down; twice `concurrency` by default. With
                `ordered`: most requests that are read and not consumed; 1,000 by default, or ten
                times `concurrency` if that is more.
            batch_timeout: As for `fetch_many`.
            to: As for `fetch_many`.
            journal: As for `fetch_many`; it is opened when the stream is entered. A result is
                yielded once it is written.
            report: Whether to keep the figures for `ResultStream.report`, at some 6 µs for each
                result.

        Raises:
            FetcherClosed: If the fetcher is not open, or is closed during the call.
            TypeError: If `requests` is not an iterable, or is a single request.
            JournalInUse: If another batch writes to the journal.
            JournalFull: If there is no space left for the journal, after the last result that was
                written.
            OSError: If the journal cannot be used; see `JournalError`.
            Exception: As raised by the iterable, after the last result.
        """
        backlog = backlog_of(self._options, backlog, ordered=ordered)
        batch_timeout = check_seconds("batch_timeout", batch_timeout)
        output = Delivered(ordered=ordered, backlog=backlog, report=report_of(wanted=report))
        files = Files(self._to(to))
        if journal is not None:
            journal = as_journal(journal)
        begin = functools.partial(
            self._batch, Input(requests), output, batch_timeout, files, journal
        )
        return Streaming(output, begin, self._batches)

    def statistics(self) -> Statistics:
        """Return the current state of the fetcher: requests in flight and waiting, and hosts."""
        shared = self._shared
        by_host = {}
        if shared is not None:
            by_host = statistics_by_host(shared.hosts, self._batches, self._clock())
        return Statistics(
            batches=len(self._batches),
            in_flight=self._slots.taken if self._slots else 0,
            waiting=sum(batch.waiting for batch in self._batches),
            hosts=shared.hosts.remembered() if shared else 0,
            concurrency=self._options.concurrency,
            by_host=by_host,
        )

    def reopen(self, host: str) -> bool:
        """
        End the pause of a host, or use it again after it was given up.

        Failed requests stay failed, and a request that waits for its next try continues to wait.
        All others may start, slowly at first.

        Args:
            host: The name of the host, as a key of the option `hosts`: `"example.org"` for all
                ports, `"example.org:8080"` for one, `"*.example.org"` for all names below it.

        Returns:
            Whether a host of that name was paused or given up.

        Raises:
            FetcherClosed: If the fetcher is not open.
            TypeError: If `host` is not a `str`.
            ValueError: If `host` does not name a host.
        """
        if self._shared is None or self._closed:
            raise FetcherClosed("this fetcher is not open, so it knows no hosts")
        pattern = HostPatterns({host: True})
        return self._shared.hosts.reopen(
            lambda key: bool(pattern.get(cast("HostKey", key))), self._clock()
        )

    def _to(self, to: ToTypes | Unset | None) -> ToTypes | None:
        """Return where the bodies of a call go: as it says, or the option."""
        if isinstance(to, Unset):
            option = self._options.to
            return option if option is None or isinstance(option, Folder) else Folder(option)
        if to is not None:
            check_to(to)
        return to

    def _batch_of_one(
        self, batch_timeout: float | None, to: ToTypes | None
    ) -> tuple[Batch, Collected]:
        """Return a batch for one request, a finished one if there is one."""
        loop = running_loop()
        if loop is not self._running_loop:
            self._check_open()
        clock = clock_of(loop)
        while self._spare and batch_timeout is None and to is None:
            batch, output = self._spare.pop()
            # A test may have made the time virtual, or real again, since that batch.
            if batch.clock is clock:
                return batch, output
        output = Collected()
        files = Files(to, is_one=True)
        return self._new_batch(Input(()), output, batch_timeout, files), output

    async def _batch(
        self,
        source: Input,
        output: Output,
        batch_timeout: float | None,
        files: Files,
        journal: JournalTypes | None,
    ) -> Batch:
        """Return a new batch, with its journal open if it has one."""
        if journal is None:
            return self._new_batch(source, output, batch_timeout, files)
        return await journaled_batch(
            as_journal(journal),
            self._check_open,
            source,
            output,
            self._answer_options(),
            batch_timeout=batch_timeout,
            files=files,
        )

    def _answer_options(self) -> dict[str, Any]:
        """Return the options that change answers; shards of a cluster compare them, too."""
        return answer_options(self._options, self._client)

    def _new_batch(
        self,
        source: Input,
        output: Output,
        batch_timeout: float | None,
        files: Files,
    ) -> Batch:
        return Batch(self._check_open(), source, output, batch_timeout=batch_timeout, files=files)

    def _check_open(self) -> Shared:
        if self._shared is None or self._closed:
            raise FetcherClosed(
                "this fetcher is closed; make a new one"
                if self._closed
                else "open it first: async with Fetcher()"
            )
        if anyio.lowlevel.current_token() != self._loop:
            raise FetcherClosed(
                "this fetcher belongs to another event loop, in which it was opened; make one "
                "for each loop, or use a SyncFetcher from any thread"
            )
        return self._shared

    @contextmanager
    def _registered(self, batch: Batch) -> Generator[None]:
        self._batches.add(batch)
        try:
            yield
        finally:
            self._batches.discard(batch)
