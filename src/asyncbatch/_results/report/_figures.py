"""
The figures of a report: what a page shows, as plain values.

All texts in them are without secrets, of one line and of bounded length.
"""

from __future__ import annotations

import re

import attrs

from asyncbatch._results._limits import Limits
from asyncbatch._results._summary import Summary
from asyncbatch._results.report._timeline import Span

TEXT = 400
"""Most characters of a URL or of a message that are kept."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@attrs.define
class HostTotals:
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

    def add(self, other: HostTotals) -> None:
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
    """Its phases in order: those of its tries, and `retry` between them."""

    def shown(self) -> SlowRequest:
        """Return the request itself."""
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
    """The bins of the timeline; `None` if no result has times."""
    begun_at: float | None
    """The beginning of the first request, in seconds since 1970."""
    time: dict[str, float]
    """Seconds spent in each phase of `PHASES`, added up over the requests; and in `other`: those in
    flight that are in no phase."""
    hosts: tuple[tuple[str, HostTotals], ...]
    """The hosts with the most time, those first."""
    more_hosts: int
    """How many hosts there are beyond those."""
    others: HostTotals | None
    """The figures of the other hosts together."""
    slowest: tuple[SlowRequest, ...]
    groups: tuple[FailureGroup, ...]
    """The most frequent failures, those first."""
    more_failures: int
    """How many failures are in no group shown."""
    from_journal: int
    """Number of results that come from a journal; they are not in `span`."""


def clean(text: str) -> str:
    """Return a text of one line and of bounded length, without controls."""
    text = _CONTROLS.sub(" ", text[: TEXT + 1]).strip()
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"
