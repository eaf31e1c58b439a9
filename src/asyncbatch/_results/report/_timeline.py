"""
What happened when: results and open requests over time, in a bounded number of bins.

The bins get twice as wide whenever there would be too many of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from asyncbatch._values._result import Result
from asyncbatch._values._timing import Timing

BINS = 160
"""Most bins. There are at least half as many, unless all of it took less than 80 ms."""
FINEST = 2.0**-10
"""The least width of a bin, in seconds. All widths are this, doubled a number of times."""
_LATEST = 32_503_680_000.0
"""Seconds since 1970 beyond which a time is invalid: the year 3000, the last one on Windows."""
ENDED_WAITING = {"host_down", "retry_after", "not_started"}
"""Kinds of failures that end a request while it waits for its next try."""


@attrs.define
class Bin:
    """The figures of one stretch of time."""

    succeeded: int = 0
    """Number of requests that succeeded in it."""
    failed: int = 0
    """Number of requests that failed in it."""
    bytes: int = 0
    """Length of the bodies of the requests that ended in it."""
    open: float = 0.0
    """Seconds that requests were open in it, added up. Divided by the width, it is their number."""

    def add(self, other: Bin) -> None:
        """Add the figures of another stretch."""
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.bytes += other.bytes
        self.open += other.open


@attrs.frozen
class Span:
    """The bins of a batch, without gaps."""

    begins_at: float
    """When the first bin begins, in seconds since 1970."""
    width: float
    """The width of each bin, in seconds."""
    bins: tuple[Bin, ...]
    """The bins, the first one first."""

    @property
    def seconds(self) -> float:
        """How long all bins are together."""
        return self.width * len(self.bins)


class Timeline:
    """Collects the times of requests, of which it keeps none."""

    def __init__(self) -> None:
        self.width = FINEST
        """The width of a bin now."""
        # By the number of the bin, which is the time in widths, rounded down: so two neighbours,
        # the first of an even number, become one when the width doubles.
        self._bins: dict[int, Bin] = {}
        # How many requests more are open throughout a bin and all later ones, by its number: so a
        # request that is open for many bins costs as much as one that is open for two.
        self._steps: dict[int, int] = {}
        self.begins_at = math.inf
        """The beginning of the earliest request, in seconds since 1970."""
        self.ends_at = -math.inf
        """The end of the latest request."""

    def add(self, spans: list[tuple[float, float]], size: int, *, ok: bool) -> None:
        """
        Add a request.

        Args:
            spans: When it was open: beginning and end of each stretch, in seconds since 1970. It
                ended with the last one.
            size: The length of its body.
            ok: Whether it succeeded.
        """
        begun, ended = spans[0][0], spans[-1][1]
        if not (0.0 < begun <= ended < _LATEST):
            return
        if begun < self.begins_at:
            self.begins_at = begun
            self._fit()
        if ended > self.ends_at:
            self.ends_at = ended
            self._fit()
        width, bins = self.width, self._bins
        last = bins.get(at := int(ended / width))
        if last is None:
            last = bins[at] = Bin()
        if ok:
            last.succeeded += 1
        else:
            last.failed += 1
        last.bytes += size
        for begin, end in spans:
            self._open(begin / width, min(max(begin, end), ended) / width)

    def state(self) -> dict[str, Any] | None:
        """Return what `merge` takes, of types that JSON has; `None` if there is nothing."""
        if not self._bins:
            return None
        self._fold_steps()
        return {
            "width": self.width,
            "begins_at": self.begins_at,
            "ends_at": self.ends_at,
            "bins": [(number, *attrs.astuple(each)) for number, each in self._bins.items()],
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add what another timeline has collected, given by its `state`."""
        self.begins_at = min(self.begins_at, state["begins_at"])
        self.ends_at = max(self.ends_at, state["ends_at"])
        while self.width < state["width"]:
            self._double()
        self._fit()
        # Both widths are the finest one, doubled a number of times.
        by = round(math.log2(self.width / state["width"]))
        for number, *counts in state["bins"]:
            mine = self._bins.get(number >> by)
            if mine is None:
                mine = self._bins[number >> by] = Bin()
            mine.add(Bin(*counts))

    def build(self) -> Span | None:
        """Return the bins so far; `None` if there is nothing in them."""
        if not self._bins:
            return None
        self._fold_steps()
        first, last = self._ends()
        bins = tuple(self._bins.get(number) or Bin() for number in range(first, last + 1))
        return Span(first * self.width, self.width, bins)

    def _open(self, begin: float, end: float) -> None:
        width, bins, steps = self.width, self._bins, self._steps
        first, last = int(begin), int(end)
        opened = bins.get(first)
        if opened is None:
            opened = bins[first] = Bin()
        if first == last:
            opened.open += (end - begin) * width
            return
        opened.open += (first + 1 - begin) * width
        closed = bins.get(last)
        if closed is None:
            closed = bins[last] = Bin()
        closed.open += (end - last) * width
        if last - first > 1:
            steps[first + 1] = steps.get(first + 1, 0) + 1
            steps[last] = steps.get(last, 0) - 1

    def _ends(self) -> tuple[int, int]:
        return int(self.begins_at / self.width), int(self.ends_at / self.width)

    def _fit(self) -> None:
        """Double the width until there are few enough bins."""
        if self.ends_at < self.begins_at:
            return
        first, last = self._ends()
        while last - first >= BINS:
            self._double()
            first, last = self._ends()

    def _double(self) -> None:
        self._fold_steps()
        self.width *= 2
        doubled: dict[int, Bin] = {}
        for number, each in self._bins.items():
            if number >> 1 in doubled:
                doubled[number >> 1].add(each)
            else:
                doubled[number >> 1] = each
        self._bins = doubled

    def _fold_steps(self) -> None:
        """Write the requests that are open throughout a bin into the bins."""
        for number, count in _running(self._steps):
            each = self._bins.get(number)
            if each is None:
                each = self._bins[number] = Bin()
            each.open += count * self.width
        self._steps.clear()


def _running(steps: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield each number between the first and the last step, with the sum of the steps up to it."""
    if not steps:
        return
    count = 0
    for number in range(min(steps), max(steps)):
        count += steps.get(number, 0)
        if count:
            yield number, count


def spans_of(result: Result, begun: float, ended: float) -> list[tuple[float, float]]:
    """Return when a request was in flight, which it was not between two tries."""
    if not result.history:
        if result.kind in ENDED_WAITING:
            in_flight = min(network_seconds(result.timing), result.elapsed)
            return [(begun, begun + in_flight), (ended, ended)]
        return [(begun, ended)]
    spans, at = [], begun
    for each in result.history:
        spans.append((at, at := min(ended, at + network_seconds(each.timing))))
        at = min(ended, at + max(0.0, each.delay))
    begun_last = ended - network_seconds(result.timing)
    return [*spans, (min(max(at, begun_last), ended), ended)]


def network_seconds(timing: Timing) -> float:
    """Return the seconds of all network phases."""
    return sum(max(0.0, seconds) for _, seconds in timing.phases())
