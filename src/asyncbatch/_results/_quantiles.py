"""
Quantiles of many durations, in bounded memory.

They are exact up to a number of values. Beyond it, a log-linear histogram like that of HdrHistogram
is kept: 64 buckets of equal width between successive powers of two. A bucket is at most 1/64 of its
lower bound wide and stands for its middle, so that the error stays below 1/128 (0.8 %).
"""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs

# Bits of a double's 52-bit mantissa that a bucket drops: 6 are left, which makes 64 buckets.
DROPPED_BITS = 46


@attrs.frozen(kw_only=True)
class Quantiles:
    """Number and distribution of durations, in seconds."""

    COLUMNS: ClassVar = ("mean", "p50", "p90", "p99", "max")

    count: int
    """The number of values."""
    mean: float
    """The mean, exact."""
    p50: float
    """The median: half of the values are at most this."""
    p90: float
    """90 % of the values are at most this."""
    p99: float
    """99 % of the values are at most this."""
    max: float
    """The largest value, exact."""

    def columns(self) -> tuple[float, ...]:
        """Return the values under `COLUMNS`."""
        return (self.mean, self.p50, self.p90, self.p99, self.max)


class QuantilesBuilder:
    """Collects durations: each value up to `exact_up_to` values, a histogram beyond."""

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

    def extend(self, values: Sequence[float]) -> None:
        """
        Add durations; a negative one counts as zero.

        Takes many at a time, so that the work for each is done in C.
        """
        if not values:
            return
        count, least, most = len(values), min(values), max(values)
        if not least > 0.0:
            least = 0.0
            if most > 0.0:
                values = [value if value > 0.0 else 0.0 for value in values]
            else:
                most = 0.0
        self._count += count
        self._max = max(self._max, most)
        self._min = min(self._min, least)
        if least == most:  # as of a phase that no request had to wait in
            self._sum += count * least
            if self._values is None:
                [bucket] = _numbers(array("d", [least]))
                self._buckets[bucket] += count
                return
            values = [least] * count
        else:
            self._sum += math.fsum(values)
            if self._values is None:
                self._buckets.update(_numbers(array("d", values)))
                return
        self._values.extend(values)
        if self._count > self._exact_up_to:
            self._buckets = _buckets_of(self._values)
            self._values = None

    def state(self) -> dict[str, Any] | None:
        """Return what `merge` takes, of types that JSON has; `None` if there are no values."""
        if not self._count:
            return None
        buckets = self._buckets if self._values is None else _buckets_of(self._values)
        return {
            "count": self._count,
            "sum": self._sum,
            "min": self._min,
            "max": self._max,
            "buckets": sorted(buckets.items()),
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the values of another builder, given by its `state`."""
        if self._values is not None:
            self._buckets = _buckets_of(self._values)
            self._values = None
        self._buckets.update(dict(state["buckets"]))
        self._count += state["count"]
        self._sum += state["sum"]
        self._min = min(self._min, state["min"])
        self._max = max(self._max, state["max"])

    def build(self) -> Quantiles | None:
        """Return the quantiles of the values so far; `None` if there are none."""
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
        """Return the middle of the bucket of each of the ascending `ranks`."""
        found: list[float] = []
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            while len(found) < len(ranks) and ranks[len(found)] <= seen:
                found.append(_middle(bucket))
        return found


def _buckets_of(values: array[float]) -> Counter[int]:
    return Counter(_numbers(values))


def _numbers(values: array[float]) -> list[int]:
    """Return the number of the bucket of each value."""
    # The bits of a double, read as an integer, are its exponent and then its mantissa. Without
    # the lowest bits they number buckets of equal width between powers of two.
    bits = memoryview(values).cast("B").cast("q")
    return [each >> DROPPED_BITS for each in bits]


def _rank(percent: int, count: int) -> int:
    # The nearest rank: a value that occurred, never one in between. In integers, because
    # 0.9 * 10 may be more than 9.
    return -(-percent * count // 100)


def _middle(bucket: int) -> float:
    if not bucket:
        return 0.0
    bits = bucket << DROPPED_BITS | 1 << (DROPPED_BITS - 1)
    middle: float = struct.unpack("=d", struct.pack("=q", bits))[0]
    return middle
