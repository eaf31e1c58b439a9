"""
Requests for a part of something: they ask for its bytes, not for those of an encoding of it.

A part of an encoded body cannot be decoded (RFC 9110 §8.4, §14.1.2); so the Fetch standard sends
`Accept-Encoding: identity` with `Range`, as Go does.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

RANGE = "range"
ACCEPTED = "accept-encoding"


def ask_for_identity(headers: MutableMapping[str, str], library: Any) -> None:
    """Ask for no coding, if it is a range that is asked for, and httpx alone has said otherwise."""
    # Private, but httpx's and httpx2's alike; without it what the client says stays.
    usual = getattr(getattr(library, "_client", None), "ACCEPT_ENCODING", None)
    if RANGE in headers and usual is not None and headers.get(ACCEPTED) == usual:
        headers["Accept-Encoding"] = "identity"


def names_codings(headers: Any, library: Any) -> bool:
    """Whether the headers that a request was given say themselves which codings they accept."""
    return headers is not None and ACCEPTED in library.Headers(headers)
