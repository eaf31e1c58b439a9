"""
`run_shard`: fetches a shard in a worker.

It is one function of one value that pickles, so any engine can call it on a machine that reaches
the folder of the data set. It keeps a journal, so that its results are not fetched again if the
worker dies, and writes the results to one file. Failures of requests are rows of that file. A
reason that ends the shard early is the `error` of its report.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs

from asyncbatch import (
    Failure,
    FailureKind,
    Fetcher,
    InDoubt,
    Journal,
    JournalError,
    JournalInUse,
    Request,
    Result,
    Retry,
    Timing,
)
from asyncbatch._journal._identity import is_with_key
from asyncbatch._journal._policy import may_be_repeated
from asyncbatch._results._limits import Limits
from asyncbatch._sync._portal import run_loop
from asyncbatch._values._request import Unset
from asyncbatch._values._retry_policy import RetryPolicy

from ._layout import Layout
from ._lease import LEASE_SECONDS, STOPPED, Lease, LeaseLost, claim
from ._options import unpickled
from ._report import ShardReport, ShardReportBuilder
from ._requests import read_requests
from ._shard_journal import ShardJournal
from ._table import TableWriter, parquet, publish, read_report

AT_ONCE = 2_000
"""Results that are written together."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of bodies from which on results are written."""

_POLL_SECONDS = 0.1

# By a name of its own, for tests: it may take minutes.
rest = anyio.sleep

_SHARED_JOURNAL = "shared"


@attrs.frozen(kw_only=True)
class ShardTask:
    """A shard, as it is sent to a worker; its requests are in the folder of the data set."""

    out: str
    """The folder of the data set, which all workers have at the same path."""
    plan_id: str
    """The name of the plan."""
    shard: int
    """The number of the shard."""
    requests: int
    """Number of its requests."""
    options: bytes = attrs.field(repr=False)
    """The pickled options of the fetcher."""
    tag_type: str | None = None
    """The type of all tags, if they have one and it is simple."""
    rest: float = 0.0
    """Seconds to wait after another worker's try: until the rates of the hosts have no past."""
    lease_seconds: float = LEASE_SECONDS
    """Seconds for which a worker without contact may go on."""


def run_shard(task: ShardTask) -> ShardReport:
    """
    Fetch a shard, write its results, and return its report.

    An error that concerns the shard is not raised: it is the `error` of the report. A shard that is
    done is not fetched again.

    Args:
        task: The shard.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    parquet()
    layout = Layout(task.out, task.plan_id)
    path = layout.results_of(task.shard)
    if path.exists():
        return read_report(path)
    lease = None
    try:
        journal, kind = _journal_of(layout, task)
        lease = claim(
            layout.leases,
            task.shard,
            journal=kind,
            seconds=task.lease_seconds,
            is_done=path.exists,
        )
        attempt = _ShardTry(task, layout, lease, journal, kind)
        run_loop(attempt.run)
    except Exception as error:
        if path.exists():  # another worker was faster
            return read_report(path)
        tries = 0 if lease is None else lease.epoch
        return failed(task, _said(error), tries)
    else:
        return read_report(path)
    finally:
        if lease is not None:
            lease.release()


def failed(task: ShardTask, error: str, tries: int = 0) -> ShardReport:
    """Return the report of a shard that is not done."""
    return ShardReport(shard=task.shard, requests=task.requests, error=error, tries=tries)


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _journal_of(layout: Layout, task: ShardTask) -> tuple[Path, str]:
    """
    Return the journal of a shard, and what tells it from those of other machines.

    It is in the folder of the data set, unless that is on a network file system.
    """
    name = f"{task.shard:06}.db"
    shared = layout.journals / name
    if not _is_on_network(shared):
        return shared, _SHARED_JOURNAL
    own = Path(tempfile.gettempdir(), f"asyncbatch-{task.plan_id}")
    own.mkdir(mode=0o700, exist_ok=True)
    return own / name, f"{_machine()} {own}"


def _is_on_network(path: Path) -> bool:
    try:
        Journal.read(path).close()
    except JournalError as error:
        return type(error) is JournalError
    except OSError:
        return False
    return False


def _machine() -> str:
    """Return what tells this machine from others, and from itself before it was started."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else f"{uuid.getnode():x}"


class _ShardTry:
    """One try at a shard."""

    def __init__(
        self, task: ShardTask, layout: Layout, lease: Lease, journal: Path, kind: str
    ) -> None:
        self._task = task
        self._lease = lease
        self._layout = layout
        self._options: dict[str, Any] = unpickled(task.options, "an option")
        self._journal = ShardJournal(journal)
        self._kind = kind
        # Whether a request may be on its way of which no journal here knows.
        self._is_in_doubt = any(each not in (kind, STOPPED) for each in lease.earlier)
        # The places in the input of the requests that were read, in their order.
        self._places: array[int] = array("q")
        self._doubtful: list[Result] = []
        self._figures = ShardReportBuilder()

    async def run(self) -> None:
        """
        Fetch all requests, and put the file of the results into its place.

        Raises:
            LeaseLost: If another worker was given the shard.
            OSError: If something cannot be written.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lease.watch)
            await self._fetch_and_write()
            tasks.cancel_scope.cancel()

    async def _fetch_and_write(self) -> None:
        lease, task = self._lease, self._task
        await lease.wait_for_others(self._kind)
        async with Fetcher(**self._options) as fetcher:
            if lease.epoch > 1:
                await self._wait_for_journal(fetcher)
                await rest(task.rest)
            begun, clock = time.time(), time.monotonic()
            written = self._layout.unfinished_of(task.shard, lease.epoch)
            table = await anyio.to_thread.run_sync(TableWriter, written, _types(task.tag_type))
            try:
                async with fetcher.stream(self._requests(), journal=self._journal) as results:
                    await self._write(results, table)
                await self._write_rows(table, self._doubtful)
                self._check_count()
                seconds = time.monotonic() - clock
                report = self._figures.text(
                    shard=task.shard, tries=lease.epoch, started=begun, seconds=seconds
                )
                page = self._figures.page(seconds=seconds, limits=_limits_of(results))
                await anyio.to_thread.run_sync(self._publish, table, written, report, page)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._discard, table)
                raise

    def _publish(self, table: TableWriter, written: Path, report: bytes, page: bytes) -> None:
        """Put the results into their place, and remove what only an unfinished shard needs."""
        table.finish(report, page)
        publish(written, self._layout.results_of(self._task.shard))
        # After the results: a worker that dies in between leaves its journal and its lease, which
        # the end of the call removes.
        self._journal.discard()
        self._layout.clear(self._task.shard)

    def _discard(self, table: TableWriter) -> None:
        try:
            table.remove()
        finally:
            self._journal.close()

    async def _wait_for_journal(self, fetcher: Fetcher) -> None:
        """
        Wait until the worker before has let go of the journal, which its death does.

        Raises:
            JournalInUse: If it does not within the lease.
            LeaseLost: If a later worker was given the shard meanwhile.
        """
        until = time.monotonic() + self._lease.seconds
        while True:
            try:
                async with fetcher.stream([], journal=self._journal.path):
                    return
            except JournalInUse:
                if await anyio.to_thread.run_sync(self._lease.is_lost):
                    raise LeaseLost("the shard was given to another worker") from None
                if time.monotonic() >= until:
                    raise
            await anyio.sleep(_POLL_SECONDS)

    async def _requests(self) -> AsyncIterator[Any]:
        retry = self._options.get("retry", Retry())
        chunks = read_requests(self._layout.requests_of(self._task.shard))
        while (chunk := await anyio.to_thread.run_sync(next, chunks, None)) is not None:
            for place, request in zip(*chunk, strict=True):
                if self._is_in_doubt and not _may_repeat(request, retry):
                    self._doubtful.append(_doubtful(place, request))
                    continue
                self._places.append(place)
                yield request

    async def _write(self, results: Any, table: TableWriter) -> None:
        waiting: list[Result] = []
        size = 0
        async for result in results:
            waiting.append(result)
            size += len(result.content)
            if len(waiting) >= AT_ONCE or size >= MOST_BYTES:
                await self._write_rows(table, waiting)
                waiting, size = [], 0
        await self._write_rows(table, waiting)

    async def _write_rows(self, table: TableWriter, results: list[Result]) -> None:
        if not results:
            return
        if results is self._doubtful:
            places = array("q", [result.index for result in results])
        else:
            places = array("q", [self._places[result.index] for result in results])
        for result in results:
            self._figures.add(result)
        # In a thread: the disk may be slow, and requests are under way.
        await anyio.to_thread.run_sync(table.write, places, results)

    def _check_count(self) -> None:
        count = self._figures.count
        if count != self._task.requests:
            raise RuntimeError(f"{count} results of {self._task.requests} requests")


def _limits_of(results: Any) -> Limits:
    """Return what the limits of the fetcher did to a stream, which is not public."""
    found: Limits = results.limits()
    return found


def _types(name: str | None) -> tuple[type, ...]:
    return {"str": (str,), "bool": (bool,), "int": (int,), "float": (float,)}.get(name or "", ())


def _may_repeat(item: Any, retry: RetryPolicy | None) -> bool:
    own = item.retry if isinstance(item, Request) else None
    policy = retry if own is None or isinstance(own, Unset) else own
    method = Request.of(item).method
    return may_be_repeated(method, policy, has_idempotency_key=is_with_key(item))


def _doubtful(place: int, item: Any) -> Failure:
    """Return the result of a request that another machine may have sent."""
    return Failure(
        index=place,
        item=item,
        url=None,
        elapsed=0.0,
        attempts=0,
        history=(),
        queued=0.0,
        throttled=0.0,
        network=Timing(),
        started=0.0,
        kind=FailureKind.in_doubt,
        error=InDoubt("may have been sent by a worker on another machine, whose journal is lost"),
        content=b"",
        response=None,
    )
