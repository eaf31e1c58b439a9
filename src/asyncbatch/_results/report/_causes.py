"""
Why a batch took as long as it did: which limit held it back, for how long, and what to change.

Pure. It reads the figures of a report, and returns sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import attrs

from asyncbatch._results._summary import shown_bytes, shown_seconds
from asyncbatch._results.report._figures import Figures
from asyncbatch._results.report._timeline import Span
from asyncbatch._values._timing import NETWORK_PHASES

BINDING = 0.3
"""The share of the duration from which on a limit is named as the reason."""
SHOWN = 0.01
"""The share of the duration from which on a limit is listed."""
MOST = 0.9
"""The share of the results after which the rest are the last ones."""
NEAR = 0.1
"""Two shares that differ by less than this are taken for equal."""


@attrs.frozen(kw_only=True)
class Cause:
    """Something that held the batch back for a part of its duration."""

    name: str
    """`slots`, a reason of `Limits`, or `tail`."""
    label: str
    """A description in a few words."""
    where: str = ""
    """The host that it held back longest, and how many others there were."""
    seconds: float
    """Seconds, at the host that it held back longest."""
    share: float
    """The share of the duration, from 0 to 1."""
    advice: str
    """What to change."""


@attrs.frozen(kw_only=True)
class Diagnosis:
    """Why a batch took as long as it did."""

    headline: str
    """The answer, in a sentence."""
    advice: str
    """What to change, in one or two sentences; `""` for nothing."""
    causes: tuple[Cause, ...]
    """What held it back, the longest first."""


_LABELS = {
    "per_host": "the limit per_host was reached",
    "rate": "the rate allowed no start",
    "total_rate": "the total_rate allowed no start",
    "pause": "the host was paused",
    "slow_start": "the host was opened slowly",
}
_HEADLINES = {
    "per_host": "The limit per_host held requests back",
    "rate": "The rate held requests back",
    "total_rate": "The total_rate held requests back",
    "pause": "A host asked for a pause, or failed, and was left alone",
    "slow_start": "A host was opened slowly: it has to answer before it gets more at once",
}
_ADVICE = {
    "per_host": (
        "If the host can take more requests at once, raise per_host, or give that host a "
        "HostLimits(per_host=...) of its own in hosts=."
    ),
    "rate": (
        "If the host allows more, raise rate, or give that host a HostLimits(rate=...) of its own "
        "in hosts=. If not, it cannot be faster."
    ),
    "total_rate": ("Raise total_rate if it is yours to choose; no other limit matters before it."),
    "pause": (
        "The server refuses what comes too fast (429, 503), or does not answer. With a lower rate "
        "or per_host for this host it makes fewer pauses."
    ),
    "slow_start": (
        "It takes a few round trips after the first request, and after each pause. It is longest "
        "at a host that is slow to answer; per_host does not change this."
    ),
}
_OF_PHASES = {
    "dns": "resolving names",
    "connect": "opening connections",
    "tls": "TLS handshakes",
    "send": "sending requests",
    "wait": "waiting for servers to answer",
    "receive": "receiving bodies",
}


def diagnosis_of(figures: Figures) -> Diagnosis:
    """Return why the batch took as long as it did."""
    summary = figures.summary
    if not summary.total:
        return Diagnosis(headline="There were no requests.", advice="", causes=())
    if summary.elapsed is None:
        kinds = ", ".join(summary.kinds)
        headline = "No request was sent" + (f": {kinds}." if kinds else ".")
        return Diagnosis(headline=headline, advice="", causes=())
    causes = sorted(_causes(figures), key=lambda cause: -cause.share)
    first = _first(causes)
    if first is None:
        return _unlimited(figures, tuple(causes))
    return Diagnosis(
        headline=f"{_headline(first, figures)} {_network(figures)}".rstrip(),
        advice=first.advice,
        causes=tuple(causes),
    )


def _causes(figures: Figures) -> Iterator[Cause]:
    duration, limits = figures.summary.duration, figures.limits
    if duration <= 0:
        return
    if limits.slots_full >= SHOWN * duration:
        yield Cause(
            name="slots",
            label="all slots were taken" if limits.slots is None else _all_slots(limits.slots),
            seconds=limits.slots_full,
            share=min(1.0, limits.slots_full / duration),
            advice=_advice_for_slots(figures),
        )
    for reason, label in _LABELS.items():
        held = {
            host: seconds[reason] for host, seconds in limits.hosts.items() if reason in seconds
        }
        if held and (longest := max(held.values())) >= SHOWN * duration:
            host = max(held, key=held.__getitem__)
            yield Cause(
                name=reason,
                label=label,
                where=_where(host, len(held) - 1),
                seconds=longest,
                share=min(1.0, longest / duration),
                advice=_ADVICE[reason],
            )
    tail = _tail(figures.span, figures.summary.total)
    if tail >= BINDING * duration:
        yield Cause(
            name="tail",
            label=f"the last {1 - MOST:.0%} of the requests",
            seconds=tail,
            share=min(1.0, tail / duration),
            advice="The slowest requests are shown below. A timeout, a deadline or a "
            "batch_timeout bounds what they cost.",
        )


def _first(causes: list[Cause]) -> Cause | None:
    """Return the limit to name: the longest, and of equals the one that others wait for."""
    if not causes or causes[0].share < BINDING:
        return None
    equals = [cause for cause in causes if cause.share > causes[0].share - NEAR]
    # If the last requests took long, the limit that held them back says more than that.
    order = ["slots", *_LABELS, "tail"]
    return min(equals, key=lambda cause: order.index(cause.name))


def _headline(cause: Cause, figures: Figures) -> str:
    share = f"{cause.share:.0%} of the time"
    if cause.name == "slots":
        return f"{cause.label.capitalize()} for {share}."
    if cause.name == "tail":
        return f"The last {1 - MOST:.0%} of the requests took {share}."
    return f"{_HEADLINES[cause.name]}: for {share} at {cause.where}."


def _network(figures: Figures) -> str:
    """Say what requests did while they were sent."""
    found = _most(figures)
    if found is None:
        return ""
    phase, share = found
    return f"While in flight, requests spent {share:.0%} of the time {_OF_PHASES[phase]}."


def _most(figures: Figures) -> tuple[str, float] | None:
    times = {phase: figures.time[phase] for phase in (*NETWORK_PHASES, "other")}
    whole = sum(times.values())
    phase = max(times, key=times.__getitem__)
    return None if phase == "other" or whole <= 0 else (phase, times[phase] / whole)


def _advice_for_slots(figures: Figures) -> str:
    found = _most(figures)
    phase = None if found is None else found[0]
    more = "Raise concurrency: more requests would have been ready to start"
    if phase == "receive":
        summary = figures.summary
        speed = shown_bytes(summary.bytes / summary.duration)
        return f"{more}. It helps unless {speed} per second is all that the network carries."
    if phase in ("dns", "connect", "tls"):
        return (
            f"{more}. Most of the time went into new connections: reuse them by sending requests "
            "to one host close together, and by servers that keep connections open."
        )
    return f"{more}, if the servers can answer more at once."


def _unlimited(figures: Figures, causes: tuple[Cause, ...]) -> Diagnosis:
    summary, limits, span = figures.summary, figures.limits, figures.span
    assert summary.elapsed is not None
    if summary.elapsed.max >= (1 - BINDING) * summary.duration:
        headline = (
            "No limit held requests back for long: it took as long as the slowest request, "
            f"{shown_seconds(summary.elapsed.max)}. {_network(figures)}"
        )
        return Diagnosis(headline=headline.rstrip(), advice=_ADVICE_SLOWEST, causes=causes)
    headline = "No limit held requests back for long."
    open_seconds = 0.0 if span is None else sum(each.open for each in span.bins)
    if open_seconds and summary.duration > 0:
        mean = open_seconds / summary.duration
        of = "" if limits.slots is None else f" of {limits.slots:,}"
        headline += f" On average {mean:,.1f}{of} slots were in use."
    return Diagnosis(
        headline=f"{headline} {_network(figures)}".rstrip(), advice=_ADVICE_INPUT, causes=causes
    )


_ADVICE_SLOWEST = "The slowest requests are shown below; a timeout or a deadline bounds them."
_ADVICE_INPUT = (
    "Requests came one after the other rather than at once: the input was slow to yield them, or "
    "what consumes the results was slow to take them."
)


def _tail(span: Span | None, total: int) -> float:
    """Return the seconds from the time when most requests had ended to the end of the last."""
    if span is None or total < 1 / (1 - MOST):
        return 0.0
    counts = [each.succeeded + each.failed for each in span.bins]
    most = MOST * sum(counts)
    number = next(number for number, seen in enumerate(accumulate(counts)) if seen >= most)
    return (len(counts) - 1 - number) * span.width


def _where(host: str, others: int) -> str:
    name = host or "a host without a name"
    if not others:
        return name
    return f"{name} and {others:,} other host{'s' if others > 1 else ''}"


def _all_slots(slots: int) -> str:
    return "the only slot was taken" if slots == 1 else f"all {slots:,} slots were taken"
