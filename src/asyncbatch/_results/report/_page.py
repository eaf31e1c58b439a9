"""
The report as one HTML page, which needs nothing else: no script, no font, no file.

It puts the sections together. `_builder` has counted, and `_causes` has found the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from asyncbatch._results._summary import shown_seconds
from asyncbatch._results.report._count_sections import distribution, failures, hosts, tiles
from asyncbatch._results.report._figures import Figures
from asyncbatch._results.report._markup import escaped, plural
from asyncbatch._results.report._style import STYLE
from asyncbatch._results.report._time_sections import over_time, slowest_requests, why
from asyncbatch._values._version import __version__


def page_of(figures: Figures, part: str | None = None) -> str:
    """Return the page; `part` says what part of the whole it is about."""
    summary = figures.summary
    title = f"{plural(summary.total, 'request')} in {shown_seconds(summary.duration)}"
    sections = "".join(_sections(figures))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{title} - asyncbatch</title><style>{STYLE}</style></head><body>"
        f'<main><header><h1>{title}</h1><p class="sub">{_about(figures, part)}</p></header>'
        f"{sections}</main><footer>{_footer(figures)}</footer></body></html>\n"
    )


def _sections(figures: Figures) -> Iterator[str]:
    summary = figures.summary
    yield tiles(summary)
    yield why(figures)
    if figures.span is not None and figures.span.seconds > 0:
        yield over_time(figures, figures.span)
    if figures.groups:
        yield failures(figures)
    if figures.slowest:
        yield slowest_requests(figures.slowest)
    if summary.total:
        yield hosts(figures)
        yield distribution(summary)


def _about(figures: Figures, part: str | None) -> str:
    count = len(figures.hosts) + figures.more_hosts
    parts = [] if part is None else [f"<b>{escaped(part)}</b>"]
    parts += [plural(count, "host")] if count else []
    begun, span = figures.begun_at, figures.span
    if begun is not None and span is not None:
        began = datetime.fromtimestamp(begun, UTC)
        text = began.strftime("%Y-%m-%d %H:%M:%S")
        parts.append(f'<time datetime="{began.isoformat(timespec="seconds")}">{text} UTC</time>')
    return " · ".join(parts)


def _footer(figures: Figures) -> str:
    notes = [f"asyncbatch {escaped(__version__)}."]
    if figures.from_journal:
        kept = plural(figures.from_journal, "result")
        notes.append(f"Taken from the journal: {kept}, whose times are not those of this batch.")
    span, duration = figures.span, figures.summary.duration
    if span is not None and span.seconds > 2 * duration + 60:
        notes.append(
            "The requests are spread over more time than the batch took: they are of several "
            "batches, or the clock was set meanwhile."
        )
    notes.append("Passwords, and what looks like a secret in a URL, are masked.")
    return f"<p>{' '.join(notes)}</p>"
