"""
Refuse, before anything is sent, URLs that cannot be fetched and heads that could inject.

httpx checks some of this, and h11 more, but only on an open connection, and with the refused value,
which may be an `Authorization`, in the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from asyncbatch._engine.http11 import InvalidRequest, encode_fields
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values._fields import CONTROL_BYTES, TOKEN_BYTES
from asyncbatch._values._redaction import has_at, shown
from asyncbatch._values._urls import (
    ABSOLUTE,
    HTTP,
    is_possible_host,
    start_of_url,
    text_of,
)

# A `Location` that names a host.
_LOCATION = re.compile(r"(?:https?:)?//(?P<authority>[^/?#]+)", re.IGNORECASE)

_HOST_AND_PORT = re.compile(r"(?:[^\[\]:]*|\[[^\[\]]*\])(?::[0-9]{0,20})?|\[[^\]]*|[^\[]*\]")
"""
Host and port (RFC 3986 §3.2.3). httpx passes the port to `int`, which accepts "+80", " 80", "8_0".

A single bracket matches, since httpx refuses it itself.
"""

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})

# RFC 9110 §5.5: no control characters except the tab, and no blanks around the value. A receiver
# strips those, so that `VALUE_BYTES` has them; a sender must not write them.
_BAD_VALUE = re.compile(CONTROL_BYTES + rb"|^[ \t]|[ \t]\Z")

# Finds every bad value in a text of all values, each between two bytes 0x80, in one search instead
# of one for each. A value with such a byte of its own may be found without being bad.
_SUSPECT = re.compile(CONTROL_BYTES + rb"|\x80[ \t]|[ \t]\x80")

# Names that need no check, because they are in nearly every request; none is about framing.
_USUAL = frozenset(
    spelt
    for name in (b"Accept", b"Accept-Encoding", b"Connection", b"User-Agent", b"Authorization")
    for spelt in (name, name.lower())
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_NO_SCHEME = "the URL must begin with http:// or https://, not {!r}"


def check_url(url: Any, binding: Binding, request: Any = None, *, given: object = None) -> None:
    """
    Refuse a URL that cannot be fetched, before a connection is made for it.

    Args:
        url: The URL as the library reads it.
        binding: The library.
        request: The native request, for the error.
        given: The URL as the caller wrote it, if known.

    Raises:
        UnsupportedProtocol: If the scheme is not http or https.
        InvalidURL: If there is no host, or the host or port cannot exist.
    """
    library = binding.library
    written = url if given is None else given
    if url.scheme not in ("http", "https"):
        raise library.UnsupportedProtocol(_NO_SCHEME.format(start_of_url(written)), request=request)
    # In ASCII: some names that resolve have no other form (IDNA 2008 excludes emoji).
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
    Refuse a URL, as the caller wrote it, that httpx and other clients read differently.

    Raises:
        UnsupportedProtocol: If it has a scheme that is not http or https, or a host without one.
        InvalidURL: If it has no host, a port that is not a number, or a second scheme after the
            first. Or if its authority has a backslash or a second "@": httpx reads a user name
            where a browser reads the beginning of the path.
    """
    text = text_of(url)
    if not ABSOLUTE.match(text):
        return  # relative to `base_url`, or refused after it has been built
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
    if not _HOST_AND_PORT.fullmatch(host):
        # Not shown if it may be a part of a password with a slash in it.
        port = "" if has_at(text) else f": {host.partition(':')[2][:100]!r}"
        raise library.InvalidURL(f"Invalid port{port}")


def check_location(location: str | None, binding: Binding) -> None:
    """
    Refuse a `Location` that httpx and other clients read differently.

    Another scheme is refused when the redirect is followed. httpx fills in a missing host.

    Raises:
        InvalidURL: If the port or the authority is one that `check_text` refuses.
    """
    if location is not None and (match := _LOCATION.match(location)):
        _check_authority(match["authority"], location, binding.library)


def check_extensions(native: Any) -> None:
    """
    Refuse an invalid extension `timeout`, which would look like a broken connection later.

    Raises:
        TypeError: If the extension `timeout` is no mapping.
    """
    limits = native.extensions.get("timeout", {})
    if type(limits) is not dict and not isinstance(limits, Mapping):
        raise TypeError(
            "the extension 'timeout' must be seconds by phase, as httpx.Timeout(5).as_dict() has "
            f"them, not {shown(limits)}; or give Request(timeout=5)"
        )


def check_head(native: Any, binding: Binding) -> None:
    """
    Refuse an invalid method or header field; a field's value is not in the message.

    Raises:
        LocalProtocolError: If there is one.
    """
    _check_fields(native, binding)


def check_whole_head(native: Any, binding: Binding) -> None:
    """
    Refuse what `check_head` refuses, and fields that contradict each other about body or host.

    Our engine refuses them too; h11, below a client of the caller's, accepts some of them.

    Raises:
        LocalProtocolError: If there are such fields.
    """
    fields, framing = _check_fields(native, binding)
    # Most requests have no body: a single `Host` cannot contradict anything.
    if framing in ([b"Host"], [b"host"]):
        return
    try:
        encode_fields(fields)
    except InvalidRequest as error:
        raise binding.library.LocalProtocolError(str(error), request=native) from None


def _check_fields(native: Any, binding: Binding) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Check method and fields; return the fields, and the names of those about framing."""
    refused = binding.library.LocalProtocolError
    method = native.method
    if method not in _METHODS and not TOKEN_BYTES.fullmatch(
        method.encode("utf-8", "surrogateescape")
    ):
        raise refused(f"the method is no token: {method[:100]!r}", request=native)
    fields: list[tuple[bytes, bytes]] = native.headers.raw
    framing = []
    for name, _ in fields:
        if name in _USUAL:
            continue
        if name.lower() in _FRAMING:
            framing.append(name)
        elif not TOKEN_BYTES.fullmatch(name):
            raise refused(f"the name of a header is no token: {name[:100]!r}", request=native)
    if not _SUSPECT.search(b"\x80".join([b"", *[value for _, value in fields], b""])):
        return fields, framing
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise refused(
                f"the value of the header {name.decode('ascii')!r} has a line break, a control "
                "character, or a blank at one of its ends",
                request=native,
            )
    return fields, framing
