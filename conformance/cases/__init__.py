"""
The table: each module holds the cases of one subject in `CASES`.
"""

from __future__ import annotations

from conformance._case import Case

from . import (
    bodiless,
    chunks,
    cookies,
    encodings,
    endings,
    fields,
    hostile,
    informational,
    lengths,
    limits,
    persistence,
    redirects,
    stalls,
    status_lines,
    uploads,
)

GROUPS: dict[str, tuple[Case, ...]] = {
    "status lines": status_lines.CASES,
    "header fields": fields.CASES,
    "lengths": lengths.CASES,
    "chunks and trailers": chunks.CASES,
    "informational responses": informational.CASES,
    "responses without a body": bodiless.CASES,
    "kept connections": persistence.CASES,
    "connections that end": endings.CASES,
    "content codings": encodings.CASES,
    "limits of heads and framing": limits.CASES,
    "uploads": uploads.CASES,
    "redirects": redirects.CASES,
    "cookies": cookies.CASES,
    "slow servers": stalls.CASES,
    **hostile.GROUPS,
}
"""The cases by their subject."""

CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
"""All of them, names unique."""
