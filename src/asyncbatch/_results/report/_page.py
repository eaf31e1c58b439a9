"""
The report as one HTML page, which needs nothing else: no script, no font, no file.

It only shows: `_builder` has counted, `_causes` has judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from asyncbatch._results._limits import REASONS
from asyncbatch._results._summary import Summary, shown_bytes, shown_rate, shown_seconds
from asyncbatch._results.report import _charts
from asyncbatch._results.report._causes import Cause, diagnosis_of
from asyncbatch._results.report._figures import Figures, HostFigures, SlowRequest
from asyncbatch._results.report._markup import escaped, foreign, table
from asyncbatch._results.report._style import STYLE
from asyncbatch._results.report._timeline import Span

HOSTS_SHOWN = 20
GROUPS_SHOWN = 12
STATUSES_SHOWN = 20
URL_SHOWN = 160
"""Most characters of a URL, or of a message, that are shown."""

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


def page_of(figures: Figures) -> str:
    """Return the page."""
    summary = figures.summary
    title = f"{_plural(summary.total, 'request')} in {shown_seconds(summary.duration)}"
    sections = "".join(_sections(figures))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{title} - asyncbatch</title><style>{STYLE}</style></head><body>"
        f'<main><header><h1>{title}</h1><p class="sub">{_when(figures)}</p></header>{sections}'
        f"</main><footer>{_footer(figures)}</footer></body></html>\n"
    )


def _sections(figures: Figures) -> Iterator[str]:
    summary = figures.summary
    yield _tiles(summary)
    yield _why(figures)
    if figures.span is not None and figures.span.seconds > 0:
        yield _over_time(figures, figures.span)
    if figures.groups:
        yield _failures(figures)
    if figures.slowest:
        yield _slowest(figures.slowest)
    if summary.total:
        yield _hosts(figures)
        yield _distribution(summary)


def _when(figures: Figures) -> str:
    hosts = len(figures.hosts) + figures.more_hosts
    parts = [_plural(hosts, "host")] if hosts else []
    begun, span = figures.begun_at, figures.span
    if begun is not None and span is not None:
        try:
            began = datetime.fromtimestamp(begun, UTC)
        except (ValueError, OverflowError, OSError):
            return " · ".join(parts)
        text = began.strftime("%Y-%m-%d %H:%M:%S")
        parts.append(f'<time datetime="{began.isoformat(timespec="seconds")}">{text} UTC</time>')
    return " · ".join(parts)


def _footer(figures: Figures) -> str:
    notes = [f"asyncbatch {escaped(version('asyncbatch'))}."]
    if figures.from_journal:
        kept = _plural(figures.from_journal, "result")
        notes.append(f"Taken from the journal: {kept}, whose times are not those of this batch.")
    span, duration = figures.span, figures.summary.duration
    if span is not None and span.seconds > 2 * duration + 60:
        notes.append(
            "The requests are spread over more time than the batch took: they are of several "
            "batches, or the clock was set meanwhile."
        )
    notes.append("Passwords, and what looks like a secret in a URL, are masked.")
    return f"<p>{' '.join(notes)}</p>"


# What happened


def _tiles(summary: Summary) -> str:
    total = summary.total
    failed = f"{summary.failed:,}"
    tiles = [
        ("Succeeded", f"{summary.succeeded:,}", _share(summary.succeeded, total)),
        (
            "Failed",
            f'<span class="bad">{failed}</span>' if summary.failed else failed,
            _kinds(summary) or _share(summary.failed, total),
        ),
        ("Rate", shown_rate(summary.rate), "results"),
        ("Received", shown_bytes(summary.bytes), "decoded bodies"),
        ("Retries", f"{summary.retries:,}", "tries beyond the first"),
    ]
    if (elapsed := summary.elapsed) is not None:
        quantiles = f"90%: {_unbroken(elapsed.p90)}, 99%: {_unbroken(elapsed.p99)}"
        tiles.append(("Median request", shown_seconds(elapsed.p50), quantiles))
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value} <small>{more}</small></dd></div>"
        for name, value, more in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _kinds(summary: Summary) -> str:
    kinds = list(summary.kinds.items())
    shown = ", ".join(f"{escaped(kind)} {count:,}" for kind, count in kinds[:2])
    return f"{shown}, …" if len(kinds) > 2 else shown


# Why it was slow


def _why(figures: Figures) -> str:
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
        f'<p class="note">Mean of {_plural(tried, "request")}, all tries.</p>'
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


def _over_time(figures: Figures, span: Span) -> str:
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


def _slowest(slowest: tuple[SlowRequest, ...]) -> str:
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


BAD = ' class="bad"'


def _hosts(figures: Figures) -> str:
    shown = figures.hosts[:HOSTS_SHOWN]
    rows = [_host_row(foreign(host, 80) if host else "no host", each) for host, each in shown]
    rest = HostFigures()
    for _, each in figures.hosts[HOSTS_SHOWN:]:
        rest.add(each)
    if figures.others is not None:
        rest.add(figures.others)
    if hidden := len(figures.hosts) - len(shown) + figures.more_hosts:
        rows.append(_host_row(f"{_plural(hidden, 'other host')}", rest))
    heads = ("Host", "Requests", "Failed", "Retries", "Mean", "Slowest", "Held back", "Received")
    return (
        '<section aria-labelledby="hosts"><h2 id="hosts">By host, most time first</h2>'
        f"{table('Figures by host', heads, rows)}</section>"
    )


def _host_row(name: str, each: HostFigures) -> tuple[str, ...]:
    failed = f"{each.failed:,}"
    return (
        name,
        f"{each.requests:,}",
        f'<span class="bad">{failed}</span>' if each.failed else failed,
        f"{each.retries:,}",
        shown_seconds(each.elapsed / max(1, each.requests)),
        shown_seconds(each.slowest),
        shown_seconds(each.throttled / max(1, each.requests)),
        shown_bytes(each.bytes),
    )


# What failed


def _failures(figures: Figures) -> str:
    shown = figures.groups[:GROUPS_SHOWN]
    rows = [
        (
            f'<b class="bad">{escaped(group.kind)}</b>',
            foreign(group.message, URL_SHOWN),
            f'<span class="url">{foreign(group.url, URL_SHOWN)}</span>',
            f"{group.count:,}",
        )
        for group in shown
    ]
    hidden = sum(each.count for each in figures.groups[GROUPS_SHOWN:]) + figures.more_failures
    more = f'<p class="note">And {hidden:,} more, of other messages.</p>' if hidden else ""
    heads = ("Kind", "Message", "Example", "Failures")
    return (
        '<section aria-labelledby="failures"><h2 id="failures">Failures</h2>'
        f"{table('Failures by kind and message', heads, rows, texts=3)}{more}</section>"
    )


# Counts


def _distribution(summary: Summary) -> str:
    parts = [part for part in (_statuses(summary), _quantiles(summary)) if part]
    if not parts:
        return ""
    return (
        '<section aria-labelledby="counts"><h2 id="counts">Statuses and times</h2>'
        f'<div class="two">{"".join(parts)}</div></section>'
    )


def _statuses(summary: Summary) -> str:
    counts = sorted(summary.statuses.items(), key=lambda each: -each[1])
    if not counts:
        return ""
    most = counts[0][1]
    rows = "".join(
        f'<li><span>{status}</span><span class="amount">{count:,} '
        f"<small>{_share(count, summary.total)}</small></span>"
        + _charts.bar([("ok" if status < 400 else "failed", count)], most, f"{count:,}")
        + "</li>"
        for status, count in counts[:STATUSES_SHOWN]
    )
    hidden = len(counts) - STATUSES_SHOWN
    more = f'<p class="note">And {_plural(hidden, "other status", "es")}.</p>' if hidden > 0 else ""
    return f'<div><ul class="rows">{rows}</ul>{more}</div>'


def _quantiles(summary: Summary) -> str:
    if summary.elapsed is None:
        return ""
    found = {"all of it": summary.elapsed}
    found |= {name: each for name, each in summary.phases.items() if each.max > 0}
    rows = [
        (name, *(shown_seconds(each) for each in (q.p50, q.p90, q.p99, q.max)))
        for name, q in found.items()
    ]
    heads = ("Seconds in", "50%", "90%", "99%", "most")
    return f"<div>{table('Quantiles of the phases', heads, rows)}</div>"


def _unbroken(seconds: float) -> str:
    return shown_seconds(seconds).replace(" ", "\xa0")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _plural(count: int, name: str, ending: str = "s") -> str:
    return f"{count:,} {name}{'' if count == 1 else ending}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
