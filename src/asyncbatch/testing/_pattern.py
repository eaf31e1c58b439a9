"""
Matching of paths and URLs, for routes and faults.
"""

from __future__ import annotations

import re


def wildcard(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which `*` matches any text, for use with `fullmatch`."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
