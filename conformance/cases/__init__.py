"""
The table: each module holds the cases of one subject in `CASES`.
"""

from __future__ import annotations

from conformance._case import Case

from . import heads, hostile

GROUPS: dict[str, tuple[Case, ...]] = {
    "status lines": heads.CASES,
    **hostile.GROUPS,
}
"""The cases by their subject."""

CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
"""All of them, names unique."""
