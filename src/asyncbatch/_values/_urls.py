"""
The grammar of URLs: surrounding blanks, host and port. Plain URLs are in `_plain_urls`.

Redaction is in `_redaction`.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from asyncbatch._values._redaction import redacted_url

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The schemes of origins, and their default ports; `_proxy` has those of proxies."""

BLANKS = "".join(map(chr, range(0x21)))
"""
Characters removed at both ends of a URL: C0 controls and the space (WHATWG URL, §4.4).

URLs from spreadsheets, HTML attributes and lines of files have them.
"""

ABSOLUTE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|//|:)")
"""
A URL with a scheme or a host (RFC 3986 §4.2), which thus is not relative to a `base_url`.

httpx would join the part after the scheme to the `base_url`.
"""

HTTP = re.compile(r"https?://(?P<authority>[^/?#]*)|https?:", re.IGNORECASE)

# Forbidden in a domain (https://url.spec.whatwg.org/#forbidden-domain-code-point). httpx accepts
# some of them, percent-encoded or not, and passes them to the resolver.
_BAD_HOST = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")


def text_of(url: object) -> str:
    """
    Return a URL, given as text or as an object, as plain text without blanks around it.

    Of a subclass of `str`, it takes the value: `str()` of a member of an Enum is its name.
    """
    text = str.__str__(url) if isinstance(url, str) else str(url)
    return text.strip(BLANKS)


def start_of_url(url: object) -> str:
    """Return the first 100 characters of a refused URL, without user name and password."""
    return redacted_url(text_of(url))[:100]


def with_ascii_host(url: str) -> str | None:
    """
    Return a URL with its emoji host encoded in ASCII, or `None` for any other host.

    IDNA 2008 excludes emoji, but such names exist, and browsers resolve them (UTS 46).
    """
    match = None if url.isascii() else HTTP.match(url)
    if match is None or not match["authority"]:
        return None
    start, end = match.span("authority")
    userinfo, at, host = match["authority"].rpartition("@")
    host, colon, port = host.partition(":")
    mapped = unicodedata.normalize("NFKC", re.sub(_JOINED, "", host).casefold())
    name = ".".join(map(_ascii_label, re.split("[.\u3002]", mapped)))
    if not re.search(_EMOJI, mapped) or not re.fullmatch(_ASCII_NAME, name):
        return None
    return f"{url[:start]}{userinfo}{at}{name}{colon}{port}{url[end:]}"


# No compiled expressions: few programs meet such a host, and every program would wait for them.
# The first are variation selectors, which choose between a coloured emoji and a black one.
_JOINED = "[\ufe0e\ufe0f]"
_EMOJI = "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_ASCII_NAME = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?"


def _ascii_label(label: str) -> str:
    """Return a label of a host in ASCII; `""` if it has other characters than letters and emoji."""
    if label.isascii():
        return label
    if not all(char.isalnum() or char in "_-" or re.match(_EMOJI, char) for char in label):
        return ""
    return "xn--" + label.encode("punycode").decode("ascii")


@functools.lru_cache(maxsize=1024)
def is_possible_host(host: str) -> bool:
    """Whether a host, in ASCII and without the brackets of IPv6, can exist."""
    if ":" in host:  # an IPv6 address, which httpx has parsed
        return True
    if len(host) > 254 or _BAD_HOST.search(host):
        return False
    # For a label that is too long or empty, some resolvers raise errors that are not OSErrors.
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
