"""
`ReportBuilder`: the figures of a report, from results that are added one by one.

It counts by host and by phase, in bounded memory, and keeps no result. Other objects collect the
timeline, the slowest requests and the failures.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import attrs

from asyncbatch._results._by_host import host_of
from asyncbatch._results._limits import UNKNOWN, Limits
from asyncbatch._results._summary import PHASES, Summary, SummaryBuilder
from asyncbatch._results.report._failure_groups import FailureGroups
from asyncbatch._results.report._figures import Figures, HostTotals
from asyncbatch._results.report._slowest import Slowest
from asyncbatch._results.report._timeline import (
    ENDED_WAITING,
    Timeline,
    network_seconds,
    spans_of,
)
from asyncbatch._values._host_key import plain_host_in
from asyncbatch._values._result import Failure, Result, asked_url_of
from asyncbatch._values._timing import NETWORK_PHASES, Timing

HOSTS = 5_000
"""How many hosts are kept at least, those with the most time; twice as many at most."""
HOSTS_IN_STATE = 200
"""How many are handed to another builder, so that it is some ten kilobytes."""
AFTER_SCHEME = len("https://")


class ReportBuilder:
    """Makes the `Figures` of a report from results. It keeps none of them."""

    def __init__(self) -> None:
        self.summary = SummaryBuilder()
        self._timeline = Timeline()
        # What to add to the sums of the summary: earlier tries, less what is of an earlier run.
        self._time: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        # Seconds of requests, and those of their last tries, that were not in flight all the time.
        self._interrupted = self._interrupted_network = 0.0
        self._hosts: dict[str, HostTotals] = {}
        # The same, by what plain URLs begin with; it is emptied when hosts are dropped.
        self._by_start: dict[str, HostTotals] = {}
        # The hosts that were not kept, and how many of them there were.
        self._others = HostTotals()
        self._other_hosts = 0
        self._slowest = Slowest()
        self._groups = FailureGroups()
        self._from_journal = 0

    def add(self, result: Result) -> None:
        """Add one result."""
        self.summary.add(result)
        elapsed = result.elapsed
        if result.from_journal:
            self._leave_out_time(result)
        else:
            if started := result._started:  # pyright: ignore[reportPrivateUsage]
                spans = spans_of(result, started, started + elapsed)
                self._timeline.add(spans, result.size, ok=result.ok)
            if result.history or result.kind in ENDED_WAITING:
                self._leave_out_of_other(result)
                for each in result.history:
                    self._correct_time(each.timing, by=1)
            if elapsed > self._slowest.least:
                self._slowest.add(result)
        self._count_host(result, elapsed)
        if isinstance(result, Failure):
            self._groups.add(result)

    def state(self) -> dict[str, Any]:
        """Return what `merge` takes, of types that JSON has, and of a bounded size."""
        hosts = heapq.nlargest(HOSTS_IN_STATE, self._hosts.items(), key=_weight_of)
        kept = {host for host, _ in hosts}
        others = HostTotals()
        others.add(self._others)
        for host, figures in self._hosts.items():
            if host not in kept:
                others.add(figures)
        groups, ungrouped = self._groups.state()
        return {
            "summary": self.summary.state(),
            "timeline": self._timeline.state(),
            "time": self._time,
            "interrupted": (self._interrupted, self._interrupted_network),
            "hosts": [(host, attrs.astuple(figures)) for host, figures in hosts],
            "others": attrs.astuple(others),
            "other_hosts": self._other_hosts + len(self._hosts) - len(hosts),
            "slowest": self._slowest.state(),
            "groups": groups,
            "ungrouped": ungrouped,
            "from_journal": self._from_journal,
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the results of another builder, given by its `state`."""
        self.summary.merge(state["summary"])
        if state["timeline"] is not None:
            self._timeline.merge(state["timeline"])
        for name, seconds in state["time"].items():
            self._time[name] += seconds
        self._interrupted += state["interrupted"][0]
        self._interrupted_network += state["interrupted"][1]
        for host, figures in state["hosts"]:
            self._figures_of(host).add(HostTotals(*figures))
        self._others.add(HostTotals(*state["others"]))
        self._other_hosts += state["other_hosts"]
        self._slowest.merge(state["slowest"])
        self._groups.merge(state["groups"], state["ungrouped"])
        self._from_journal += state["from_journal"]

    def build(self, *, duration: float | None = None, limits: Limits = UNKNOWN) -> Figures:
        """
        Return the figures of the results added so far.

        Args:
            duration: Seconds that the batch took; from the first beginning to the last end if it is
                not known.
            limits: What its limits did to it.
        """
        timeline = self._timeline
        if duration is None:
            duration = max(0.0, timeline.ends_at - timeline.begins_at)
        span = timeline.build()
        summary = self.summary.build(duration=duration, slots_full=limits.slots_full)
        hosts = sorted(self._hosts.items(), key=_weight_of, reverse=True)
        return Figures(
            summary=summary,
            limits=limits,
            span=span,
            begun_at=None if span is None else timeline.begins_at,
            time=self._times(summary),
            hosts=tuple(hosts),
            more_hosts=self._other_hosts,
            others=self._others if self._other_hosts else None,
            slowest=self._slowest.shown(),
            groups=self._groups.shown(),
            more_failures=self._groups.ungrouped,
            from_journal=self._from_journal,
        )

    def _times(self, summary: Summary) -> dict[str, float]:
        of_last = {name: found.mean * found.count for name, found in summary.phases.items()}
        found = summary.elapsed
        in_flight = (found.mean * found.count if found else 0.0) - self._interrupted
        known = sum(of_last.get(name, 0.0) for name in NETWORK_PHASES) - self._interrupted_network
        times = {name: of_last.get(name, 0.0) + more for name, more in self._time.items()}
        times["other"] = in_flight - known
        return {name: max(0.0, seconds) for name, seconds in times.items()}

    def _count_host(self, result: Result, elapsed: float) -> None:
        figures = self._figures_for(result)
        figures.requests += 1
        if not result.ok:
            figures.failed += 1
        if result.attempts:
            figures.retries += result.attempts - 1
            figures.bytes += result.size
        figures.elapsed += elapsed
        figures.throttled += result._throttled  # pyright: ignore[reportPrivateUsage]
        if elapsed > figures.slowest:
            figures.slowest = elapsed

    def _figures_for(self, result: Result) -> HostTotals:
        asked = asked_url_of(result)
        if type(asked) is not str or (end := asked.find("/", AFTER_SCHEME)) < 0:
            return self._figures_of(host_of(result))
        # The host of a plain URL is a matter of what is before its path; finding it takes a quarter
        # of the time that a result takes.
        start = asked[:end]
        figures = self._by_start.get(start)
        if figures is None:
            figures = self._figures_of(host_of(result))
            if plain_host_in(start) is not None:
                if len(self._by_start) >= 2 * HOSTS:
                    self._by_start.clear()
                self._by_start[start] = figures
        return figures

    def _figures_of(self, host: str) -> HostTotals:
        figures = self._hosts.get(host)
        if figures is None:
            if len(self._hosts) >= 2 * HOSTS:
                self._drop_hosts()
            figures = self._hosts[host] = HostTotals()
        return figures

    def _drop_hosts(self) -> None:
        """Keep the half of the hosts that had the most time; count the others together."""
        kept = dict(heapq.nlargest(HOSTS, self._hosts.items(), key=_weight_of))
        for host, figures in self._hosts.items():
            if host not in kept:
                self._others.add(figures)
                self._other_hosts += 1
        self._hosts = kept
        self._by_start.clear()

    def _correct_time(self, timing: Timing, *, by: float) -> None:
        """Add the network phases of a timing to those that the summary counts, or take them out."""
        for name, seconds in timing.phases():
            self._time[name] += by * max(0.0, seconds)

    def _leave_out_time(self, result: Result) -> None:
        """Count a result of an earlier run, whose time is not that of this batch."""
        self._from_journal += 1
        if result.attempts:
            self._leave_out_of_other(result)
            timing = result.timing
            self._correct_time(timing, by=-1)
            self._time["queued"] -= max(0.0, timing.queued)
            self._time["throttled"] -= max(0.0, timing.throttled)

    def _leave_out_of_other(self, result: Result) -> None:
        """Note a result that says nothing about the time of requests in flight."""
        if result.attempts:
            self._interrupted += result.elapsed
            self._interrupted_network += network_seconds(result.timing)


def _weight_of(host: tuple[str, HostTotals]) -> float:
    return host[1].elapsed + host[1].throttled
