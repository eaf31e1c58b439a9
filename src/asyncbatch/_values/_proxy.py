"""
`Proxy`: the proxy that a caller gives as a URL or as an `httpx.Proxy`, parsed and checked.

Nothing here connects. The engine keys its connections by this value, so that equal proxies share
them. No text of a proxy shows its user name or password.
"""

from __future__ import annotations

import base64
import functools
import re
import ssl
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs
import httpx

from asyncbatch._values._fields import TOKEN_BYTES, VALUE_BYTES
from asyncbatch._values._redaction import redacted_url, shown
from asyncbatch._values._urls import DEFAULT_PORTS, is_possible_host, text_of

PROXY_PORTS = {**DEFAULT_PORTS, "socks5": 1080, "socks5h": 1080}
"""The schemes of proxies, which may speak SOCKS5 too, and their default ports."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONGEST = 255  # RFC 1929 §2: a length is one byte

_SCHEMES = "http://, https://, socks5:// or socks5h://"
_CURE = (
    "proxy must be a URL such as http://user:password@host:3128; percent-encode all characters of "
    "user and password but letters and digits"
)


@attrs.frozen(cache_hash=True, repr=False)
class Proxy:
    """A proxy, with its credentials."""

    scheme: str
    """`http`, `https`, `socks5` (which is given addresses) or `socks5h` (which is given names)."""
    host: str
    port: int
    credentials: tuple[bytes, bytes] | None = None
    """User name and password."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Header fields for an HTTP proxy only, in addition to `Proxy-Authorization`."""
    ssl_context: ssl.SSLContext | None = None
    """Context for TLS to the proxy itself; `None`: that for origins."""

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS5, and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken to the proxy itself."""
        return self.scheme == "https"

    @property
    def resolves(self) -> bool:
        """Whether it is given names, which it resolves itself."""
        return self.scheme != "socks5"

    @property
    def label(self) -> str:
        """Its URL without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header fields that only the proxy gets."""
        has_own = any(name.lower() == b"proxy-authorization" for name, _ in self.headers)
        if self.credentials is None or has_own:
            return self.headers
        basic = b"Basic " + base64.b64encode(b":".join(self.credentials))
        return ((b"Proxy-Authorization", basic), *self.headers)

    def forwards(self, is_tls: bool) -> bool:
        """Whether it forwards whole requests to an origin, rather than tunnelling to it."""
        return not (is_tls or self.is_socks)

    def __repr__(self) -> str:
        return f"<Proxy {self.label}>"


def proxy_of(given: object) -> Proxy:
    """
    Return the proxy that a caller gives.

    Raises:
        TypeError: it is of no type that proxies are named by.
        ValueError: it is not one; with the value, but for its credentials, and the cure.
    """
    if isinstance(given, Proxy):
        return given
    if isinstance(given, str):
        return _of_text(text_of(given))
    if _is_httpx(given, "URL"):
        return _of_text(str(given))
    if _is_httpx(given, "Proxy"):
        return _of_native(given)
    raise TypeError(f"proxy must be a URL, or an httpx.Proxy, not a {type(given).__name__}")


@functools.lru_cache(maxsize=4096)
def _of_text(text: str) -> Proxy:
    found = _SCHEME.match(text)
    if found is None or found[1].lower() not in PROXY_PORTS:
        raise ValueError(f"proxy must be a URL that begins with {_SCHEMES}, not {shown(text)}")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise _wrong(text) from None
    if not url.userinfo:
        return _checked(url, None)
    # Not `url.username`: httpx puts another character in place of bytes that are not UTF-8.
    user, _, password = url.userinfo.partition(b":")
    return _checked(url, (unquote_to_bytes(user), unquote_to_bytes(password)))


def _of_native(given: Any) -> Proxy:
    url = given.url  # its scheme is one of ours: httpx takes no other
    fields = tuple((bytes(name), bytes(value)) for name, value in given.headers.raw)
    for name, value in fields:
        if not (TOKEN_BYTES.fullmatch(name) and VALUE_BYTES.fullmatch(value)):
            raise ValueError(
                f"the header {name!r} of the proxy cannot be sent: names are tokens, and values "
                "have no control characters"
            )
    credentials = None if given.auth is None else _encoded(url, given.auth)
    return _checked(url, credentials, fields, given.ssl_context)


def _checked(
    url: Any,
    credentials: tuple[bytes, bytes] | None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    ssl_context: ssl.SSLContext | None = None,
) -> Proxy:
    host = url.raw_host.decode("ascii").strip("[]")
    port = PROXY_PORTS[url.scheme] if url.port is None else url.port
    if not host:
        raise _wrong(str(url), "there is no host")
    if not is_possible_host(host):
        raise _wrong(str(url), "there can be no such host")
    if not 0 < port < 65536:
        raise _wrong(str(url), "ports are 1 to 65535")
    if credentials is not None:
        _check_credentials(url, *credentials)
    return Proxy(url.scheme, host, port, credentials, headers, ssl_context)


def _encoded(url: Any, auth: Any) -> tuple[bytes, bytes]:
    """Return the user name and the password of an `httpx.Proxy` as they are sent."""
    try:
        user, password = auth
        return user.encode(), password.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the user name or password of the proxy {shown(str(url))} is no text that UTF-8 can "
            "encode; percent-encode its bytes in the URL, and give that as proxy"
        ) from None
    except (TypeError, ValueError, AttributeError):
        raise TypeError(
            f"auth of the proxy {shown(str(url))} must be a pair of a user name and a password, "
            "both of them str"
        ) from None


def _check_credentials(url: Any, user: bytes, password: bytes) -> None:
    proxy = shown(str(url))
    if url.scheme.startswith("socks"):
        if not user or max(len(user), len(password)) > _LONGEST:
            raise ValueError(
                f"the user name of the proxy {proxy} must have 1 to {_LONGEST} bytes, and its "
                f"password {_LONGEST} at most: SOCKS5 can send no others"
            )
    elif b":" in user:
        raise ValueError(
            f"the user name of the proxy {proxy} has a colon, which Basic authentication cannot "
            "send; give httpx.Proxy(url, headers={'Proxy-Authorization': ...})"
        )


def _wrong(text: str, reason: str = "") -> ValueError:
    return ValueError(f"{_CURE}, not {redacted_url(text)[:200]!r}{reason and f': {reason}'}")


def _is_httpx(given: object, name: str) -> bool:
    # By name, so that httpx2 need not be installed, nor imported before its user does.
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] in ("httpx", "httpx2")
        for base in type(given).__mro__
    )
