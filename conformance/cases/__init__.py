"""
The table: each module holds the cases of one subject in `CASES`.
"""

from __future__ import annotations

from conformance._case import Case

from . import bombs, endless, heads, redirects, refusals, secrets, slow, surplus, tls

HOSTILE: tuple[Case, ...] = (
    *surplus.CASES,
    *slow.CASES,
    *endless.CASES,
    *bombs.CASES,
    *redirects.CASES,
    *secrets.CASES,
    *refusals.CASES,
    *tls.CASES,
)

CASES: tuple[Case, ...] = (*heads.CASES, *HOSTILE)
"""All of them, names unique."""
