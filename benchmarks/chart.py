"""
Charts as SVG, drawn from a record: costs as points with their range, and memory as lines.

They stand on a light ground of their own, so that they are read on a dark page as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.figures import Spread, cost_of, entrants_of
from benchmarks.record import Record
from benchmarks.workloads import OURS, WORKLOADS, WRK

TITLES = {
    "headline": "Wall time per request: 17-byte JSON, 100 connections",
    "connections": "Wall time per request by connections: 17-byte JSON",
    "memory": "Resident memory while requests are streamed",
}

_WIDTH = 760
_LEFT = 250
_RIGHT = 110
_TOP = 56
_ROW = 24
_HEIGHT = 320
_OURS = "#4051b5"
_THEIRS = "#8a8f98"
_COLOURS = (_OURS, "#00897b", "#c2185b", "#ef6c00", "#6d4c41", "#546e7a", "#7b1fa2")


@dataclass(frozen=True)
class Axis:
    """A scale from values to pixels, logarithmic or linear."""

    least: float
    greatest: float
    start: float
    end: float
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return where `value` is drawn."""
        low, high, at = map(self._scaled, (self.least, self.greatest, value))
        share = (at - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values within the axis."""
        if self.is_logarithmic:
            exponents = range(math.floor(math.log10(self.least)), 12)
            digits = (1, 2, 5) if self.greatest < 300 * self.least else (1, 3)
            found = [digit * 10.0**exponent for exponent in exponents for digit in digits]
        else:
            step = self._step()
            found = [step * count for count in range(int(self.greatest / step) + 1)]
        return [value for value in found if self.least <= value <= self.greatest]

    def _step(self) -> float:
        # The least of 1, 2, 5, 10, ... that makes six steps at most.
        least = (self.greatest - self.least) / 6 or 1.0
        power = 10.0 ** math.floor(math.log10(least))
        return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_logarithmic else value


def charts(record: Record) -> dict[str, str]:
    """Return the charts that the record has figures for, by name."""
    drawings = {
        "headline": _costs(record, "headline"),
        "connections": _by_connections(record),
        "memory": _memory(record),
    }
    return {name: drawing for name, drawing in drawings.items() if drawing}


def _costs(record: Record, workload: str) -> str:
    """Draw the cost of each entrant as a point with its range, on a logarithmic axis."""
    found = [
        (entrant, cost_of(record, workload, entrant)) for entrant in entrants_of(record, workload)
    ]
    rows = [(str(entrant), spread) for entrant, spread in found if spread is not None]
    if not rows:
        return ""
    bottom = _TOP + _ROW * len(rows)
    axis = Axis(
        min(spread.least for _, spread in rows) * 1e6 / 1.2,
        max(spread.greatest for _, spread in rows) * 1e6 * 1.2,
        _LEFT,
        _WIDTH - _RIGHT,
        is_logarithmic=True,
    )
    parts = list(_vertical_grid(axis, bottom))
    for number, (name, spread) in enumerate(rows):
        parts += _cost_row(name, spread, axis, _TOP + _ROW * number + _ROW / 2)
    parts.append(_text(_LEFT, bottom + 34, "µs per request, logarithmic; less is better", "start"))
    return _document(TITLES["headline"], parts, bottom + 48)


def _cost_row(name: str, spread: Spread, axis: Axis, y: float) -> Iterable[str]:
    colour = _OURS if name.startswith("asyncbatch") else _THEIRS
    least, middle, greatest = (
        axis(value * 1e6) for value in (spread.least, spread.middle, spread.greatest)
    )
    yield _text(_LEFT - 12, y + 4, name, "end", colour=colour if colour == _OURS else "#202124")
    yield _line(least, y, greatest, y, colour, width=3)
    yield f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    yield _text(greatest + 10, y + 4, f"{spread.middle * 1e6:,.1f}", "start")


def _by_connections(record: Record) -> str:
    workloads = [
        workload
        for workload in WORKLOADS
        if workload.kind == "rate" and workload.resource == "json" and not workload.tls
        if {OURS, WRK} <= set(workload.entrants)
    ]
    lines: dict[str, list[tuple[float, float]]] = {}
    for workload in sorted(workloads, key=lambda each: each.connections):
        for entrant in entrants_of(record, workload.name):
            spread = cost_of(record, workload.name, entrant)
            if spread is not None:
                point = (workload.connections, spread.middle * 1e6)
                lines.setdefault(str(entrant), []).append(point)
    # Ours first, so that they have the first colours.
    names = sorted(lines, key=lambda name: not name.startswith("asyncbatch"))
    lines = {name: lines[name] for name in names if len(lines[name]) > 1}
    return _lines("connections", lines, "connections", "µs", is_logarithmic=True)


def _memory(record: Record) -> str:
    lines: dict[str, list[tuple[float, float]]] = {}
    longest = max(
        (
            workload
            for workload in WORKLOADS
            if workload.kind == "stream" and record.of(workload.name)
        ),
        key=lambda workload: workload.count or 0,
        default=None,
    )
    if longest is None:
        return ""
    for each in record.of(longest.name):
        curve = each.figures["memory_curve"]
        lines[str(each.entrant)] = [(count, size / 1e6) for count, size in curve]
    return _lines("memory", lines, "requests done", "MB")


def _lines(
    name: str,
    lines: dict[str, list[tuple[float, float]]],
    across: str,
    unit: str,
    *,
    is_logarithmic: bool = False,
) -> str:
    """Draw lines over common axes; the upright one begins at 0."""
    if not lines:
        return ""
    points = [point for line in lines.values() for point in line]
    bottom = _TOP + _HEIGHT
    horizontal = Axis(
        min(x for x, _ in points),
        max(x for x, _ in points),
        80,
        _WIDTH - 190,
        is_logarithmic,
    )
    upright = Axis(0.0, max(y for _, y in points) * 1.1, bottom, _TOP)
    parts = [*_vertical_grid(horizontal, bottom), *_horizontal_grid(upright, horizontal)]
    for number, (label, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{horizontal(x):.1f},{upright(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _TOP + 10 + 20 * number
        parts.append(_line(_WIDTH - 178, y, _WIDTH - 158, y, colour, width=3))
        parts.append(_text(_WIDTH - 150, y + 4, label, "start"))
    parts.append(_text(80, bottom + 36, across, "start"))
    parts.append(_text(80, _TOP - 8, unit, "end"))
    return _document(TITLES[name], parts, bottom + 50)


def _vertical_grid(axis: Axis, bottom: float) -> Iterable[str]:
    for value in axis.ticks():
        x = axis(value)
        yield _line(x, _TOP, x, bottom, "#dfe1e5")
        yield _text(x, bottom + 16, f"{value:,.10g}", "middle")


def _horizontal_grid(axis: Axis, across: Axis) -> Iterable[str]:
    for value in axis.ticks():
        y = axis(value)
        yield _line(across.start, y, across.end, y, "#dfe1e5")
        yield _text(across.start - 8, y + 4, f"{value:,.10g}", "end")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'
    )


def _text(x: float, y: float, words: str, anchor: str, *, colour: str = "#202124") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(words)}</text>"
    )


def _document(title: str, parts: Iterable[str], height: float) -> str:
    words = escape(title)
    head = f"""
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"
 font-family="system-ui, sans-serif" font-size="13" role="img">
<title>{words}</title>
<rect width="{_WIDTH}" height="{height:.0f}" rx="6" fill="#ffffff"/>
<text x="24" y="30" font-size="16" font-weight="600" fill="#202124">{words}</text>
"""
    return "\n".join([head.strip(), *parts, "</svg>"]) + "\n"
