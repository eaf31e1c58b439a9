"""
Quantiles of many durations, in bounded memory.

Exact up to a number of values; beyond it a log-linear histogram, as HdrHistogram keeps one: 64
buckets of equal width between each two powers of two. A bucket is at most 1/64 of its lower bound
wide and answers with its middle, so that the error stays below 1/128 (0.8 %).
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from typing import ClassVar

import attrs

BUCKETS_PER_OCTAVE = 64
# Below a picosecond there is nothing to tell apart, and zero has no logarithm.
SMALLEST = 2.0**-40


@attrs.frozen(kw_only=True)
class Quantiles:
    """How many durations there were, and how they spread; in seconds."""

    COLUMNS: ClassVar = ("mean", "p50", "p90", "p99", "max")

    count: int
    """How many values."""
    mean: float
    """Their mean, exact."""
    p50: float
    """The median: half of the values are not above it."""
    p90: float
    """90 % of the values are not above it."""
    p99: float
    """99 % of the values are not above it."""
    max: float
    """The largest of them, exact."""

    def columns(self) -> tuple[float, ...]:
        """Return the values under `COLUMNS`."""
        return (self.mean, self.p50, self.p90, self.p99, self.max)


class QuantilesBuilder:
    """Collects durations: all of them up to `exact_up_to`, and a histogram beyond."""

    def __init__(self, exact_up_to: int) -> None:
        self._exact_up_to = exact_up_to
        # The values themselves; None once there are too many.
        self._values: array[float] | None = array("d")
        # Bucket to count; empty until then.
        self._buckets: Counter[int] = Counter()
        self._count = 0
        self._sum = 0.0
        self._min = math.inf
        self._max = 0.0

    def add(self, value: float) -> None:
        """Collect one duration; a negative one counts as zero."""
        value = max(value, 0.0)
        self._count += 1
        self._sum += value
        if value > self._max:
            self._max = value
        if value < self._min:
            self._min = value
        if self._values is None:
            self._buckets[_bucket(value)] += 1
            return
        self._values.append(value)
        if self._count > self._exact_up_to:
            self._buckets.update(map(_bucket, self._values))
            self._values = None

    def build(self) -> Quantiles | None:
        """Return the quantiles of what was collected so far; `None` if that is nothing."""
        if not self._count:
            return None
        p50, p90, p99 = self._at_ranks([_rank(percent, self._count) for percent in (50, 90, 99)])
        return Quantiles(
            count=self._count,
            mean=self._sum / self._count,
            p50=p50,
            p90=p90,
            p99=p99,
            max=self._max,
        )

    def _at_ranks(self, ranks: list[int]) -> list[float]:
        if self._values is not None:
            ordered = sorted(self._values)
            return [ordered[rank - 1] for rank in ranks]
        return [min(max(value, self._min), self._max) for value in self._in_buckets(ranks)]

    def _in_buckets(self, ranks: list[int]) -> list[float]:
        """Return the middles of the buckets that the ascending `ranks` fall into."""
        found: list[float] = []
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            while len(found) < len(ranks) and ranks[len(found)] <= seen:
                found.append(_middle(bucket))
        return found


def _rank(percent: int, count: int) -> int:
    # The nearest rank: a value that occurred, never one in between. In integers, because
    # 0.9 * 10 may be more than 9.
    return -(-percent * count // 100)


def _bucket(value: float) -> int:
    mantissa, exponent = math.frexp(max(value, SMALLEST))
    return exponent * BUCKETS_PER_OCTAVE + int((mantissa - 0.5) * (2 * BUCKETS_PER_OCTAVE))


def _middle(bucket: int) -> float:
    if bucket == _bucket(0.0):
        return 0.0
    exponent, step = divmod(bucket, BUCKETS_PER_OCTAVE)
    return math.ldexp(0.5 + (step + 0.5) / (2 * BUCKETS_PER_OCTAVE), exponent)
