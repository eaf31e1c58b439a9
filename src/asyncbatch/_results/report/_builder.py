"""
`ReportBuilder`: the figures of a report, from results that are added one by one.

It keeps no result: of the slowest it keeps the times and the URL, of each group of failures one
example. All else are counts, whose number is bounded.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from asyncbatch._results._hosts import host_of
from asyncbatch._results._limits import UNKNOWN, Limits
from asyncbatch._results._summary import PHASES, Summary, SummaryBuilder
from asyncbatch._results.report._timeline import Span, Timeline
from asyncbatch._values._errors import message_of
from asyncbatch._values._host_key import plain_host_in
from asyncbatch._values._masking import masked_text, masked_url
from asyncbatch._values._result import Failure, Result, asked_url_of
from asyncbatch._values._timing import NETWORK_PHASES, Course, Timing, timing_of

SLOWEST = 12
"""How many of the slowest requests are kept."""
GROUPS = 500
"""Most groups of failures; failures of more different kinds are counted together."""
HOSTS = 5_000
"""How many hosts are kept at least, those with the most time; twice as many at most."""
HOSTS_IN_STATE = 200
GROUPS_IN_STATE = 50
"""How many are handed to another builder, so that it is some ten kilobytes."""
AFTER_SCHEME = len("https://")
TEXT = 400
"""Most characters of a URL or of a message that are kept."""

ENDED_WAITING = {"host_down", "retry_after", "not_started"}
"""Kinds of failures that end a request while it waits for its next try."""

# What differs between two messages about the same failure: URLs, addresses and numbers.
_VARYING = re.compile(r"https?://\S+|'[^']*'|[0-9a-f]*[0-9][0-9a-f]*", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@attrs.define
class HostFigures:
    """The results of one host."""

    requests: int = 0
    failed: int = 0
    retries: int = 0
    bytes: int = 0
    elapsed: float = 0.0
    """Seconds that its requests took, added up."""
    throttled: float = 0.0
    """Seconds that its requests were held back, added up."""
    slowest: float = 0.0
    """Seconds of its slowest request."""

    def add(self, other: HostFigures) -> None:
        """Add the figures of another host."""
        self.requests += other.requests
        self.failed += other.failed
        self.retries += other.retries
        self.bytes += other.bytes
        self.elapsed += other.elapsed
        self.throttled += other.throttled
        self.slowest = max(self.slowest, other.slowest)


@attrs.frozen(kw_only=True)
class SlowRequest:
    """One of the slowest requests."""

    url: str
    """Its URL, without secrets."""
    outcome: str
    """Its status, or the kind of its failure."""
    ok: bool
    """Whether it succeeded."""
    elapsed: float
    """Seconds from its first start to its end."""
    attempts: int
    """How many times it was tried."""
    segments: tuple[tuple[str, float], ...]
    """What it did, one after the other: phases of its tries, and `retry` between them."""

    def shown(self) -> SlowRequest:
        """Return itself."""
        return self


@attrs.frozen(kw_only=True)
class FailureGroup:
    """Failures of one kind with the same message, but for its numbers and URLs."""

    kind: str
    count: int
    message: str
    """The message of one of them, without secrets."""
    url: str
    """The URL of that one, without secrets."""


@attrs.frozen(kw_only=True)
class Figures:
    """All figures of a report."""

    summary: Summary
    limits: Limits
    span: Span | None
    """What happened when; `None` if no result has times."""
    begun_at: float | None
    """The beginning of the first request, in seconds since 1970."""
    time: dict[str, float]
    """Seconds spent in each phase of `PHASES`, added up over the requests; and in `other`: those in
    flight that are in no phase."""
    hosts: tuple[tuple[str, HostFigures], ...]
    """The hosts with the most time, those first."""
    more_hosts: int
    """How many hosts there are beyond those."""
    others: HostFigures | None
    """The figures of the other hosts together."""
    slowest: tuple[SlowRequest, ...]
    groups: tuple[FailureGroup, ...]
    """The most frequent failures, those first."""
    more_failures: int
    """How many failures are in no group shown."""
    from_journal: int
    """Number of results that come from a journal; they are not in `span`."""


class ReportBuilder:
    """Makes the `Figures` of a report from results. It keeps none of them."""

    def __init__(self) -> None:
        self.summary = SummaryBuilder()
        self._timeline = Timeline()
        # What to add to the sums of the summary: earlier tries, less what is of an earlier run.
        self._time: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        # Seconds of requests, and those of their last tries, that were not in flight all the time.
        self._interrupted = self._interrupted_network = 0.0
        self._hosts: dict[str, HostFigures] = {}
        # The same, by what plain URLs begin with; it is emptied when hosts are dropped.
        self._by_start: dict[str, HostFigures] = {}
        # The hosts that were not kept, and how many of them there were.
        self._others = HostFigures()
        self._other_hosts = 0
        # A heap of the slowest: seconds, a number that breaks ties, and what is known of it.
        self._slowest: list[tuple[float, int, _Kept | SlowRequest]] = []
        self._numbers = itertools.count()
        self._groups: dict[tuple[str, str], _Group] = {}
        self._ungrouped = 0
        self._from_journal = 0

    def add(self, result: Result) -> None:
        """Add one result."""
        self.summary.add(result)
        elapsed = result.elapsed
        if result.from_journal:
            self._leave_out_time(result)
        else:
            if started := result._started:  # pyright: ignore[reportPrivateUsage]
                spans = _spans(result, started, started + elapsed)
                self._timeline.add(spans, result.size, ok=result.ok)
            if result.history or result.kind in ENDED_WAITING:
                self._leave_out_of_other(result)
                for each in result.history:
                    self._correct_time(each.timing, by=1)
            slowest = self._slowest
            if len(slowest) < SLOWEST or elapsed > slowest[0][0]:
                self._keep(result, elapsed)
        self._count_host(result, elapsed)
        if isinstance(result, Failure):
            self._count_failure(result)

    def state(self) -> dict[str, Any]:
        """Return what `merge` takes, of types that JSON has, and of a bounded size."""
        hosts = heapq.nlargest(HOSTS_IN_STATE, self._hosts.items(), key=_weight_of)
        kept = {host for host, _ in hosts}
        others = HostFigures()
        others.add(self._others)
        for host, figures in self._hosts.items():
            if host not in kept:
                others.add(figures)
        groups = heapq.nlargest(
            GROUPS_IN_STATE, self._groups.items(), key=lambda each: each[1].count
        )
        grouped = sum(group.count for group in self._groups.values())
        return {
            "summary": self.summary.state(),
            "timeline": self._timeline.state(),
            "time": self._time,
            "interrupted": (self._interrupted, self._interrupted_network),
            "hosts": [(host, attrs.astuple(figures)) for host, figures in hosts],
            "others": attrs.astuple(others),
            "other_hosts": self._other_hosts + len(self._hosts) - len(hosts),
            "slowest": [attrs.asdict(kept.shown()) for _, _, kept in self._slowest],
            "groups": [(kind, key, attrs.astuple(group)) for (kind, key), group in groups],
            "ungrouped": self._ungrouped + grouped - sum(group.count for _, group in groups),
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
            self._figures_of(host).add(HostFigures(*figures))
        self._others.add(HostFigures(*state["others"]))
        self._other_hosts += state["other_hosts"]
        for each in state["slowest"]:
            segments = tuple((name, seconds) for name, seconds in each["segments"])
            fields: dict[str, Any] = {**each, "segments": segments}
            slow = SlowRequest(**fields)
            self._push(slow.elapsed, slow)
        for kind, key, (message, url, count) in state["groups"]:
            self._merge_group((kind, key), _Group(message, url, count))
        self._ungrouped += state["ungrouped"]
        self._from_journal += state["from_journal"]

    def _merge_group(self, key: tuple[str, str], group: _Group) -> None:
        mine = self._groups.get(key)
        if mine is not None:
            mine.count += group.count
        elif len(self._groups) < GROUPS:
            self._groups[key] = group
        else:
            self._ungrouped += group.count

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
        groups = sorted(self._groups.items(), key=lambda each: -each[1].count)
        return Figures(
            summary=summary,
            limits=limits,
            span=span,
            begun_at=None if span is None else timeline.begins_at,
            time=self._times(summary),
            hosts=tuple(hosts),
            more_hosts=self._other_hosts,
            others=self._others if self._other_hosts else None,
            slowest=tuple(kept.shown() for _, _, kept in sorted(self._slowest, key=_slowest_first)),
            groups=tuple(group.shown(kind) for (kind, _), group in groups),
            more_failures=self._ungrouped,
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

    def _figures_for(self, result: Result) -> HostFigures:
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

    def _figures_of(self, host: str) -> HostFigures:
        figures = self._hosts.get(host)
        if figures is None:
            if len(self._hosts) >= 2 * HOSTS:
                self._drop_hosts()
            figures = self._hosts[host] = HostFigures()
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
            self._interrupted_network += _network_seconds(result.timing)

    def _keep(self, result: Result, elapsed: float) -> None:
        if not result.attempts:
            return
        kept = _Kept(
            url=asked_url_of(result),
            outcome=str(result.kind or result.status_code),
            ok=result.ok,
            elapsed=elapsed,
            attempts=result.attempts,
            network=result._network,  # pyright: ignore[reportPrivateUsage]
            history=tuple((each.timing, each.delay) for each in result.history),
            ended_waiting=result.kind in ENDED_WAITING,
        )
        if result.kind == "status":
            kept.outcome = str(result.status_code)
        self._push(elapsed, kept)

    def _push(self, elapsed: float, kept: _Kept | SlowRequest) -> None:
        item = (elapsed, next(self._numbers), kept)
        if len(self._slowest) < SLOWEST:
            heapq.heappush(self._slowest, item)
        else:
            heapq.heappushpop(self._slowest, item)

    def _count_failure(self, failure: Failure) -> None:
        kind = str(failure.kind)
        # The error of a failed status is made when it is asked for.
        message = "" if kind == "status" else message_of(failure.error)[:TEXT]
        key = (kind, _VARYING.sub("#", message) or str(failure.status_code))
        group = self._groups.get(key)
        if group is not None:
            group.count += 1
            return
        if len(self._groups) >= GROUPS:
            self._ungrouped += 1
            return
        url = failure.url or asked_url_of(failure)
        if kind == "status":
            message = f"{failure.status_code} {failure.reason_phrase}"
        else:
            name = type(failure.error).__name__
            message = f"{name}: {masked_text(message, asked_url_of(failure))}" if message else name
        self._groups[key] = _Group(
            message=clean(message), url=clean(masked_url(url, most=TEXT + 1))
        )


@attrs.define
class _Group:
    message: str
    url: str
    count: int = 1

    def shown(self, kind: str) -> FailureGroup:
        return FailureGroup(kind=kind, count=self.count, message=self.message, url=self.url)


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
        between = max(0.0, self.elapsed - sum(map(_network_seconds, tried)))
        delays = sum(delay for _, delay in self.history)
        for timing, delay in self.history:
            yield from timing.phases()
            # After its delay it may have waited for its host, for as long as is left.
            yield "retry", between * (delay / delays if delays > 0 else 1 / len(self.history))
        yield from last.phases()
        if not self.history and between > 0:
            yield "retry" if self.ended_waiting else "other", between


def clean(text: str) -> str:
    """Return a text of one line and of bounded length, without controls."""
    text = _CONTROLS.sub(" ", text[: TEXT + 1]).strip()
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


def _spans(result: Result, begun: float, ended: float) -> list[tuple[float, float]]:
    """Return when a request was in flight, which it was not between two tries."""
    if not result.history:
        if result.kind in ENDED_WAITING:
            in_flight = min(_network_seconds(result.timing), result.elapsed)
            return [(begun, begun + in_flight), (ended, ended)]
        return [(begun, ended)]
    spans, at = [], begun
    for each in result.history:
        spans.append((at, at := min(ended, at + _network_seconds(each.timing))))
        at = min(ended, at + max(0.0, each.delay))
    begun_last = ended - _network_seconds(result.timing)
    return [*spans, (min(max(at, begun_last), ended), ended)]


def _network_seconds(timing: Timing) -> float:
    return sum(max(0.0, seconds) for _, seconds in timing.phases())


def _weight_of(host: tuple[str, HostFigures]) -> float:
    return host[1].elapsed + host[1].throttled


def _slowest_first(item: tuple[float, int, Any]) -> tuple[float, int]:
    return -item[0], item[1]
