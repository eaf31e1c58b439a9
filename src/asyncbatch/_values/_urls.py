"""
The grammar of URLs: what stands around them, what is a host and a port, and which are plain.

A plain URL is one that httpx neither changes nor reads in another way: a lower-case scheme and
host, and only characters that need no percent-encoding. Dot segments would be resolved, a fragment
cut off. One that is not plain is no worse for it: httpx reads it. What of a URL may be shown is in
`_redaction`.
"""

from __future__ import annotations

import re
import unicodedata

DEFAULT_PORTS = {"http": 80, "https": 443}

BLANKS = "".join(map(chr, range(0x21)))
"""
What is no part of a URL at its ends: C0 controls and the space (WHATWG URL, §4.4).

Spreadsheets, HTML attributes and the lines of a file have them.
"""

ORIGIN = re.compile(
    r"(https?)://([a-z0-9._-]+)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?(?=[/?#]|\Z)", re.IGNORECASE
)
"""
Scheme, host and port of a URL that can be read in one way only.

So without userinfo, IPv6, backslashes and letters beyond ASCII.
"""

ABSOLUTE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|//|:)")
"""
What names a scheme or a host (RFC 3986 §4.2), and so is not relative to a `base_url`.

httpx would join what follows the scheme to that.
"""

HTTP = re.compile(r"https?://(?P<authority>[^/?#]*)|https?:", re.IGNORECASE)
LOCATION = re.compile(r"(?:https?:)?//(?P<authority>[^/?#]+)", re.IGNORECASE)

HOST_AND_PORT = re.compile(r"(?:[^\[\]:]*|\[[^\[\]]*\])(?::[0-9]{0,20})?|\[[^\]]*|[^\[]*\]")
"""
RFC 3986 §3.2.3. httpx hands the port to `int`, which reads "+80", " 80" and "8_0" as well.

One bracket alone is left to httpx to refuse.
"""

# Forbidden in a domain (https://url.spec.whatwg.org/#forbidden-domain-code-point). httpx lets some
# of them pass, percent-encoded or not, and leaves it to the resolver what they mean.
_BAD_HOST = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")

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


def text_of(url: object) -> str:
    """
    Return a URL, given as text or as an object, as plain text without blanks around it.

    Of a subclass of `str` the value is taken: `str()` of a member of an Enum is its name.
    """
    text = str.__str__(url) if isinstance(url, str) else str(url)
    return text.strip(BLANKS)


def with_ascii_host(url: str) -> str | None:
    """
    Return a URL whose host has emoji in it with that host in ASCII, or `None` for any other host.

    IDNA 2008 knows no emoji, but there are such names, and browsers ask for them (UTS 46).
    """
    match = HTTP.match(url)
    if match is None or not match["authority"]:
        return None
    start, end = match.span("authority")
    userinfo, at, host = match["authority"].rpartition("@")
    host, colon, port = host.partition(":")
    mapped = unicodedata.normalize("NFKC", _JOINED.sub("", host).casefold())
    name = ".".join(map(_ascii_label, re.split("[.\u3002]", mapped)))
    if not _EMOJI.search(mapped) or not _ASCII_NAME.fullmatch(name):
        return None
    return f"{url[:start]}{userinfo}{at}{name}{colon}{port}{url[end:]}"


# What chooses between a coloured emoji and a black one.
_JOINED = re.compile("[\ufe0e\ufe0f]")
_EMOJI = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_ASCII_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?")


def _ascii_label(label: str) -> str:
    """Return a label of a host in ASCII, or nothing if it has what is neither letter nor emoji."""
    if label.isascii():
        return label
    if not all(char.isalnum() or char in "_-" or _EMOJI.match(char) for char in label):
        return ""
    return "xn--" + label.encode("punycode").decode("ascii")


def split_plain(url: str) -> tuple[str, bytes] | None:
    """Return the origin of a plain URL and the target to ask it for; `None` for any other URL."""
    match = _PLAIN_URL.fullmatch(url) if len(url) <= MAX_PLAIN_LENGTH else None
    if match is None:
        return None
    target = match[2].encode("ascii")
    return match[1], target if target[:1] == b"/" else b"/" + target


def is_possible_host(host: str) -> bool:
    """Whether a host, in ASCII and without the brackets of IPv6, is one that can exist."""
    if ":" in host:  # an IPv6 address, which httpx has parsed
        return True
    if len(host) > 254 or _BAD_HOST.search(host):
        return False
    # Some resolvers raise what is no resolver's error for a label that is too long or empty.
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
