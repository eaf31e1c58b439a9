"""
What is refused before anything is sent: URLs that lead nowhere, heads that could inject.

httpx looks at some of this, h11 at some more, but only on a connection made for the purpose, and
with the offending value, an `Authorization` perhaps, in the message.
"""

from __future__ import annotations

import re
from typing import Any

from asyncbatch._lanes._binding import Binding
from asyncbatch._request import redacted

# Forbidden in a domain (https://url.spec.whatwg.org/#forbidden-domain-code-point). httpx lets some
# of them pass, percent-encoded or not, and leaves it to the resolver what they mean.
_BAD_HOST = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")

# RFC 3986 §3.2.3. httpx hands the port to `int`, which reads "+80", " 80" and "8_0" as well.
_BAD_PORT = re.compile(r"[^/?#]*://[^/?#]*:(?![0-9]*(?:[/?#]|\Z))([^\]/?#@:]*)(?:[/?#]|\Z)")

# RFC 9110 §5.6.2.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# RFC 9110 §5.5: no control characters but the tab, and no blanks around the value.
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z")


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
    if url.scheme not in ("http", "https"):
        raise library.UnsupportedProtocol(
            f"the URL must begin with http:// or https://, not {_start_of(given or url)!r}",
            request=request,
        )
    if not url.host:
        raise library.InvalidURL(f"the URL has no host: {_start_of(given or url)!r}")
    if not _is_possible_host(url.raw_host.decode("ascii")):
        raise library.InvalidURL(f"the URL's host is none: {url.host[:100]!r}")
    if url.port is not None and not 0 < url.port < 65536:
        raise library.InvalidURL(f"the URL's port must be from 1 to 65535, not {url.port}")


def check_text(url: object, binding: Binding) -> None:
    """
    Refuse a URL that httpx would read as another one, if it is given as text.

    Raises:
        InvalidURL: If its port is no number.
    """
    if isinstance(url, str) and (match := _BAD_PORT.match(url)):
        raise binding.library.InvalidURL(f"Invalid port: {match[1][:100]!r}")


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


def _is_possible_host(host: str) -> bool:
    if ":" in host:  # an IPv6 address, which httpx has parsed
        return True
    if len(host) > 254 or _BAD_HOST.search(host):
        return False
    # Some resolvers raise what is no resolver's error for a label that is too long or empty.
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def _start_of(url: Any) -> str:
    # Userinfo without a scheme before it is none to httpx, but may be a password all the same.
    return re.sub(r"^[^/?#]*@", "[secure]@", redacted(str(url)))[:100]
