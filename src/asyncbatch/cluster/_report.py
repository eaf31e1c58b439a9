"""
The report of a shard, and the figures of several of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from asyncbatch import Result, Summary
from asyncbatch._results._by_host import host_of
from asyncbatch._results._limits import UNKNOWN, Limits
from asyncbatch._results._summary import SummaryBuilder
from asyncbatch._results.report._report import BatchReport

MOST_HOSTS = 100
"""Hosts that a report has figures of."""

KEY = b"asyncbatch.report"
"""The name of the report in the metadata of a Parquet file."""

PAGE_KEY = b"asyncbatch.page"
"""The name of what the report of all shards is made from, as a page, in that metadata."""


@attrs.frozen
class HostFigures:
    """The figures of one host in a shard."""

    host: str
    """Its name, with a port that is not the default."""
    requests: int
    """Number of its results."""
    failed: int
    """Number of its failures."""
    bytes: int
    """Total length of its bodies, decoded."""
    seconds: float
    """Seconds that its requests took, added up."""


def _no_state() -> Mapping[str, Any]:
    return SummaryBuilder().state()


@attrs.frozen(kw_only=True)
class ShardReport:
    """The outcome of a shard; the results themselves are in its file."""

    shard: int
    """The number of the shard."""
    requests: int
    """Number of its requests."""
    path: Path | None = None
    """The Parquet file with one row for each request; `None` if there is none, since the shard is
    not done."""
    error: str | None = None
    """Why the shard is not done: its worker died, its disk was full, or the like. What it has
    fetched is kept, and the same call goes on there. `None`: it is done."""
    tries: int = 0
    """How many workers were given the shard."""
    from_journal: int = 0
    """Number of results that an earlier try had fetched."""
    started: datetime | None = None
    """When the last try began, in UTC."""
    seconds: float = 0.0
    """Seconds that the last try took."""
    hosts: tuple[HostFigures, ...] = ()
    """The figures of its hosts, or of the 100 hosts with the most requests."""
    # What summaries are merged from.
    _state: Mapping[str, Any] = attrs.field(factory=_no_state, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the shard is done: each of its requests has its row, failed or not."""
        return self.error is None

    def summary(self) -> Summary:
        """Return the figures of the shard; quantiles are within 0.8 % of the true values."""
        return summary_of([self])


def summary_of(reports: Iterable[ShardReport]) -> Summary:
    """Return the figures of several shards; the duration is from the first start to the end."""
    builder = SummaryBuilder()
    spans = []
    for report in reports:
        builder.merge(report._state)  # pyright: ignore[reportPrivateUsage]
        if report.started is not None:
            began = report.started.timestamp()
            spans.append((began, began + report.seconds))
    ends_at = max((end for _, end in spans), default=0.0)
    return builder.build(duration=ends_at - min((start for start, _ in spans), default=0.0))


class ShardReportBuilder:
    """Collects what a report says of results."""

    def __init__(self) -> None:
        self._page = BatchReport()
        self._hosts: dict[str, list[float]] = {}
        self.count = 0
        """Number of results."""
        self.from_journal = 0
        """Number of results that were not fetched by this worker."""

    def add(self, result: Result) -> None:
        """Add one result."""
        self.count += 1
        self.from_journal += result.from_journal
        self._page.add(result)
        host = host_of(result)
        own = self._hosts.get(host)
        if own is None:
            own = self._hosts[host] = [0, 0, 0, 0.0]
        own[0] += 1
        own[1] += not result.ok
        own[2] += result.size
        own[3] += result.elapsed

    def text(self, **fields: Any) -> bytes:
        """Return the report as JSON, with what is known of the shard itself."""
        most = sorted(self._hosts.items(), key=lambda item: -item[1][0])[:MOST_HOSTS]
        return json.dumps(
            {
                **fields,
                "requests": self.count,
                "from_journal": self.from_journal,
                "hosts": [(host, *figures) for host, figures in most],
                "state": self._page.summary.state(),
            }
        ).encode()

    def page(self, *, seconds: float, limits: Limits = UNKNOWN) -> bytes:
        """Return, as JSON, what a page about several shards is made from."""
        return json.dumps(self._page.state(duration=seconds, limits=limits)).encode()


def report_from(text: bytes, path: Path) -> ShardReport:
    """Return the report that a file of results has in its metadata."""
    found = json.loads(text)
    started = datetime.fromtimestamp(found.pop("started"), UTC)
    hosts = tuple(HostFigures(*each) for each in found.pop("hosts"))
    return ShardReport(path=path, started=started, hosts=hosts, **found)
