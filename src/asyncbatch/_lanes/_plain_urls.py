"""
The grammar of plain URLs: those that httpx neither changes nor reads in another way.

A lower-case scheme and host, and only characters that need no percent-encoding. Dot segments would
be resolved, a fragment cut off. What is not plain is no worse for it: httpx reads it.
"""

from __future__ import annotations

import re

_PATH_CHARS = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]*+"
_QUERY_CHARS = r"[A-Za-z0-9\-._~!$&()*+,;=:@/?]*+"
_ESCAPE = "%[0-9A-Fa-f]{2}"
# Early releases of Python 3.11 do not go back to where a possessive turn began that fails, and so
# take the dot segment behind this slash. An atomic group is right everywhere, and 100 ns slower.
_HAS_POSSESSIVE_GROUPS = re.fullmatch(r"(?:/(?!\.)\.*+)*+", "/.") is None
_REPEATED = "(?:{})*+" if _HAS_POSSESSIVE_GROUPS else "(?>(?:{})*)"


def _with_escapes(characters: str) -> str:
    # Runs of one class, which the engine of `re` scans four times as fast as a choice of two.
    return characters + _REPEATED.format(_ESCAPE + characters)


_TARGET = (
    _REPEATED.format(r"/(?!\.{1,2}(?:[/?]|\Z))" + _with_escapes(_PATH_CHARS))
    + rf"(?:\?(?!\Z){_with_escapes(_QUERY_CHARS)})?"
)
SIMPLE_TARGET = re.compile(
    r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@/?]++)?"
)
"""
What follows the origin in most plain URLs, if "/." is not in it.

All of the path is one run of one class, which is scanned twice as fast as its segments.
"""
_PLAIN_URL = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,3}|:[1-5][0-9]{4})?)"
    rf"({_TARGET})"
)

MAX_PLAIN_LENGTH = 65_536
"""httpx refuses longer ones."""


def split_plain(url: str) -> tuple[str, bytes] | None:
    """Return the origin of a plain URL and the target to ask it for; `None` for any other URL."""
    match = _PLAIN_URL.fullmatch(url) if len(url) <= MAX_PLAIN_LENGTH else None
    if match is None:
        return None
    target = match[2].encode("ascii")
    return match[1], target if target[:1] == b"/" else b"/" + target
