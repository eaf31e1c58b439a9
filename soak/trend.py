"""
Whether a figure that was taken again and again grows: values in, a verdict out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """By how much a figure may have grown from the beginning of a run to its end."""

    absolute: float
    """In its own unit."""
    relative: float = 0.0
    """As a part of what it is on average; the larger of the two counts."""

    def of(self, mean: float) -> float:
        """Return the bound for a figure that has this mean."""
        return max(self.absolute, self.relative * mean)


def growth(times: Sequence[float], figures: Sequence[float]) -> float:
    """
    Return by how much `figures` have grown over `times`, by the line of least squares.

    A line, since the first and the last figure alone are chance; and of all of them, since a leak
    has no reason to be in one place.
    """
    if len(times) < 2:
        return 0.0
    mean_time, mean = sum(times) / len(times), sum(figures) / len(figures)
    spread = sum((time - mean_time) ** 2 for time in times)
    if not spread:
        return 0.0
    together = sum((t - mean_time) * (f - mean) for t, f in zip(times, figures, strict=True))
    return together / spread * (times[-1] - times[0])


def quarters(figures: Sequence[float]) -> tuple[float, float]:
    """Return the median of the first quarter of `figures`, and that of the last."""
    size = max(1, len(figures) // 4)
    return _median(figures[:size]), _median(figures[-size:])


def has_grown(times: Sequence[float], figures: Sequence[float], bound: Bound) -> bool:
    """
    Say whether `figures` grow beyond `bound`: by the line, and from first to last quarter.

    Both, as each alone is fooled: the line by one outlier at an end, the quarters by a wave.
    """
    allowed = bound.of(sum(figures) / len(figures)) if figures else 0.0
    first, last = quarters(figures) if figures else (0.0, 0.0)
    return growth(times, figures) > allowed and last - first > allowed


def _median(figures: Sequence[float]) -> float:
    ordered = sorted(figures)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
