"""
From measurements to figures: medians, spreads, ratios within rounds, and whether targets are met.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.record import Measurement, Record
from benchmarks.targets import TARGETS, Case, Target
from benchmarks.workloads import Entrant


@dataclass(frozen=True)
class Spread:
    """A median over rounds, with the least and the greatest."""

    middle: float
    least: float
    greatest: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of values, None if there are none."""
        found = list(values)
        if not found:
            return None
        return cls(median(found), min(found), max(found), len(found))

    def times(self, factor: float) -> Spread:
        """Return the spread in another unit."""
        return Spread(
            self.middle * factor, self.least * factor, self.greatest * factor, self.rounds
        )


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured of it."""

    target: Target
    spread: Spread | None
    """None: not measured."""
    by_cpu: Spread | None = None
    """The same ratio of CPU instead of wall time, which others on the machine disturb less."""

    @property
    def word(self) -> str:
        """Say in a word or two how it stands."""
        if self.spread is None:
            return "not measured"
        return "reached" if self.target.is_reached_by(self.spread.middle) else "NOT REACHED"


def cost_of(record: Record, workload: str, entrant: Entrant) -> Spread | None:
    """Return the wall time per request of an entrant."""
    return Spread.of(each.wall_per_request for each in record.of(workload, entrant))


def cpu_of(record: Record, workload: str, entrant: Entrant) -> Spread | None:
    """Return the CPU time per request of an entrant."""
    return Spread.of(each.cpu_per_request for each in record.of(workload, entrant))


def figure_of(record: Record, workload: str, entrant: Entrant, name: str) -> Spread | None:
    """Return another figure of an entrant, None where there is no such figure."""
    found = [each.figures[name] for each in record.of(workload, entrant) if name in each.figures]
    return Spread.of(found)


def ratio_of(record: Record, above: Case, below: Case, *, cpu: bool = False) -> Spread | None:
    """Return the ratio of wall (or CPU) times per request, each taken within one round."""
    cost = operator.attrgetter("cpu_per_request" if cpu else "wall_per_request")
    upper = {each.round: cost(each) for each in _best(record, above)}
    lower = {each.round: cost(each) for each in _best(record, below)}
    return Spread.of(
        upper[number] / lower[number] for number in sorted(upper.keys() & lower.keys())
    )


def entrants_of(record: Record, workload: str) -> list[Entrant]:
    """Return who was measured with a workload, the fastest first."""
    entrants = {each.entrant for each in record.of(workload)}
    return sorted(entrants, key=lambda entrant: _middle(record.of(workload, entrant)))


def verdicts(record: Record) -> list[Verdict]:
    """Return how each target stands."""
    return [_verdict(record, target) for target in TARGETS]


def _verdict(record: Record, target: Target) -> Verdict:
    above, below = target.above, target.below
    if below is not None:
        by_cpu = ratio_of(record, above, below, cpu=True)
        by_wall = ratio_of(record, above, below)
        return Verdict(target, by_cpu if target.by_cpu else by_wall, by_cpu)
    found = figure_of(record, above.workload, above.entrants[0], target.figure)
    if found is None:
        return Verdict(target, None)
    return Verdict(target, found.times(target.scale))


def _best(record: Record, case: Case) -> list[Measurement]:
    found = [record.of(case.workload, entrant) for entrant in case.entrants]
    return min((each for each in found if each), key=_middle, default=[])


def _middle(measurements: list[Measurement]) -> float:
    return median(each.wall_per_request for each in measurements)
