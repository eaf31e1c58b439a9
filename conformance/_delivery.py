"""
How a server's bytes come: in which pieces.
"""

from __future__ import annotations

import enum
import itertools
import re

MAX_PIECES = 160
"""Long contents are cut at their beginning and at their end, and left whole between."""


class Delivery(enum.Enum):
    """Where what a server sends is cut; each piece comes in a segment of its own."""

    WHOLE = "whole"
    BYTES = "byte by byte"
    LINES = "after each line"
    LINE_ENDS = "inside each line end"
    HALVES = "in halves"


def cut(content: bytes, delivery: Delivery) -> list[bytes]:
    """Return `content` in pieces."""
    places = [place for place in _places(content, delivery) if 0 < place < len(content)]
    if len(places) > MAX_PIECES:
        half = MAX_PIECES // 2
        places = places[:half] + places[-half:]
    borders = [0, *places, len(content)]
    return [content[start:end] for start, end in itertools.pairwise(borders) if start < end]


def _places(content: bytes, delivery: Delivery) -> list[int]:
    match delivery:
        case Delivery.WHOLE:
            return []
        case Delivery.BYTES:
            return list(range(1, len(content)))
        case Delivery.LINES:
            return [match.end() for match in re.finditer(rb"\n", content)]
        case Delivery.LINE_ENDS:
            return [match.start() + 1 for match in re.finditer(rb"\r", content)]
        case Delivery.HALVES:
            return [len(content) // 2]
