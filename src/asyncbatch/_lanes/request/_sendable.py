"""
What is refused before anything is sent: URLs that lead nowhere, heads that could inject.

httpx looks at some of this, h11 at some more, but only on a connection made for the purpose, and
with the offending value, an `Authorization` perhaps, in the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from asyncbatch._engine.http11 import InvalidRequest, encode_fields
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values._redaction import has_at, shown, start_of_url
from asyncbatch._values._urls import (
    ABSOLUTE,
    HOST_AND_PORT,
    HTTP,
    LOCATION,
    is_possible_host,
    text_of,
)

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
        raise library.UnsupportedProtocol(_NO_SCHEME.format(start_of_url(written)), request=request)
    # As it is in ASCII: some names that resolve have no other form (IDNA 2008 knows no emoji).
    host = url.raw_host.decode("ascii")
    if not host:
        raise library.InvalidURL(f"the URL has no host: {start_of_url(written)!r}")
    if not is_possible_host(host):
        shown = "" if has_at(str(url)) else f": {host[:100]!r}"
        raise library.InvalidURL(f"the URL's host is none{shown}")
    if url.port is not None and not 0 < url.port < 65536:
        raise library.InvalidURL(f"the URL's port must be from 1 to 65535, not {url.port}")


def check_text(url: object, binding: Binding) -> None:
    """
    Refuse a URL, as the caller wrote it, that httpx would read as another one, or others would.

    Raises:
        UnsupportedProtocol: If it has a scheme that is not http or https, or a host without one.
        InvalidURL: If it has no host, a port that is no number, or an authority with a backslash
            or a second "@": where a browser sees the path begin, httpx sees a user name. Or if what
            follows the scheme is another one.
    """
    text = text_of(url)
    if not ABSOLUTE.match(text):
        return  # relative to `base_url`, or refused when it has been built
    library = binding.library
    match = HTTP.match(text)
    if match is None:
        raise library.UnsupportedProtocol(_NO_SCHEME.format(start_of_url(text)))
    authority = match["authority"] or ""
    host = authority.rpartition("@")[2]
    if not host or host.startswith(":"):
        raise library.InvalidURL(f"the URL has no host: {start_of_url(text)!r}")
    if authority.lower() in ("http:", "https:"):
        raise library.InvalidURL("the URL's scheme is written twice")
    _check_authority(authority, text, library)


def _check_authority(authority: str, text: str, library: Any) -> None:
    userinfo, _, host = authority.rpartition("@")
    if "@" in userinfo or "\\" in authority:
        raise library.InvalidURL("the URL's authority has a second '@' or a backslash")
    if not HOST_AND_PORT.fullmatch(host):
        # Not shown where it may be a password that has a slash in it.
        port = "" if has_at(text) else f": {host.partition(':')[2][:100]!r}"
        raise library.InvalidURL(f"Invalid port{port}")


def check_location(location: str | None, binding: Binding) -> None:
    """
    Refuse a `Location` that httpx would read as another URL, or others would.

    Another scheme is refused when its turn comes, and without a host httpx knows which is meant.

    Raises:
        InvalidURL: As `check_text` does, of the port and the authority.
    """
    if location is not None and (match := LOCATION.match(location)):
        _check_authority(match["authority"], location, binding.library)


def check_extensions(native: Any) -> None:
    """
    Refuse time limits that are none: a transport would trip over them as over a broken connection.

    Raises:
        TypeError: If the extension `timeout` is no mapping.
    """
    limits = native.extensions.get("timeout", {})
    if not isinstance(limits, Mapping):
        raise TypeError(
            "the extension 'timeout' must be seconds by phase, as httpx.Timeout(5).as_dict() has "
            f"them, not {shown(limits)}; or give Request(timeout=5)"
        )


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
