"""
What is measured between two rounds, and by how much it may grow.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import attrs

from soak.trend import Bound, growth, has_grown, quarters

_MIB = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen(kw_only=True)
class Sample:
    """The state of the process at one moment at which nothing is under way."""

    at: float
    """Seconds since the run began."""
    requests: int
    """Finished so far."""
    memory: float
    """Resident, in MiB."""
    objects: float
    """That the garbage collector knows of, after it has run."""
    descriptors: float
    tasks: float
    threads: float
    median: float
    """Milliseconds that a good answer took since the sample before: half of them took less."""
    slowest: float
    """The same for 99 of 100."""
    cost: float
    """Microseconds of processor time for each request since the sample before."""


GAUGES: dict[str, Bound] = {
    "memory": Bound(4.0),
    "objects": Bound(500),
    "descriptors": Bound(3),
    "tasks": Bound(1),
    "threads": Bound(2),
    "median": Bound(2, relative=1.0),
    "slowest": Bound(10, relative=1.5),
    "cost": Bound(10, relative=0.25),
}
"""
By how much each gauge may grow from the beginning of a run to its end.

What can leak has a bound in its own unit: a run makes millions of requests, tens of thousands of
them with faults, so that one thing kept of each fault is thousands. Times are bounded by a part of
what they are, since other work on the machine moves them.
"""

COLUMNS = {
    "at": "time s",
    "requests": "requests",
    "memory": "RSS MiB",
    "objects": "objects",
    "descriptors": "fds",
    "tasks": "tasks",
    "threads": "threads",
    "median": "p50 ms",
    "slowest": "p99 ms",
    "cost": "CPU µs",
}


class Sampler:
    """Takes samples of this process."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._requests = 0
        self._processor_time = time.process_time()

    def take(self, requests: int, seconds: list[float]) -> Sample:
        """
        Measure, inside the running event loop.

        Args:
            requests: how many have finished since the run began.
            seconds: how long good answers took since the sample before.
        """
        spent, self._processor_time = self._processor_time, time.process_time()
        spent = self._processor_time - spent
        done, self._requests = requests - self._requests, requests
        gc.collect()
        ordered = sorted(seconds) or [0.0]
        return Sample(
            at=time.monotonic() - self._started_at,
            requests=requests,
            memory=_resident() / _MIB,
            objects=len(gc.get_objects()),
            descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # without a generator's own
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            median=1e3 * ordered[len(ordered) // 2],
            slowest=1e3 * ordered[len(ordered) * 99 // 100],
            cost=1e6 * spent / max(1, done),
        )


def grown(samples: list[Sample]) -> list[str]:
    """Return the names of the gauges that have grown beyond their bounds."""
    times = [sample.at for sample in samples]
    return [
        name
        for name, bound in GAUGES.items()
        if has_grown(times, [getattr(sample, name) for sample in samples], bound)
    ]


def table(samples: list[Sample], rows: int = 16) -> str:
    """Return the samples as a table in Markdown, no more than `rows` of them."""
    step = max(1, -(-len(samples) // rows))
    lines = [tuple(COLUMNS.values()), ("---:",) * len(COLUMNS)]
    chosen = samples[::step] + ([samples[-1]] if (len(samples) - 1) % step else [])
    lines += [tuple(_shown(getattr(s, name)) for name in COLUMNS) for s in chosen]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdicts(samples: list[Sample]) -> str:
    """Return what each gauge has done, as a table in Markdown."""
    times = [sample.at for sample in samples]
    lines = [
        "| gauge | first quarter | last quarter | growth by the line | allowed | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, bound in GAUGES.items():
        figures = [float(getattr(sample, name)) for sample in samples]
        first, last = quarters(figures)
        allowed = bound.of(sum(figures) / len(figures))
        verdict = "**grows**" if has_grown(times, figures, bound) else "flat"
        shown = (COLUMNS[name], first, last, growth(times, figures), allowed)
        lines.append("| " + " | ".join([*map(_shown, shown), verdict]) + " |")
    return "\n".join(lines)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    assert isinstance(value, int | float)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.2f}"
