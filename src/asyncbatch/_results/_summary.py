"""
The figures of a batch: `Summary`, and `SummaryBuilder`, which makes one from results.

Counting and quantiles only: the batch measures its duration, and the caller shows the figures.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import attrs

from asyncbatch._results._limits import Limits
from asyncbatch._results._quantiles import Quantiles, QuantilesBuilder
from asyncbatch._results._table_file import PathTypes
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result, figures_of
from asyncbatch._values._timing import NETWORK_PHASES, phases_of

PHASES = ("queued", "throttled", *NETWORK_PHASES)
EXACT_UP_TO = 10_000
FIGURES = 8
"""Number of figures of each result."""
COUNTED_AT_ONCE = 500 * FIGURES
LINE_WIDTH = 80
# So that a batch with hundreds of different statuses still fits on a screen.
STATUSES_SHOWN = 20

_VIEWS = ("kinds", "statuses", "phases")


@attrs.frozen(kw_only=True)
class Summary:
    """
    The figures of a batch; its `str()` is a readable report.

    The quantiles cover the requests that were tried at least once. A request that was never sent
    took no time, and would only make the others look faster.
    """

    total: int
    """Number of results."""
    succeeded: int
    """Number of results that are a `Success`."""
    failed: int
    """Number of results that are a `Failure`."""
    kinds: Mapping[FailureKind, int]
    """Number of failures of each kind, the most frequent first."""
    statuses: Mapping[int, int]
    """Number of final responses with each status, in the order of the statuses."""
    retries: int
    """Number of tries beyond the first, over all requests."""
    bytes: int
    """Total length of the final bodies, decoded."""
    duration: float
    """Seconds that the batch took."""
    slots_full: float = 0.0
    """Seconds of the duration in which all `concurrency` slots were taken, so that no further
    request could start. If that is most of the time, a higher `concurrency` may make the batch
    faster."""
    elapsed: Quantiles | None
    """Seconds per request, retries and their waits included: `mean`, `p50` (the median), `p90`,
    `p99`, `max`, and the number of requests (`count`). `None` if none was tried."""
    phases: Mapping[str, Quantiles]
    """The same for each phase of `Timing` that occurred, by the name of the phase."""
    part: str | None = None
    """The part that the figures are about: how many shards of a data set, if some are
    missing. `None`: all of it."""

    def __getstate__(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(Summary)}
        # A view cannot be pickled.
        return fields | {name: dict(fields[name]) for name in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, MappingProxyType(value) if name in _VIEWS else value)

    @property
    def rate(self) -> float:
        """Results per second; 0 if the batch took no time."""
        return self.total / self.duration if self.duration > 0 else 0.0

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from asyncbatch._results.report._fragment import fragment

        rows = [] if self.elapsed is None else [("elapsed", self.elapsed)]
        rows += [(name, found) for name, found in self.phases.items() if found.max > 0]
        return fragment(
            _head(self),
            [(name, f"{figure}  {details}".strip()) for name, figure, details in _facts(self)],
            ("", *Quantiles.COLUMNS),
            [(name, *map(shown_seconds, found.columns())) for name, found in rows],
        )


class SummaryBuilder:
    """
    Makes a `Summary` from results that are added one by one. It keeps none of them.

    Quantiles are exact up to 10,000 results, and within 0.8 % of the true value beyond.

    Args:
        exact_up_to: Number of results up to which the quantiles are exact. Each result up to that
            number takes up to 72 bytes.
    """

    def __init__(self, *, exact_up_to: int = EXACT_UP_TO) -> None:
        # The figures of the latest results, one after the other. Counting many at a time takes a
        # tenth of the time per result.
        self._latest: list[Any] = []
        self._total = 0
        self._retries = 0
        self._bytes = 0
        self._kinds: Counter[FailureKind] = Counter()
        self._statuses: Counter[int] = Counter()
        self._elapsed = QuantilesBuilder(exact_up_to)
        self._phases = {name: QuantilesBuilder(exact_up_to) for name in PHASES}

    def add(self, result: Result) -> None:
        """Add one result."""
        latest = self._latest
        latest += figures_of(result)
        if len(latest) >= COUNTED_AT_ONCE:
            self._count()

    def state(self) -> dict[str, Any]:
        """Return what `merge` takes, of types that JSON has."""
        self._count()
        return {
            "total": self._total,
            "retries": self._retries,
            "bytes": self._bytes,
            "kinds": [(str(kind), count) for kind, count in self._kinds.items()],
            "statuses": list(self._statuses.items()),
            "elapsed": self._elapsed.state(),
            "phases": {name: builder.state() for name, builder in self._phases.items()},
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the results of another builder, given by its `state`; quantiles are then inexact."""
        self._count()
        self._total += state["total"]
        self._retries += state["retries"]
        self._bytes += state["bytes"]
        self._kinds.update({FailureKind(kind): count for kind, count in state["kinds"]})
        self._statuses.update(dict(state["statuses"]))
        for name, builder in (("elapsed", self._elapsed), *self._phases.items()):
            found = state["elapsed"] if name == "elapsed" else state["phases"][name]
            if found is not None:
                builder.merge(found)

    def build(self, *, duration: float, slots_full: float = 0.0) -> Summary:
        """
        Return the summary of the results added so far.

        Args:
            duration: Seconds that the batch took.
            slots_full: Seconds of the duration in which all slots were taken.
        """
        self._count()
        failed = self._kinds.total()
        phases = {name: builder.build() for name, builder in self._phases.items()}
        return Summary(
            total=self._total,
            succeeded=self._total - failed,
            failed=failed,
            kinds=MappingProxyType(dict(self._kinds.most_common())),
            statuses=MappingProxyType(dict(sorted(self._statuses.items()))),
            retries=self._retries,
            bytes=self._bytes,
            duration=duration,
            slots_full=slots_full,
            elapsed=self._elapsed.build(),
            phases=MappingProxyType({name: found for name, found in phases.items() if found}),
        )

    def _count(self) -> None:
        latest, self._latest = self._latest, []
        kinds, statuses, sizes, *_ = (latest[start::FIGURES] for start in range(FIGURES))
        self._total += len(kinds)
        # Most results have no kind of failure, and the same status.
        if kinds.count(None) < len(kinds):
            self._kinds.update([kind for kind in kinds if kind is not None])
        if statuses and statuses.count(statuses[0]) == len(statuses) and statuses[0] is not None:
            self._statuses[statuses[0]] += len(statuses)
        else:
            self._statuses.update([status for status in statuses if status is not None])
        self._bytes += sum(sizes)
        self._count_tried(latest)

    def _count_tried(self, latest: list[Any]) -> None:
        attempts = latest[3::FIGURES]
        columns = [latest[start::FIGURES] for start in range(4, FIGURES)]
        if not all(attempts):
            columns = [list(itertools.compress(column, attempts)) for column in columns]
        elapsed, queued, throttled, networks = columns
        self._retries += sum(attempts) - len(elapsed)
        self._elapsed.extend(elapsed)
        self._phases["queued"].extend(queued)
        self._phases["throttled"].extend(throttled)
        for name, seconds in phases_of(networks):
            self._phases[name].extend(seconds)


class ReportWriter(Protocol):
    """The interface of a report to a running summary."""

    def add(self, result: Result, /) -> None:
        """Add one result."""
        ...

    def write(self, path: PathTypes, /, *, duration: float, limits: Limits) -> None:
        """Write the report of the results added so far to a file."""
        ...


class RunningSummary:
    """
    The summary of a running batch, with its duration so far.

    Args:
        report: A report of the same results; `None`: no report.
    """

    def __init__(self, report: ReportWriter | None = None) -> None:
        self._builder = SummaryBuilder()
        self._report = report
        self._clock: Callable[[], float] = float  # stands still until the batch begins
        self._limits: Callable[[], Limits] = Limits
        self._begun_at = 0.0
        self._ended_at: float | None = None
        self.add: Callable[[Result], None] = self._builder.add
        """Add one result."""
        if report is not None:
            self.add = self._add_to_both

    def start_clock(
        self, clock: Callable[[], float], limits: Callable[[], Limits] = Limits
    ) -> None:
        """
        Begin to measure the duration.

        Args:
            clock: Returns the time in seconds.
            limits: Returns what the limits have done to the batch.
        """
        self._clock = clock
        self._limits = limits
        self._begun_at = clock()

    def stop_clock(self) -> None:
        """Stop measuring the duration."""
        if self._ended_at is None:
            self._ended_at = self._clock()
            limits = self._limits()
            self._limits = lambda: limits

    def build(self) -> Summary:
        """Return the summary of the results added so far."""
        return self._builder.build(duration=self.duration, slots_full=self.limits.slots_full)

    def write_report(self, path: PathTypes) -> None:
        """
        Write the report of the results added so far to a file.

        Raises:
            RuntimeError: If there is none.
            OSError: If the file cannot be written.
        """
        if self._report is None:
            raise RuntimeError(
                "this stream has kept no figures for a report; ask for them with "
                "stream(requests, report=True)"
            )
        self._report.write(path, duration=self.duration, limits=self.limits)

    def _add_to_both(self, result: Result) -> None:
        assert self._report is not None
        self._builder.add(result)
        self._report.add(result)

    @property
    def duration(self) -> float:
        """Seconds since the batch began, up to its end."""
        now = self._clock() if self._ended_at is None else self._ended_at
        return now - self._begun_at

    @property
    def limits(self) -> Limits:
        """What the limits have done to the batch."""
        return self._limits()


def _lines(summary: Summary) -> Iterator[str]:
    yield _head(summary)
    for name, figure, details in _facts(summary):
        yield from _wrapped(name, figure, details)
    if summary.elapsed is not None:
        yield ""
        yield _row("", *Quantiles.COLUMNS)
        yield _quantiles_row("elapsed", summary.elapsed)
    for name, found in summary.phases.items():
        if found.max > 0:
            yield _quantiles_row(name, found)


def _head(summary: Summary) -> str:
    requests = "request" if summary.total == 1 else "requests"
    head = f"{summary.total:,} {requests} in {shown_seconds(summary.duration)}"
    if not summary.total:
        return head
    return f"{head}, {shown_rate(summary.rate)}, {shown_bytes(summary.bytes)}"


def _facts(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Yield the counts: the name, the figure, and more about it."""
    if summary.part is not None:
        yield "part", summary.part, ""
    if not summary.total:
        return
    yield "succeeded", f"{summary.succeeded:,}", ""
    yield "failed", f"{summary.failed:,}", _counts(summary.kinds)
    yield "retries", f"{summary.retries:,}", ""
    if summary.slots_full > 0 and summary.duration > 0:
        share = min(1.0, summary.slots_full / summary.duration)
        yield "slots", f"all taken for {share:.0%} of the time", ""
    if summary.statuses:
        yield "statuses", "", _statuses(summary.statuses)


def _statuses(statuses: Mapping[int, int]) -> str:
    most = dict(Counter(statuses).most_common(STATUSES_SHOWN))
    shown = _counts(dict(sorted(most.items())))
    hidden = len(statuses) - len(most)
    return f"{shown}, and {hidden} more" if hidden else shown


def _counts(counts: Mapping[FailureKind, int] | Mapping[int, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _wrapped(label: str, figure: str, details: str) -> list[str]:
    # A count stays on the line of its name: the blank between the two does not break.
    start = f"  {label:<9}  {figure}"
    text = details.replace(", ", ",\n").replace(" ", "\xa0").replace("\n", " ")
    lines = textwrap.wrap(
        f"({text})" if figure and text else text,
        width=LINE_WIDTH,
        initial_indent=f"{start}  " if figure else start,
        subsequent_indent=" " * 13,
        break_long_words=False,
    )
    return [line.replace("\xa0", " ") for line in lines] or [start.rstrip()]


def _quantiles_row(name: str, found: Quantiles) -> str:
    return _row(name, *(shown_seconds(seconds) for seconds in found.columns()))


def _row(name: str, *cells: str) -> str:
    return (f"  {name:<9}" + "".join(f"{cell:>11}" for cell in cells)).rstrip()


def shown_seconds(seconds: float) -> str:
    """Return a duration as text: three digits, in a fitting unit."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    return f"{seconds:,.0f} s"


def shown_rate(per_second: float) -> str:
    """Return a rate as text: three digits, or a whole number."""
    return f"{per_second:,.0f}/s" if per_second >= 99.95 else f"{per_second:.3g}/s"


def shown_bytes(count: float) -> str:
    """Return a number of bytes as text: three digits, in a fitting unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
