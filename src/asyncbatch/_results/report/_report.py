"""
`Report` and `BatchReport`: collect the figures of results, and write them as one HTML page.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asyncbatch._results._limits import UNKNOWN, Limits
from asyncbatch._results._record import as_result, to_be_read
from asyncbatch._results._table_file import PathTypes
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._page import page_of
from asyncbatch._values._result import Result


class Report:
    """
    A report of results from any source, which are added one by one. It keeps none of them.

        report = Report(Journal.read("run.db"))
        report.write("report.html")

    The `report` of `Results` and of a stream has more: how long each limit held requests back,
    which the results alone do not show.

    Args:
        results: The first results to add; of a stream, those that are still to come.

    Raises:
        RuntimeError: If `results` is a stream that has ended or was left; use the `report` of the
            stream.
    """

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._batch_report = BatchReport()
        for result in to_be_read(results):
            self.add(result)

    def add(self, result: Result) -> None:
        """
        Add one result.

        Raises:
            TypeError: If it is not a result.
        """
        self._batch_report.add(as_result(result))

    def html(self, *, duration: float | None = None) -> str:
        """
        Return the page.

        Args:
            duration: Seconds that the batch took. `None`: from the beginning of the first request
                to the end of the last.
        """
        return self._batch_report.html(duration=duration)

    def write(self, path: PathTypes, *, duration: float | None = None) -> None:
        """
        Write the page to a file.

        Args:
            path: The file; it is overwritten.
            duration: As for `html`.

        Raises:
            OSError: If the file cannot be written.
        """
        self._batch_report.write(path, duration=duration)


class BatchReport:
    """The report of a batch, whose duration is known, and what its limits did to it."""

    def __init__(self) -> None:
        self._builder = ReportBuilder()
        self.add = self._builder.add
        """Add one result."""
        self.summary = self._builder.summary
        """The summary of the results added so far."""

    def html(self, *, duration: float | None, limits: Limits = UNKNOWN) -> str:
        """Return the page."""
        return page_of(self._builder.build(duration=duration, limits=limits))

    def write(
        self,
        path: PathTypes,
        *,
        duration: float | None,
        limits: Limits = UNKNOWN,
    ) -> None:
        """
        Write the page to a file.

        Raises:
            OSError: If the file cannot be written.
        """
        page = self.html(duration=duration, limits=limits)
        Path(os.fsdecode(path)).write_text(page, encoding="utf-8")

    def state(self, *, duration: float, limits: Limits) -> dict[str, Any]:
        """Return what `MergedReport` takes, of types that JSON has, some ten kilobytes."""
        return {
            "results": self._builder.state(),
            "duration": duration,
            "slots_full": limits.slots_full,
            "waits": dict(limits.waits),
            "hosts": [(host, dict(seconds)) for host, seconds in limits.hosts.items()],
        }


class MergedReport:
    """
    The report of several batches, made from what they told of theirs.

    Their times are put side by side. `slots_full` is the share of their durations in which all
    slots were taken. A host that several of them asked held requests back for the sum of the times.
    """

    def __init__(self) -> None:
        self._builder = ReportBuilder()
        self._durations = 0.0
        self._slots_full = 0.0
        self._waits: Counter[str] = Counter()
        self._hosts: dict[str, Counter[str]] = {}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add a batch, given by the `state` of its report."""
        self._builder.merge(state["results"])
        self._durations += state["duration"]
        self._slots_full += state["slots_full"]
        self._waits.update(state["waits"])
        for host, seconds in state["hosts"]:
            self._hosts.setdefault(host, Counter()).update(seconds)

    def write(self, path: PathTypes, *, duration: float, part: str | None = None) -> None:
        """
        Write the page to a file.

        Args:
            path: The file; it is overwritten.
            duration: Seconds from the first beginning to the last end.
            part: What part of the whole it is about; `None`: all of it.

        Raises:
            OSError: If the file cannot be written.
        """
        share = self._slots_full / self._durations if self._durations > 0 else 0.0
        limits = Limits(slots_full=share * duration, waits=self._waits, hosts=self._hosts)
        page = page_of(self._builder.build(duration=duration, limits=limits), part)
        Path(os.fsdecode(path)).write_text(page, encoding="utf-8")
