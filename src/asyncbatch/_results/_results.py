"""
The results of a batch: `Results`, all at once in input order, and `ResultStream`, one by one.

A sequence with a few views, and the contract of a stream. The batch makes the results.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, overload

from asyncbatch._results._arrow import pandas_frame, polars_frame, reader, table
from asyncbatch._results._record import records_of, tag_types_of
from asyncbatch._results._summary import Summary, SummaryBuilder
from asyncbatch._results._table_file import JsonLinesFile, ParquetFile, PathTypes
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._host_key import host_in, plain_host_in
from asyncbatch._values._result import Failure, Result, Success

RAISED_PER_KIND = 100
NAMED_IN_MESSAGE = 3
NAMED_WIDTH = 120


class ResultStream(AsyncIterator[Result]):
    """The results of a running batch, for `async for`; made by `Fetcher.stream`."""

    @abstractmethod
    def summary(self) -> Summary:
        """
        Return the figures of the results taken so far; printing them shows a report.

        It may be called while the stream runs and afterwards, also outside the `async with`. The
        `duration` ends with the batch. Memory does not grow with the number of results: beyond
        10,000, quantiles are within 0.8 % of the true values.
        """

    async def to_jsonl(self, path: PathTypes) -> None:
        """
        Write the results that are still to come to a file of JSON Lines, as they come.

        Memory is bounded, and the file appears when it is whole. A tag that is no text, number,
        bool or `None` is written as its `repr`.

        Raises:
            OSError: If the file cannot be written.
        """
        await JsonLinesFile(path).write_all_async(self)

    async def to_parquet(self, path: PathTypes) -> None:
        """
        Write the results that are still to come to a Parquet file, as they come.

        Memory is bounded, and the file appears when it is whole. `tag` is text, since the tags to
        come are not known: the `repr` of a tag that is none.

        Raises:
            OSError: If the file cannot be written.
            ImportError: If `pyarrow` is not installed (the extra `arrow`).
        """
        await ParquetFile(path).write_all_async(self)


class Results(Sequence[Result]):
    """
    The results of a batch, one for each request, in the order of the input.

    An immutable sequence. To fetch the failed requests again:

        again = await fetcher.fetch_many([failure.request for failure in results.failures])
    """

    __slots__ = ("_duration", "_results", "_slots_full")

    def __init__(
        self, results: Iterable[Result], *, duration: float, slots_full: float = 0.0
    ) -> None:
        self._results = tuple(results)
        self._duration = duration
        self._slots_full = slots_full

    @property
    def duration(self) -> float:
        """Seconds that the batch took; a slice has the duration of the whole batch."""
        return self._duration

    @property
    def successes(self) -> list[Success]:
        """The results that are a `Success`."""
        return [result for result in self._results if isinstance(result, Success)]

    @property
    def failures(self) -> list[Failure]:
        """The results that are a `Failure`."""
        return [result for result in self._results if isinstance(result, Failure)]

    def summary(self) -> Summary:
        """Return the figures of the batch, exact; printing them shows a report."""
        builder = SummaryBuilder(exact_up_to=len(self))
        for result in self._results:
            builder.add(result)
        return builder.build(duration=self._duration, slots_full=self._slots_full)

    def by_host(self) -> dict[str, Results]:
        """
        Return the results of each host, in the order in which the hosts first appear.

        The keys are the hosts of the requested URLs, whatever redirects followed: `example.org`, or
        `example.org:8080` if the port is not the scheme's default. They are in lower case, IPv6
        addresses in brackets. A URL relative to `base_url` counts for the host of its final URL.
        Results without any host are under `""`.
        """
        found: dict[str, list[Result]] = {}
        for result in self._results:
            found.setdefault(_host_of(result), []).append(result)
        return {host: self._of(own) for host, own in found.items()}

    def _of(self, results: Iterable[Result]) -> Results:
        return Results(results, duration=self._duration, slots_full=self._slots_full)

    def to_dicts(self) -> list[dict[str, Any]]:
        """
        Return the results as a list of dicts of plain Python values.

        `pandas.DataFrame(results.to_dicts())` makes a data frame of it. The documentation describes
        each column, under "Results as tables". User names and passwords in URLs are masked.
        """
        return list(records_of(self._results))

    def to_jsonl(self, path: PathTypes) -> None:
        """
        Write the results to a file of JSON Lines: one object on each line.

        It has the columns of `to_dicts`, and `content_as`: `"text"` if `content` is the body as
        text, which is so if it is UTF-8, else `"base64"`. The file appears when it is whole.

        Raises:
            OSError: If the file cannot be written.
        """
        JsonLinesFile(path, tag_types_of(self._results)).write_all(self._results)

    def to_parquet(self, path: PathTypes) -> None:
        """
        Write the results to a Parquet file. The file appears when it is whole.

        Raises:
            OSError: If the file cannot be written.
            ImportError: If `pyarrow` is not installed (the extra `arrow`).
        """
        ParquetFile(path, tag_types_of(self._results)).write_all(self._results)

    def to_arrow(self) -> Any:
        """
        Return the results as a `pyarrow.Table`.

        Raises:
            ImportError: If `pyarrow` is not installed (the extra `arrow`).
        """
        return table(self._results)

    def to_polars(self) -> Any:
        """
        Return the results as a `polars.DataFrame`.

        Raises:
            ImportError: If `polars` or `pyarrow` is not installed (the extra `polars`).
        """
        return polars_frame(self._results)

    def to_pandas(self) -> Any:
        """
        Return the results as a `pandas.DataFrame`, in which `status` is an integer or `<NA>`.

        Raises:
            ImportError: If `pandas` or `pyarrow` is not installed (the extra `pandas`).
        """
        return pandas_frame(self._results)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """
        Return the results as an Arrow stream, for pyarrow, pandas 3, DuckDB and others.

        Raises:
            ImportError: If `pyarrow` is not installed (the extra `arrow`).
        """
        return reader(self._results).__arrow_c_stream__(requested_schema)

    def raise_for_failures(self) -> None:
        """
        Raise the errors of the failures as one group; do nothing if there are none.

        Raises:
            ExceptionGroup: If a request failed. It holds the first 100 errors of each kind, in the
                order of the input; `failures` has all of them.
        """
        failures = self.failures
        if failures:
            raise ExceptionGroup(_message(failures, len(self)), list(_raised(failures)))

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self._of(self._results[index])
        return self._results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __repr__(self) -> str:
        failed = sum(not result.ok for result in self._results)
        return f"<Results: {len(self) - failed} ok, {failed} failed in {self._duration:.3f} s>"


def _host_of(result: Result) -> str:
    asked = result.request.url
    if (plain := plain_host_in(asked)) is not None:
        return plain
    # httpx parses many a text that cannot be fetched as a URL.
    return "" if result.url is None else host_in(asked) or host_in(result.url) or ""


def _raised(failures: list[Failure]) -> Iterator[Exception]:
    # Printing or logging the group formats every error in it (20 µs and more each), before all but
    # 15 are left out of the text: the errors of a million failures would take minutes.
    seen: Counter[FailureKind] = Counter()
    for failure in failures:
        seen[failure.kind] += 1
        if seen[failure.kind] <= RAISED_PER_KIND:
            yield failure.error


def _message(failures: list[Failure], total: int) -> str:
    kinds = Counter(failure.kind for failure in failures).most_common()
    counts = ", ".join(f"{kind} {count:,}" for kind, count in kinds)
    first = ", ".join(_cut(repr(failure)) for failure in failures[:NAMED_IN_MESSAGE])
    more = ", ..." if len(failures) > NAMED_IN_MESSAGE else ""
    return f"{len(failures):,} of {total:,} requests failed: {counts}; {first}{more}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= NAMED_WIDTH else f"{text[: NAMED_WIDTH - 4]}...>"
