"""
The slowest requests of many, each with its times, its outcome and its URL.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from asyncbatch._results.report._figures import TEXT, SlowRequest, clean
from asyncbatch._results.report._timeline import ENDED_WAITING, network_seconds
from asyncbatch._values._masking import masked_url
from asyncbatch._values._result import Result, asked_url_of
from asyncbatch._values._timing import Course, Timing, timing_of

SLOWEST = 12
"""How many of the slowest requests are kept."""


class Slowest:
    """The slowest of the requests that were offered."""

    def __init__(self) -> None:
        # A heap: seconds, a number that breaks ties, and what is known of it.
        self._kept: list[tuple[float, int, _Kept | SlowRequest]] = []
        self._numbers = itertools.count()
        self.least = -math.inf
        """Seconds that a request must take to be among them."""

    def add(self, result: Result) -> None:
        """Offer a request that takes more than `least`; one that was never tried is not kept."""
        if not result.attempts:
            return
        is_status = result.kind == "status"
        kept = _Kept(
            url=asked_url_of(result),
            outcome=str(result.status_code if is_status else result.kind or result.status_code),
            ok=result.ok,
            elapsed=result.elapsed,
            attempts=result.attempts,
            network=result._network,  # pyright: ignore[reportPrivateUsage]
            history=tuple((each.timing, each.delay) for each in result.history),
            ended_waiting=result.kind in ENDED_WAITING,
        )
        self._push(kept)

    def state(self) -> list[dict[str, Any]]:
        """Return what `merge` takes, of types that JSON has."""
        return [attrs.asdict(kept.shown()) for _, _, kept in self._kept]

    def merge(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Offer those of another collection, given by its `state`."""
        for each in state:
            segments = tuple((name, seconds) for name, seconds in each["segments"])
            fields: dict[str, Any] = {**each, "segments": segments}
            self._push(SlowRequest(**fields))

    def shown(self) -> tuple[SlowRequest, ...]:
        """Return the slowest requests, the slowest first."""
        ordered = sorted(self._kept, key=lambda item: (-item[0], item[1]))
        return tuple(kept.shown() for _, _, kept in ordered)

    def _push(self, kept: _Kept | SlowRequest) -> None:
        item = (kept.elapsed, next(self._numbers), kept)
        if len(self._kept) < SLOWEST:
            heapq.heappush(self._kept, item)
        else:
            heapq.heappushpop(self._kept, item)
        if len(self._kept) == SLOWEST:
            self.least = self._kept[0][0]


@attrs.define
class _Kept:
    """What is kept of a slow request; its texts are made only if it stays among the slowest."""

    url: object
    outcome: str
    ok: bool
    elapsed: float
    attempts: int
    network: Timing | Course
    history: tuple[tuple[Timing, float], ...]
    ended_waiting: bool

    def shown(self) -> SlowRequest:
        return SlowRequest(
            url=clean(masked_url(self.url, most=TEXT + 1)),
            outcome=self.outcome,
            ok=self.ok,
            elapsed=self.elapsed,
            attempts=self.attempts,
            segments=tuple(self._segments()),
        )

    def _segments(self) -> Iterator[tuple[str, float]]:
        last = timing_of(self.network)
        tried = (*(timing for timing, _ in self.history), last)
        between = max(0.0, self.elapsed - sum(map(network_seconds, tried)))
        delays = sum(delay for _, delay in self.history)
        for timing, delay in self.history:
            yield from timing.phases()
            # After its delay it may have waited for its host, for as long as is left.
            yield "retry", between * (delay / delays if delays > 0 else 1 / len(self.history))
        yield from last.phases()
        if not self.history and between > 0:
            yield "retry" if self.ended_waiting else "other", between
