"""
The results of a batch: `Results`, all at once in input order, and `ResultStream`, one by one.

A sequence with a few views, and the contract of a stream. The batch makes the results.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, overload

from asyncbatch._results._arrow import pandas_frame, polars_frame, reader, table
from asyncbatch._results._by_host import by_host
from asyncbatch._results._limits import UNKNOWN, Limits
from asyncbatch._results._record import records_of, tag_types_of
from asyncbatch._results._summary import Summary, SummaryBuilder
from asyncbatch._results._table_file import JsonLinesFile, ParquetFile, PathTypes, TableFile
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._masking import masked_url
from asyncbatch._values._result import Failure, Result, Success

RAISED_PER_KIND = 100
NAMED_IN_MESSAGE = 3
NAMED_WIDTH = 120
ROWS_SHOWN = 5
"""How many results a notebook shows."""
SUMMED_AT_ONCE = 100_000
"""Up to how many results a notebook shows the figures of all; making them takes 3 µs a result."""

HAS_ENDED = (
    "the stream has ended, and keeps no results; write it before it is read, or fetch with "
    "fetch_many, which keeps them"
)
HAS_LOST = (
    "some results of the stream were lost with a file that was not written to its end; fetch again "
    "for a whole table"
)
"""Why no table is made of the results that a stream has still to come."""


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

        Memory is bounded, and the file appears when it is complete. A tag that is not a text,
        number, bool or `None` is written as its `repr`.

        Raises:
            OSError: If the file cannot be written.
            RuntimeError: If the stream has ended, or was left, before or meanwhile; or if an
                earlier file was not written to its end.
        """
        await self._write(JsonLinesFile(path))

    async def to_parquet(self, path: PathTypes) -> None:
        """
        Write the results that are still to come to a Parquet file, as they come.

        Memory is bounded, and the file appears when it is complete. The types of the tags to come
        are not known, so `tag` is text: the `repr` of a tag that is not text.

        Raises:
            OSError: If the file cannot be written.
            RuntimeError: If the stream has ended, or was left, before or meanwhile; or if an
                earlier file was not written to its end.
            ImportError: If `pyarrow` is not installed (the extra `arrow`).
        """
        await self._write(ParquetFile(path))

    async def to_har(self, path: PathTypes) -> None:
        """
        Write the results that are still to come to an HTTP archive (HAR 1.2), as they come.

        It has the entries that `Results.to_har` describes, in the order in which the results come.
        Memory is bounded, and the file appears when it is complete.

        Raises:
            OSError: If the file cannot be written.
            RuntimeError: If the stream has ended, or was left, before or meanwhile; or if an
                earlier file was not written to its end.
        """
        from asyncbatch._results.report._har import HarFile

        await self._write(HarFile(path))

    @abstractmethod
    async def _write(self, file: TableFile) -> None:
        """Write the results that are still to come to a file."""

    @abstractmethod
    def report(self, path: PathTypes) -> None:
        """
        Write a report of the results taken so far to a file, as one HTML page.

        The stream must be made with `fetcher.stream(requests, report=True)`. This method may be
        called while the stream runs and afterwards, also outside the `async with`. Memory does not
        grow with the number of results. See `Results.report`.

        Args:
            path: The file; it is overwritten.

        Raises:
            RuntimeError: If the stream was made without `report=True`.
            OSError: If the file cannot be written.
        """


class Results(Sequence[Result]):
    """
    The results of a batch, one for each request, in the order of the input.

    An immutable sequence. To fetch the failed requests again:

        again = await fetcher.fetch_many([failure.request for failure in results.failures])
    """

    __slots__ = ("_duration", "_limits", "_results")

    def __init__(
        self, results: Iterable[Result], *, duration: float, limits: Limits = UNKNOWN
    ) -> None:
        self._results = tuple(results)
        self._duration = duration
        self._limits = limits

    def __getstate__(self) -> tuple[tuple[Result, ...], float, dict[str, Any]]:
        return self._results, self._duration, self._limits.plain()

    def __setstate__(self, state: tuple[tuple[Result, ...], float, dict[str, Any]]) -> None:
        self._results, self._duration, limits = state
        self._limits = Limits(**limits)

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
        return builder.build(duration=self._duration, slots_full=self._limits.slots_full)

    def report(self, path: PathTypes) -> None:
        """
        Write a report of the batch to a file, as one HTML page that needs no other file.

        It shows what happened, when, and why it took as long as it did: how long each limit held
        requests back, and what to change. User names, passwords and values that look like secrets
        in a URL are masked.

        Args:
            path: The file; it is overwritten.

        Raises:
            OSError: If the file cannot be written.
        """
        # Loaded here, since few programs write a report.
        from asyncbatch._results.report._report import BatchReport

        report = BatchReport()
        for result in self._results:
            report.add(result)
        report.write(path, duration=self._duration, limits=self._limits)

    def to_har(self, path: PathTypes | None = None) -> dict[str, Any]:
        """
        Return the results as an HTTP archive (HAR 1.2), which browsers and other tools show.

        Each result that was tried is an entry, the earliest first; one without a response has the
        status 0. Its times are those of the last try: earlier ones, and the waits between them, are
        in `blocked`. The bodies of responses are included, those of requests are not. Credentials,
        cookies and values that look like secrets in a URL are masked.

        Args:
            path: A file to write it to as well; it is overwritten.

        Raises:
            OSError: If the file cannot be written.
        """
        from asyncbatch._results.report._har import to_har

        return to_har(self._results, path)

    def by_host(self) -> dict[str, Results]:
        """
        Return the results of each host, in the order in which the hosts first appear.

        The keys are the hosts of the requested URLs, also after redirects: `example.org`, or
        `example.org:8080` if the port is not the scheme's default. They are in lower case, IPv6
        addresses in brackets. A URL relative to `base_url` counts for the host of its final URL.
        Results without any host are under `""`.
        """
        return {host: self._of(own) for host, own in by_host(self._results).items()}

    def _of(self, results: Iterable[Result]) -> Results:
        return Results(results, duration=self._duration, limits=self._limits)

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

        A line has the columns of `to_dicts`, and `content_as`: `"text"` if the body is UTF-8 and
        `content` is its text, else `"base64"`. The file appears when it is complete.

        Raises:
            OSError: If the file cannot be written.
        """
        JsonLinesFile(path, tag_types_of(self._results)).write_all(self._results)

    def to_parquet(self, path: PathTypes) -> None:
        """
        Write the results to a Parquet file. The file appears when it is complete.

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
        Return the results as a `pandas.DataFrame`.

        `status`, and tags that are integers or bools, are `<NA>` where there are none.

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

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the summary, and the first failures or results."""
        from asyncbatch._results.report._fragment import fragment

        shown = list(itertools.islice((each for each in self._results if not each.ok), ROWS_SHOWN))
        what = "first failures" if shown else "first results"
        rows = [_row(each) for each in shown or self._results[:ROWS_SHOWN]]
        facts = [(what, "")] if rows else []
        table = fragment("", facts, ("index", "outcome", "seconds", "URL"), rows, texts=4)
        if len(self) <= SUMMED_AT_ONCE:
            return f"<div>{self.summary()._repr_html_()}{table}</div>"  # pyright: ignore[reportPrivateUsage]
        failed = sum(not each.ok for each in self._results)
        counts = [("succeeded", f"{len(self) - failed:,}"), ("failed", f"{failed:,}")]
        title = f"{len(self):,} requests in {self._duration:,.1f} s"
        return f"<div>{fragment(title, counts)}{table}</div>"

    def __repr__(self) -> str:
        failed = sum(not result.ok for result in self._results)
        return f"<Results: {len(self) - failed} ok, {failed} failed in {self._duration:.3f} s>"


def _row(result: Result) -> tuple[str, ...]:
    url = masked_url(result.request.url if result.url is None else result.url)
    outcome = result.status_code if result.ok or result.kind == "status" else result.kind
    return (f"{result.index:,}", str(outcome or "exists"), f"{result.elapsed:.3f}", url)


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
