"""
The sections of the page that count: results at the top, failures, hosts, statuses and quantiles.
"""

from __future__ import annotations

from asyncbatch._results._summary import Summary, shown_bytes, shown_rate, shown_seconds
from asyncbatch._results.report import _charts
from asyncbatch._results.report._figures import Figures, HostTotals
from asyncbatch._results.report._markup import BAD, URL_SHOWN, escaped, foreign, plural, table

HOSTS_SHOWN = 20
GROUPS_SHOWN = 12
STATUSES_SHOWN = 20


# What happened


def tiles(summary: Summary) -> str:
    """Return the figures in large."""
    total = summary.total
    failed = f"{summary.failed:,}"
    found = [
        ("Succeeded", f"{summary.succeeded:,}", _share(summary.succeeded, total)),
        (
            "Failed",
            f"<span{BAD}>{failed}</span>" if summary.failed else failed,
            _kinds(summary) or _share(summary.failed, total),
        ),
        ("Rate", shown_rate(summary.rate), "results"),
        ("Received", shown_bytes(summary.bytes), "decoded bodies"),
        ("Retries", f"{summary.retries:,}", "tries beyond the first"),
    ]
    if (elapsed := summary.elapsed) is not None:
        quantiles = f"90%: {_unbroken(elapsed.p90)}, 99%: {_unbroken(elapsed.p99)}"
        found.append(("Median request", shown_seconds(elapsed.p50), quantiles))
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{value} <small>{more}</small></dd></div>"
        for name, value, more in found
    )
    return f'<dl class="tiles">{cells}</dl>'


def _kinds(summary: Summary) -> str:
    kinds = list(summary.kinds.items())
    shown = ", ".join(f"{escaped(kind)} {count:,}" for kind, count in kinds[:2])
    return f"{shown}, …" if len(kinds) > 2 else shown


# What failed


def failures(figures: Figures) -> str:
    """Return the section of the failures, grouped."""
    shown = figures.groups[:GROUPS_SHOWN]
    rows = [
        (
            f"<b{BAD}>{escaped(group.kind)}</b>",
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


# Hosts


def hosts(figures: Figures) -> str:
    """Return the section of the hosts with the most time."""
    shown = figures.hosts[:HOSTS_SHOWN]
    rows = [_host_row(foreign(host, 80) if host else "no host", each) for host, each in shown]
    rest = HostTotals()
    for _, each in figures.hosts[HOSTS_SHOWN:]:
        rest.add(each)
    if figures.others is not None:
        rest.add(figures.others)
    if hidden := len(figures.hosts) - len(shown) + figures.more_hosts:
        rows.append(_host_row(f"{plural(hidden, 'other host')}", rest))
    heads = ("Host", "Requests", "Failed", "Retries", "Mean", "Slowest", "Held back", "Received")
    return (
        '<section aria-labelledby="hosts"><h2 id="hosts">By host, most time first</h2>'
        f"{table('Figures by host', heads, rows)}</section>"
    )


def _host_row(name: str, each: HostTotals) -> tuple[str, ...]:
    failed = f"{each.failed:,}"
    return (
        name,
        f"{each.requests:,}",
        f"<span{BAD}>{failed}</span>" if each.failed else failed,
        f"{each.retries:,}",
        shown_seconds(each.elapsed / max(1, each.requests)),
        shown_seconds(each.slowest),
        shown_seconds(each.throttled / max(1, each.requests)),
        shown_bytes(each.bytes),
    )


# Statuses and times


def distribution(summary: Summary) -> str:
    """Return the section of the statuses, and of the quantiles of the times."""
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
    more = f'<p class="note">And {plural(hidden, "other status", "es")}.</p>' if hidden > 0 else ""
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
