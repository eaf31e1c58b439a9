"""
The table: each module holds the cases of one subject in `CASES`.
"""

from __future__ import annotations

from conformance._case import Case

from . import heads

CASES: tuple[Case, ...] = (*heads.CASES,)
"""All of them, names unique."""
