"""
Servers that mean harm, or behave as if they did.
"""

from __future__ import annotations

from conformance._case import Case

from . import bombs, endless, redirects, refusals, secrets, slow, surplus, tls

GROUPS: dict[str, tuple[Case, ...]] = {
    "bytes behind responses": surplus.CASES,
    "drips and silence": slow.CASES,
    "endless answers": endless.CASES,
    "bombs": bombs.CASES,
    "hostile redirects": redirects.CASES,
    "what goes with a redirect": secrets.CASES,
    "Retry-After": refusals.CASES,
    "TLS": tls.CASES,
}
"""The cases by their subject."""

CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
