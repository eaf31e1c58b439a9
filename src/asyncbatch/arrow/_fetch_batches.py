"""
`fetch_batches`: record batches with URLs in, the same batches with the columns of results out.

At most two batches are in memory: one whose last requests are in flight, and the next one. So a
slow request at the end of a batch leaves no slot idle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Unpack

import attrs

from asyncbatch import (
    Failure,
    FailureKind,
    FetcherOptions,
    Request,
    Results,
    SyncFetcher,
    Timing,
)
from asyncbatch._results._arrow import arrow, record_batch, schema
from asyncbatch._sync._interruptible import wait_for_first
from asyncbatch._values._redaction import shown

HELD = 2
"""Batches that are held at once."""

OF_THE_ROW = ("index", "tag", "url")
"""Columns of results that the row itself has."""

_CURE = 'make a table of them: pyarrow.table({"url": [...]})'

_NULL = ValueError("the URL is null")


def fetch_batches(
    batches: Iterable[Any],
    url: str = "url",
    *,
    method: str | None = None,
    body: str | None = None,
    **options: Unpack[FetcherOptions],
) -> Iterator[Any]:
    """
    Fetch the URLs in record batches, and yield the batches with the columns of the results.

    Rows and columns keep their order, and failures are rows like any other. A row whose URL is null
    or invalid has the kind `invalid_request`. The columns of the results are those of a table of
    results without `index`, `tag` and `url`. If a batch already has a column of that name, its
    column stays, and the name of the result column begins with `fetch_`.

    All batches share connections and limits. At most two batches are in memory: one is yielded
    after its last result, and the next one is fetched meanwhile. It works inside a running
    event loop too, which it blocks. Closing the iterator cancels the requests in flight.

    In Spark, `frame.mapInArrow(fetch_batches, schema)` calls it; the documentation shows that and
    other engines, under "Inside Spark, Ray Data, Daft and Dask".

    Args:
        batches: Record batches or tables, or one table or Arrow stream. A table without rows
            yields one batch without rows.
        url: The name of the column with the URLs.
        method: The name of the column with the methods; null is "GET". By default all are "GET", or
            "POST" for rows with a body.
        body: The name of the column with the bodies, text or binary; null is no body.
        options: Every option of `SyncFetcher`.

    Raises:
        KeyError: If a batch has no such column, or several of that name; the message lists its
            columns. Like all errors of `batches`, it is raised after the batches before it.
        TypeError: If `batches` or a column is of another type, or an option is unknown.
        ValueError: If an option has an impossible value.
        ImportError: If `pyarrow` is not installed (the extra `arrow`).
    """
    arrow()
    columns = _Columns(url, method, body)
    if isinstance(batches, str | bytes | Mapping) or not (
        _is_arrow(batches) or isinstance(batches, Iterable)
    ):
        raise TypeError(f"batches must be record batches or a table, not {shown(batches)}; {_CURE}")
    return _fetched(_batches_in(batches), columns, SyncFetcher(**options))


def fetched_schema(of: Any) -> Any:
    """
    Return the `pyarrow.Schema` of the batches that `fetch_batches` yields for the schema `of`.

    Args:
        of: A `pyarrow.Schema`, or a table or batch with that schema.

    Raises:
        TypeError: If it is something else.
        ImportError: If `pyarrow` is not installed (the extra `arrow`).
    """
    pa = arrow()
    of = _schema_of(of)
    taken = set(of.names)
    fields = [*of]
    for field in schema():
        if field.name in OF_THE_ROW:
            continue
        name = field.name
        while name in taken:
            name = f"fetch_{name}"
        taken.add(name)
        fields.append(field.with_name(name))
    return pa.schema(fields, metadata=of.metadata)


def _schema_of(value: Any) -> Any:
    pa = arrow()
    if isinstance(value, pa.Schema):
        return value
    if isinstance(found := getattr(value, "schema", None), pa.Schema):
        return found
    if hasattr(value, "__arrow_c_schema__"):
        return pa.schema(value)
    if hasattr(value, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(value).schema
    raise TypeError(f"fetched_schema takes a pyarrow.Schema or a table, not {shown(value)}")


def _fetched(batches: Iterator[Any], columns: _Columns, fetcher: SyncFetcher) -> Iterator[Any]:
    held: deque[_Held] = deque()
    error: Exception | None = None
    before = Event()
    before.set()
    # A call for each batch costs half as much as one stream of all results, each of which would
    # pass from the thread of the loop to this one. The fetcher, left first, ends calls that wait.
    with ThreadPoolExecutor(HELD, thread_name_prefix="asyncbatch-arrow") as threads, fetcher:
        while True:
            while error is None and len(held) < HELD:
                try:
                    batch = next(batches)
                    rows = columns.rows_of(batch)
                except StopIteration:
                    break
                except Exception as raised:
                    error = raised  # of the input: what was read before is delivered first
                    break
                requests = [row for row in rows if not isinstance(row, Failure)]
                is_read = Event()
                results = threads.submit(_fetch, fetcher, requests, before, is_read)
                held.append(_Held(batch, rows, results))
                before = is_read
                del batch, rows, requests, results
            if not held:
                break
            yield held.popleft().finished()
    if error is not None:
        raise error


def _fetch(fetcher: SyncFetcher, requests: list[Any], before: Event, is_read: Event) -> Results:
    """
    Fetch the requests of a batch.

    It begins when the batch before has no more requests to start. If both took the slots in turn, a
    request would cost three times as much, since a free slot would wake a worker each time.

    Args:
        fetcher: It.
        requests: The requests, in any form.
        before: Set when all requests of the batch before have been read.
        is_read: Set when all of these have been read, or there will be no more.
    """
    before.wait()
    try:
        return fetcher.fetch_many(_read(requests, is_read))
    finally:
        is_read.set()


def _read(requests: list[Any], is_read: Event) -> Iterator[Any]:
    yield from requests
    is_read.set()


@attrs.frozen
class _Held:
    """A record batch whose results come."""

    batch: Any
    rows: list[str | Request | Failure]
    """For each row its request, or a failure if there can be none."""
    results: Future[Results]
    """The results of the requests."""

    def finished(self) -> Any:
        """Wait for the results, and return the batch with their columns."""
        wait_for_first([self.results])
        results = iter(self.results.result())
        rows = [row if isinstance(row, Failure) else next(results) for row in self.rows]
        found = record_batch(rows).drop_columns(list(OF_THE_ROW))
        return arrow().RecordBatch.from_arrays(
            [*self.batch.columns, *found.columns], schema=fetched_schema(self.batch.schema)
        )


def _batches_in(batches: Any) -> Iterator[Any]:
    """
    Yield the record batches in a table, in a stream, or in an iterable of them.

    Raises:
        TypeError: If it is something else.
    """
    if _is_arrow(batches):
        yield from _batches_of(batches)
        return
    for each in batches:
        if not _is_arrow(each):
            raise TypeError(f"batches must be record batches or tables, not {shown(each)}; {_CURE}")
        yield from _batches_of(each)


def _is_arrow(value: object) -> bool:
    return hasattr(value, "__arrow_c_array__") or hasattr(value, "__arrow_c_stream__")


def _batches_of(value: Any) -> Iterator[Any]:
    """
    Yield the record batches of one batch, table or stream; one without rows if it has none.

    So that each of them, such as an empty block of an engine, has its columns.

    Raises:
        TypeError: If it is a single column.
    """
    pa = arrow()
    is_one = hasattr(value, "__arrow_c_array__")
    reader: Any
    try:
        reader = [pa.record_batch(value)] if is_one else pa.RecordBatchReader.from_stream(value)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(
            f"batches must be record batches or tables, not a {type(value).__name__}; {_CURE}"
        ) from error
    is_empty = True
    for batch in reader:
        is_empty = False
        yield batch
    if is_empty:
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)


@attrs.frozen
class _Columns:
    """The names of the columns that requests are made of."""

    url: str
    method: str | None
    body: str | None

    def rows_of(self, batch: Any) -> list[str | Request | Failure]:
        """
        Return the request of each row, or a failure if there can be none.

        Raises:
            KeyError: If there is no such column, or several.
            TypeError: If a column is of another type.
        """
        urls = _column(batch, self.url, "text")
        if self.method is None and self.body is None:
            return [_without_url() if url is None else url for url in urls]
        nothing = [None] * batch.num_rows
        methods = nothing if self.method is None else _column(batch, self.method, "text")
        bodies = nothing if self.body is None else _column(batch, self.body, "text or binary")
        return list(map(_request, urls, methods, bodies))


def _column(batch: Any, name: str, kind: str) -> list[Any]:
    if name not in batch.schema.names:
        there = ", ".join(map(repr, batch.schema.names))
        raise KeyError(f"there is no column {name!r}; there are {there or 'none'}")
    if batch.schema.names.count(name) > 1:
        raise KeyError(f"there are several columns {name!r}; give each a name of its own")
    types: Any = arrow().types
    column = batch.column(name)
    is_encoded = types.is_dictionary(column.type) or types.is_run_end_encoded(column.type)
    found = column.type.value_type if is_encoded else column.type
    tests = [types.is_string, types.is_large_string, types.is_string_view, types.is_null]
    if kind != "text":
        tests += [types.is_binary, types.is_large_binary, types.is_binary_view]
        tests += [types.is_fixed_size_binary]
    if not any(test(found) for test in tests):
        raise TypeError(
            f"the column {name!r} must be {kind}, not {column.type}; cast it, or give the name of "
            "another column"
        )
    return column.to_pylist()  # type: ignore[no-any-return]


def _request(url: str | None, method: str | None, body: Any) -> Request | Failure:
    if url is None:
        return _without_url()
    if method is None:
        method = "GET" if body is None else "POST"
    return Request(url, method, content=body)


def _without_url() -> Failure:
    return Failure(
        index=0,
        item="",
        url=None,
        elapsed=0.0,
        attempts=0,
        history=(),
        queued=0.0,
        throttled=0.0,
        network=Timing(),
        error=_NULL,
        kind=FailureKind.invalid_request,
    )
