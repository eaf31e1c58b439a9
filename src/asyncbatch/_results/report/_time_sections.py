"""
The sections of the page about time: why it took so long, what happened when, and what was slow.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncbatch._results._limits import REASONS
from asyncbatch._results._summary import shown_bytes, shown_rate, shown_seconds
from asyncbatch._results.report import _charts
from asyncbatch._results.report._causes import Cause, diagnosis_of
from asyncbatch._results.report._figures import Figures, SlowRequest
from asyncbatch._results.report._markup import BAD, URL_SHOWN, escaped, foreign, plural
from asyncbatch._results.report._timeline import Span

_PHASES = {
    "queued": "waiting for a slot",
    "per_host": "waiting for per_host",
    "rate": "waiting for the rate",
    "total_rate": "waiting for the total rate",
    "pause": "waiting for a pause to end",
    "slow_start": "waiting for a host to open",
    "backoff": "waiting to be tried again",
    "throttled": "held back by a limit",
    "dns": "resolving the name",
    "connect": "connecting",
    "tls": "TLS handshake",
    "send": "sending",
    "wait": "waiting for the answer",
    "receive": "receiving the body",
    "other": "in flight, phase not known",
}
_SEGMENTS = {
    **{name: _PHASES[name] for name in ("dns", "connect", "tls", "send", "wait", "receive")},
    "retry": "until the next try",
    "other": "not known",
}


# Why it was slow


def why(figures: Figures) -> str:
    """Return the section that says what held the batch back, and what to change."""
    diagnosis = diagnosis_of(figures)
    advice = f'<p class="advice">{escaped(diagnosis.advice)}</p>' if diagnosis.advice else ""
    held = _causes(diagnosis.causes, figures.summary.duration)
    parts = [part for part in (held, _time(figures)) if part]
    two = f'<div class="two">{"".join(parts)}</div>' if parts else ""
    return (
        '<section class="why" aria-labelledby="why"><h2 id="why">Why it took this long</h2>'
        f'<p class="said">{escaped(diagnosis.headline)}</p>{advice}{two}</section>'
    )


def _causes(causes: tuple[Cause, ...], duration: float) -> str:
    if not causes:
        return ""
    rows = "".join(
        f"<li><span>{escaped(cause.label[:1].upper() + cause.label[1:])}</span>"
        f'<span class="amount">{cause.share:.0%} <small>{shown_seconds(cause.seconds)}</small>'
        f"</span>{_where(cause.where)}"
        + _charts.bar([(_colour_of(cause.name), cause.share)], 1.0, f"{cause.share:.0%}")
        + "</li>"
        for cause in causes
    )
    return (
        "<div><h3>What held the batch back</h3>"
        f'<p class="note">Share of {shown_seconds(duration)}; several may hold at '
        f'once.</p><ul class="rows">{rows}</ul></div>'
    )


def _colour_of(cause: str) -> str:
    return "p-" + {"slots": "queued", "tail": "other"}.get(cause, cause)


def _where(where: str) -> str:
    return f'<span class="where">at {foreign(where, URL_SHOWN)}</span>' if where else ""


def _time(figures: Figures) -> str:
    """Return where the time of the requests went."""
    tried = 0 if figures.summary.elapsed is None else figures.summary.elapsed.count
    times = _times(figures)
    whole = sum(times.values())
    if not tried or whole <= 0:
        return ""
    rows = "".join(
        f'<li><span><i class="key p-{name}"></i>{_capital(_PHASES[name])}</span>'
        f'<span class="amount">{seconds / whole:.0%} <small>{shown_seconds(seconds / tried)}'
        "</small></span></li>"
        for name, seconds in times.items()
        if seconds >= 0.005 * whole
    )
    said = ", ".join(f"{_PHASES[name]} {seconds / whole:.0%}" for name, seconds in times.items())
    chart = _charts.bar([(f"p-{name}", each) for name, each in times.items()], whole, said)
    return (
        "<div><h3>What the average request did</h3>"
        f'<p class="note">Mean of {plural(tried, "request")}, all tries.</p>'
        f'<div style="margin-top:10px">{chart}</div><ul class="rows">{rows}</ul></div>'
    )


def _times(figures: Figures) -> dict[str, float]:
    """Return the seconds of all requests by phase, with those held back by the reason if known."""
    times = dict(figures.time)
    throttled = times.pop("throttled")
    waits: Mapping[str, float] = figures.limits.waits
    known = sum(waits.values())
    # What is known is of the whole batch; the results may be a part of it.
    scale = min(1.0, throttled / known) if known > 0 else 0.0
    split = {reason: scale * waits[reason] for reason in REASONS if waits.get(reason, 0) > 0}
    rest = throttled - sum(split.values())
    found = {"queued": times.pop("queued"), **split, "throttled": rest, **times}
    return {name: seconds for name, seconds in found.items() if seconds > 0}


# When


def over_time(figures: Figures, span: Span) -> str:
    """Return the section with the charts of what happened when."""
    ended = [(each.succeeded, each.failed) for each in span.bins]
    most = max(ok + failed for ok, failed in ended)
    opens = [each.open / span.width for each in span.bins]
    slots = figures.limits.slots
    peak = max(opens)
    line = slots if slots is not None and slots <= 4 * peak else None
    bytes_ = [float(each.bytes) for each in span.bins]
    axis = _axis(span)
    done = _charts.columns(
        [("ok", [float(ok) for ok, _ in ended]), ("failed", [float(bad) for _, bad in ended])],
        most,
        f"Results over time: at most {shown_rate(most / span.width)}",
    )
    said = f"Requests in flight over time: at most {peak:.1f}"
    in_flight = _charts.area("open", opens, max(peak, line or 0), said, line)
    received = _charts.columns(
        [("ok", bytes_)],
        max(bytes_),
        f"Bytes over time: at most {shown_bytes(max(bytes_) / span.width)} per second",
    )
    limit = "" if line is None else f", dashed: {slots:,} slots"
    failed = (
        '<i class="key" style="background:var(--bad)"></i>failed, '
        if any(bad for _, bad in ended)
        else ""
    )
    return (
        '<section aria-labelledby="when"><h2 id="when">When</h2><div class="three">'
        + _figure("Results", f"peak {shown_rate(most / span.width)}", done, axis, failed)
        + _figure("In flight", f"peak {_number(peak)}{limit}", in_flight, axis)
        + _figure("Received", f"peak {shown_bytes(max(bytes_) / span.width)}/s", received, axis)
        + "</div></section>"
    )


def _figure(name: str, peak: str, chart: str, axis: str, key: str = "") -> str:
    return (
        f"<figure><figcaption><b>{name}</b><span>{key}{peak}</span></figcaption>{chart}{axis}"
        "</figure>"
    )


def _axis(span: Span) -> str:
    ticks = "".join(f"<span>{shown_seconds(span.seconds * part)}</span>" for part in (0.5, 1))
    return f'<div class="axis"><span>0 s</span>{ticks}</div>'


# What was slow


def slowest_requests(slowest: tuple[SlowRequest, ...]) -> str:
    """Return the section of the slowest requests, each with its phases."""
    most = max(each.elapsed for each in slowest)
    used = {name for each in slowest for name, _ in each.segments}
    keys = "".join(
        f'<li><i class="key p-{name}"></i>{text}</li>'
        for name, text in _SEGMENTS.items()
        if name in used
    )
    rows = "".join(_slow_row(each, most) for each in slowest)
    return (
        '<section aria-labelledby="slowest"><h2 id="slowest">Slowest requests</h2>'
        f'<ul class="keys">{keys}</ul><ol class="slow">{rows}</ol></section>'
    )


def _slow_row(each: SlowRequest, most: float) -> str:
    tries = f", {each.attempts} tries" if each.attempts > 1 else ""
    outcome = f"<b{'' if each.ok else BAD}>{escaped(each.outcome)}</b>"
    said = ", ".join(f"{_SEGMENTS[name]} {shown_seconds(s)}" for name, s in each.segments)
    chart = _charts.bar([(f"p-{name}", s) for name, s in each.segments], most, said or "no times")
    return (
        f'<li><span class="url">{outcome}{tries} {foreign(each.url, URL_SHOWN)}</span>{chart}'
        f'<span class="amount">{shown_seconds(each.elapsed)}</span></li>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
