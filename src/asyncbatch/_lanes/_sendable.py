"""
What is refused before anything is sent: URLs that lead nowhere, heads that could inject.

httpx looks at some of this, h11 at some more, but only on a connection made for the purpose, and
with the offending value, an `Authorization` perhaps, in the message.
"""

from __future__ import annotations

import re
from typing import Any

from asyncbatch._http11 import InvalidRequest, encode_fields
from asyncbatch._lanes._binding import Binding
from asyncbatch._request import redacted_url

# Forbidden in a domain (https://url.spec.whatwg.org/#forbidden-domain-code-point). httpx lets some
# of them pass, percent-encoded or not, and leaves it to the resolver what they mean.
_BAD_HOST = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")

# What names a scheme or a host (RFC 3986 §4.2), and so is not relative to a `base_url`. httpx would
# join what follows the scheme to that.
_ABSOLUTE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:|//|:)")
_HTTP = re.compile(r"https?://(?P<authority>[^/?#]*)|https?:", re.IGNORECASE)
_LOCATION = re.compile(r"(?:https?:)?//(?P<authority>[^/?#]+)", re.IGNORECASE)

# RFC 3986 §3.2.3. httpx hands the port to `int`, which reads "+80", " 80" and "8_0" as well.
# One bracket alone is left to httpx to refuse.
_HOST_AND_PORT = re.compile(r"(?:[^\[\]:]*|\[[^\[\]]*\])(?::[0-9]{0,20})?|\[[^\]]*|[^\[]*\]")

# RFC 9110 §5.6.2.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})

# RFC 9110 §5.5: no control characters but the tab, and no blanks around the value.
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z")


_NO_SCHEME = "the URL must begin with http:// or https://, not {!r}"


def check_url(url: Any, binding: Binding, request: Any = None, *, given: object = None) -> None:
    """
    Refuse what cannot be fetched, before any connection is made for it.

    Args:
        url: The URL as the library reads it.
        binding: The library.
        request: The native request, for the error.
        given: The URL as the caller wrote it, if that is known.

    Raises:
        UnsupportedProtocol: If the scheme is not http or https.
        InvalidURL: If there is no host, or host or port are none that can exist.
    """
    library = binding.library
    written = url if given is None else given
    if url.scheme not in ("http", "https"):
        raise library.UnsupportedProtocol(_NO_SCHEME.format(_start_of(written)), request=request)
    if not url.host:
        raise library.InvalidURL(f"the URL has no host: {_start_of(written)!r}")
    if not _is_possible_host(url.raw_host.decode("ascii")):
        raise library.InvalidURL(f"the URL's host is none: {url.host[:100]!r}")
    if url.port is not None and not 0 < url.port < 65536:
        raise library.InvalidURL(f"the URL's port must be from 1 to 65535, not {url.port}")


def check_text(url: object, binding: Binding) -> None:
    """
    Refuse a URL, as the caller wrote it, that httpx would read as another one, or others would.

    Raises:
        UnsupportedProtocol: If it has a scheme that is not http or https, or a host without one.
        InvalidURL: If it has no host, a port that is no number, or an authority with a backslash
            or a second "@": where a browser sees the path begin, httpx sees a user name.
    """
    text = str(url)
    if not _ABSOLUTE.match(text):
        return  # relative to `base_url`, or refused when it has been built
    library = binding.library
    match = _HTTP.match(text)
    if match is None:
        raise library.UnsupportedProtocol(_NO_SCHEME.format(_start_of(text)))
    authority = match["authority"] or ""
    host = authority.rpartition("@")[2]
    if not host or host.startswith(":"):
        raise library.InvalidURL(f"the URL has no host: {_start_of(text)!r}")
    _check_authority(authority, text, library)


def _check_authority(authority: str, text: str, library: Any) -> None:
    userinfo, _, host = authority.rpartition("@")
    if "@" in userinfo or "\\" in authority:
        raise library.InvalidURL("the URL's authority has a second '@' or a backslash")
    if not _HOST_AND_PORT.fullmatch(host):
        # Not shown where it may be a password that has a slash in it.
        port = "" if "@" in text else f": {host.partition(':')[2][:100]!r}"
        raise library.InvalidURL(f"Invalid port{port}")


def check_location(location: str | None, binding: Binding) -> None:
    """
    Refuse a `Location` that httpx would read as another URL, or others would.

    Another scheme is refused when its turn comes, and without a host httpx knows which is meant.

    Raises:
        InvalidURL: As `check_text` does, of the port and the authority.
    """
    if location is not None and (match := _LOCATION.match(location)):
        _check_authority(match["authority"], location, binding.library)


def check_head(native: Any, binding: Binding) -> None:
    """
    Refuse a method or a header field that is none; its value is not in the message.

    Raises:
        LocalProtocolError: If there is one.
    """
    refused = binding.library.LocalProtocolError
    if not _TOKEN.fullmatch(native.method.encode("utf-8", "surrogateescape")):
        raise refused(f"the method is no token: {native.method[:100]!r}", request=native)
    for name, value in native.headers.raw:
        if not _TOKEN.fullmatch(name):
            raise refused(f"the name of a header is no token: {name[:100]!r}", request=native)
        if _BAD_VALUE.search(value):
            raise refused(
                f"the value of the header {name.decode('ascii')!r} has a line break, a control "
                "character, or a blank at one of its ends",
                request=native,
            )


def check_framing(native: Any, binding: Binding) -> None:
    """
    Refuse header fields that do not agree about where the body ends, or what host is meant.

    Our engine refuses them too; h11, below a client of the caller's, lets some of them pass.

    Raises:
        LocalProtocolError: If there are such.
    """
    fields = native.headers.raw
    # Most requests have no body, and a Host alone contradicts nothing.
    if [name for name, _ in fields if name.lower() in _FRAMING] in ([b"Host"], [b"host"]):
        return
    try:
        encode_fields(fields)
    except InvalidRequest as error:
        raise binding.library.LocalProtocolError(str(error), request=native) from None


def _is_possible_host(host: str) -> bool:
    if ":" in host:  # an IPv6 address, which httpx has parsed
        return True
    if len(host) > 254 or _BAD_HOST.search(host):
        return False
    # Some resolvers raise what is no resolver's error for a label that is too long or empty.
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def _start_of(url: Any) -> str:
    return redacted_url(str(url)[:1000])[:100]
