"""
How paths and URLs are matched, in routes and in faults alike.
"""

from __future__ import annotations

import re


def wildcard(pattern: str) -> re.Pattern[str]:
    """Compile a text in which `*` stands for any text, for use with `fullmatch`."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
