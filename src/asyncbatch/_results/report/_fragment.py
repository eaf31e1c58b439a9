"""
Results and summaries in a notebook: a few lines and a small table.

It has the colours of the notebook, light or dark. All texts are escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncbatch._results.report._markup import escaped, foreign

_TABLE = "border-collapse:collapse;margin-top:.5em"
_CELL = "padding:.1em 1em .1em 0;text-align:{};vertical-align:top;overflow-wrap:anywhere"
CELL_WIDTH = 100
"""Most characters of a cell."""


def fragment(
    title: str,
    facts: Sequence[tuple[str, str]],
    heads: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    *,
    texts: int = 1,
) -> str:
    """
    Return an element.

    Args:
        title: The first line.
        facts: Names and values, a line each.
        heads: The names of the columns of a table.
        rows: The cells of that table; without any there is no table.
        texts: How many columns at the left of the table are texts; the others are numbers.
    """
    lines = "".join(
        f'<div><span style="display:inline-block;min-width:6.5em;opacity:.75">{escaped(name)}'
        f"</span>{foreign(value, 4 * CELL_WIDTH)}</div>"
        for name, value in facts
    )
    table = _table(heads, rows, texts) if rows else ""
    return f"<div><div><b>{escaped(title)}</b></div>{lines}{table}</div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    styles = [_CELL.format("left" if place < texts else "right") for place in range(len(heads))]
    head = "".join(
        f'<th style="{style};opacity:.75">{escaped(name)}</th>'
        for style, name in zip(styles, heads, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style}">{foreign(cell, CELL_WIDTH)}</td>'
            for style, cell in zip(styles, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
