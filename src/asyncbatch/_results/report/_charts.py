"""
Charts as static SVG, stretched to the width of the page; all their texts are HTML around them.

Text inside the SVG would be stretched too, and would be too small to read on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEIGHT = 100
"""The height of a chart over time, in units of its own."""


def columns(series: Sequence[tuple[str, Sequence[float]]], most: float, label: str) -> str:
    """
    Return columns over time, those of the series on top of each other.

    Args:
        series: The class and the values of each, the lowest first.
        most: The value that is as high as the chart.
        label: What it shows, for readers who do not see it.
    """
    count = len(series[0][1])
    floors = [0.0] * count
    paths = []
    for name, values in series:
        path = []
        for place, value in enumerate(values):
            if value > 0 and most > 0:
                top, bottom = _height(floors[place] + value, most), _height(floors[place], most)
                path.append(f"M{place} {bottom}V{top}h1V{bottom}z")
                floors[place] += value
        paths.append(_path(name, "".join(path)))
    return _plot(count, label, "".join(paths))


def area(name: str, values: Sequence[float], most: float, label: str, line: float | None) -> str:
    """
    Return values over time as an area, with a line across it at the value `line`.

    Args:
        name: The class of the area.
        values: The values.
        most: The value that is as high as the chart.
        label: What it shows, for readers who do not see it.
        line: The value of the line; `None` for none.
    """
    steps = "".join(f"V{_height(value, most)}h1" for value in values) if most > 0 else ""
    path = f"M0 {HEIGHT}{steps}V{HEIGHT}z" if steps else ""
    drawn = _path(name, path)
    if line is not None and most > 0:
        at = _height(line, most)
        path = f"M0 {at}H{len(values)}"
        drawn += f'<path class="limit" vector-effect="non-scaling-stroke" d="{path}"/>'
    return _plot(len(values), label, drawn)


def bar(segments: Iterable[tuple[str, float]], whole: float, label: str) -> str:
    """
    Return a horizontal bar of segments, one after the other.

    Args:
        segments: The class and the length of each.
        whole: The length that is as long as the chart.
        label: What it shows, for readers who do not see it.
    """
    begin, drawn = 0.0, []
    for name, length in segments:
        share = min(length / whole, 1.0 - begin) if whole > 0 else 0.0
        # Less cannot be seen, and a hundred of them would make the page larger.
        if share >= 0.0005:
            drawn.append(
                f'<rect class="{name}" x="{_percent(begin)}" width="{_percent(share)}" '
                'height="100%"/>'
            )
        begin += max(0.0, share)
    return f'<svg class="bar" role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def _plot(count: int, label: str, drawn: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {max(1, count)} {HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{label}">{drawn}</svg>'
    )


def _path(name: str, path: str) -> str:
    return f'<path class="{name}" d="{path}"/>' if path else ""


def _height(value: float, most: float) -> str:
    return f"{HEIGHT - HEIGHT * min(1.0, value / most):.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
