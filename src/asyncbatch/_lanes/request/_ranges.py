"""
Range requests, which ask for no content coding.

A part of an encoded body cannot be decoded (RFC 9110 §8.4, §14.1.2), so the Fetch standard and Go
send `Accept-Encoding: identity` with `Range`.
"""

from __future__ import annotations

from typing import Any

RANGE = "range"
ACCEPTED = "accept-encoding"

_RANGE_LENGTH = len(RANGE)


def ask_for_identity(headers: Any, library: Any) -> None:
    """Ask for no coding if there is a `Range`, and `Accept-Encoding` is httpx's default."""
    if b"range" not in [name.lower() for name, _ in headers.raw if len(name) == _RANGE_LENGTH]:
        return
    # A private name in httpx and httpx2. Without it the field is left alone.
    usual = getattr(getattr(library, "_client", None), "ACCEPT_ENCODING", None)
    if usual is not None and headers.get(ACCEPTED) == usual:
        headers["Accept-Encoding"] = "identity"


def names_codings(headers: Any, library: Any) -> bool:
    """Whether the headers given for a request have an `Accept-Encoding`."""
    return headers is not None and ACCEPTED in library.Headers(headers)
