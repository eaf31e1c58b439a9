"""
What is drawn for the invariants of whole batches: limits, requests, and how batches are used.

Values only. What servers make of them is in `networks`, what must hold in `test_batch_invariants`.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from asyncbatch import HostLimits, Rate, Retry

TIMEOUT = 3.0
LONG = 1_000
"""Bytes that `max_body` lets pass where there is one; a "big" answer has twice as many."""

LIVE = ("a", "b", "c")
DEAD, SILENT = "dead", "silent"
"""A host that takes no connections, and one that takes them and never answers."""

KINDS = (
    *("ok", "ok", "ok", "ok", "500", "429", "503", "asked", "too long", "refused", "reset"),
    *("hang", "moved", "moved to 429", "bad", "big"),
)


@attrs.frozen
class Call:
    """One request, and what happens to its tries: kinds and seconds; the last one stays."""

    host: str
    plan: tuple[tuple[str, float], ...]
    options: dict[str, Any] = attrs.field(factory=dict)
    """Of its own; with none it is a plain URL."""

    def step(self, tries: int) -> tuple[str, float]:
        """Return what happens to the try behind so many others."""
        return self.plan[min(tries, len(self.plan) - 1)]


@attrs.frozen
class Limits:
    """What a fetcher is told to keep to."""

    concurrency: int
    per_host: int | None
    rate: Rate | None
    total_rate: Rate | None
    retry: Retry | None
    deadline: float | None
    give_up_host_after: int | None
    max_body: int | None
    has_check: bool
    of_a: HostLimits | None
    """Those of one host."""

    def per_host_of(self, host: str) -> int | None:
        """Return how many may be in flight to a host."""
        own = self.of_a.per_host if host == "a" and self.of_a is not None else None
        return self.per_host if own is None else own

    def rate_of(self, host: str) -> Rate | None:
        """Return at which rate requests to a host may start."""
        own = self.of_a.rate if host == "a" and self.of_a is not None else None
        return self.rate if own is None else own

    def timeout_of(self, call: Call) -> float:
        """Return how long a try may take."""
        own = self.of_a.timeout if call.host == "a" and self.of_a is not None else None
        timeout: float = call.options.get("timeout", TIMEOUT if own is None else own)
        return timeout

    def deadline_of(self, call: Call) -> float | None:
        """Return how long a request may take with all its tries."""
        deadline: float | None = call.options.get("deadline", self.deadline)
        return deadline

    def retry_of(self, call: Call) -> Retry | None:
        """Return the policy for a request."""
        retry: Retry | None = call.options.get("retry", self.retry)
        return retry

    def checks(self, kind: str) -> bool:
        """Say whether an answer of this kind is one that `check` refuses."""
        return kind == "bad" and self.has_check


@attrs.frozen
class Use:
    """One use of the fetcher: a batch, a stream or single fetches, and what ends it early."""

    calls: tuple[Call, ...]
    way: str
    source: str
    begins: float
    batch_timeout: float | None
    cancelled_after: float | None
    backlog: int
    pause: float
    """Seconds that the consumer of a stream takes for each result."""
    left_after: int
    """Results after which a stream is left."""

    @property
    def is_stream(self) -> bool:
        return self.way in ("stream", "ordered")


def _when(failure: Any) -> Any:
    return {500: 0.2, 429: None}.get(failure.status_code)


# Nothing that ends a request early comes in the very moment of an answer, which may go either way.
STEPS = st.tuples(st.sampled_from(KINDS), st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0]))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["GET", "POST"]),
        "deadline": st.sampled_from([None, 0.353, 2.203]),
        "retry": st.sampled_from([None, Retry(attempts=2, backoff=0.1)]),
        "timeout": st.sampled_from([0.253, 5.0]),
        "max_body": st.sampled_from([None, LONG]),
    },
)
CALLS = st.builds(
    Call,
    host=st.sampled_from([*LIVE, "a", "a", "a", DEAD, SILENT]),
    plan=st.lists(STEPS, min_size=1, max_size=4).map(tuple),
    options=st.one_of(st.just({}), st.just({}), OPTIONS),
)
# What hypothesis would hardly draw: many alike, by which hosts open, and are given up.
MANY = st.builds(lambda call, count: (call,) * count, CALLS, st.sampled_from([1, 12, 25]))
LISTS = st.one_of(
    st.lists(CALLS, min_size=1, max_size=16).map(tuple),
    st.lists(MANY, min_size=1, max_size=3).map(lambda lists: sum(lists, ())),
)
RETRIES = st.sampled_from(
    [
        None,
        Retry(),
        Retry(attempts=2),
        Retry(attempts=4, budget=None),
        Retry(pause_hosts=False),
        Retry(when=_when),
    ]
)
RATES = st.sampled_from([None, None, Rate(5, burst=3), Rate(20)])
HOST_LIMITS = st.builds(
    HostLimits,
    per_host=st.sampled_from([None, 1, 3]),
    rate=RATES,
    timeout=st.sampled_from([None, 0.503]),
)
LIMITS = st.builds(
    Limits,
    concurrency=st.sampled_from([1, 2, 5, 12, 30]),
    per_host=st.sampled_from([None, None, 1, 2, 12]),
    rate=RATES,
    total_rate=RATES,
    retry=RETRIES,
    deadline=st.sampled_from([None, None, 0.503, 4.003]),
    give_up_host_after=st.sampled_from([None, 3, 10]),
    max_body=st.sampled_from([None, LONG]),
    has_check=st.booleans(),
    of_a=st.one_of(st.none(), HOST_LIMITS),
)
USES = st.builds(
    Use,
    calls=LISTS,
    way=st.sampled_from(["fetch_many", "stream", "ordered", "fetch"]),
    source=st.sampled_from(["list", "list", "generator", "slow generator", "raising"]),
    begins=st.sampled_from([0.0, 0.0, 0.2, 3.0]),
    batch_timeout=st.sampled_from([None, None, None, 1.007, 5.007]),
    cancelled_after=st.sampled_from([None, None, None, 0.107, 2.507]),
    backlog=st.sampled_from([1, 3, 8, 1_000]),
    pause=st.sampled_from([0.0, 0.0, 0.05]),
    left_after=st.sampled_from([1_000_000, 1_000_000, 0, 3]),
)
SHORT_USES = USES.map(lambda use: attrs.evolve(use, calls=use.calls[:20]))
"""For networks on which each request takes its time."""

RELAYED_LIMITS = LIMITS.map(lambda limits: attrs.evolve(limits, deadline=None, has_check=False))
"""Under which requests may go by relay."""
