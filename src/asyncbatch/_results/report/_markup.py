"""
HTML as text: escaping of foreign text, and the elements that the page and the notebook share.

Texts of results are never trusted: `escaped` is applied to each, here and nowhere else.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# Controls, characters that change the direction of what follows, half a pair of surrogates, and
# what Unicode says is no character: HTML allows none of them.
_LAST_OF_PLANES = "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    f"\ud800-\udfff\ufdd0-\ufdef{_LAST_OF_PLANES}]"
)

URL_SHOWN = 160
"""Most characters of a URL, or of a message, that are shown."""


def escaped(text: object) -> str:
    """Return a text for HTML, for an attribute in double quotes too."""
    return html.escape(_UNSAFE.sub("\ufffd", str(text)))


def shortened(text: str, most: int) -> str:
    """Return a text of bounded length: what is too much is cut out of its middle."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def foreign(text: str, most: int) -> str:
    """Return a text of others as an element, whose direction does not change that around it."""
    return f"<bdi>{escaped(shortened(text, most))}</bdi>"


def plural(count: int, name: str, ending: str = "s") -> str:
    """Return a number with the name of what is counted."""
    return f"{count:,} {name}{'' if count == 1 else ending}"


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1
) -> str:
    """
    Return a table.

    Args:
        caption: What it shows, for readers who do not see it.
        heads: The names of its columns.
        rows: The cells, as HTML.
        texts: How many columns at the left are texts; the others are numbers.
    """
    head = "".join(
        f'<th scope="col"{"" if place < texts else NUMBER}>{each}</th>'
        for place, each in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(_cells(row, heads, texts))}</tr>" for row in rows)
    return (
        f'<table><caption class="hidden">{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


NUMBER = ' class="n"'
BAD = ' class="bad"'


def _cells(row: Sequence[str], heads: Sequence[str], texts: int) -> Iterable[str]:
    for place, (cell, head) in enumerate(zip(row, heads, strict=True)):
        if not place:
            yield f'<th scope="row">{cell}</th>'
        else:
            # On a phone, the cells stand below each other, each with the name of its column.
            yield f'<td{"" if place < texts else NUMBER} data-l="{head}">{cell}</td>'
