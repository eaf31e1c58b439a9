"""
Plain URLs, which are sent as they are written.

A plain URL is one that httpx would not change: its scheme and host are in lower case, and all its
characters need no percent-encoding. It has no dot segments, which httpx would resolve, and no
fragment, which httpx would cut off. httpx parses all other URLs.
"""

from __future__ import annotations

import re

_PATH_CHARS = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]*+"
_QUERY_CHARS = r"[A-Za-z0-9\-._~!$&()*+,;=:@/?]*+"
_ESCAPE = "%[0-9A-Fa-f]{2}"
# Early releases of Python 3.11 do not backtrack to the start of a failed possessive repetition, and
# so match the dot segment after this slash. An atomic group works everywhere, and is 100 ns slower.
_HAS_POSSESSIVE_GROUPS = re.fullmatch(r"(?:/(?!\.)\.*+)*+", "/.") is None
_REPEATED = "(?:{})*+" if _HAS_POSSESSIVE_GROUPS else "(?>(?:{})*)"


def _with_escapes(characters: str) -> str:
    # Runs of one character class, which `re` scans four times as fast as an alternation.
    return characters + _REPEATED.format(_ESCAPE + characters)


_TARGET = (
    _REPEATED.format(r"/(?!\.{1,2}(?:[/?]|\Z))" + _with_escapes(_PATH_CHARS))
    + rf"(?:\?(?!\Z){_with_escapes(_QUERY_CHARS)})?"
)
SIMPLE_TARGET = re.compile(
    r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@/?]++)?"
)
"""
The part after the origin in most plain URLs; valid only if it does not contain "/.".

The whole path is one run of one character class, scanned twice as fast as segment by segment.
"""
_PLAIN_ORIGIN = r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,3}|:[1-5][0-9]{4})?)"
_PLAIN_URL = re.compile(rf"{_PLAIN_ORIGIN}({_TARGET})")
_AT_ORIGIN = re.compile(rf"{_PLAIN_ORIGIN}(?=[/?#]|\Z)")

MAX_PLAIN_LENGTH = 65_536
"""httpx refuses longer ones."""


def split_plain(url: str) -> tuple[str, bytes] | None:
    """Return the origin and the request target of a plain URL; `None` for any other URL."""
    match = _PLAIN_URL.fullmatch(url) if len(url) <= MAX_PLAIN_LENGTH else None
    if match is None:
        return None
    target = match[2].encode("ascii")
    return match[1], target if target[:1] == b"/" else b"/" + target


def plain_origin(url: str) -> str | None:
    """Return the beginning of a URL up to its target, if that is as in a plain URL."""
    match = _AT_ORIGIN.match(url)
    return None if match is None else match[1]
