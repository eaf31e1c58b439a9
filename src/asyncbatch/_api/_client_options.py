"""
The options that go to the `httpx.AsyncClient`: their names and types, looked at before httpx does.

httpx takes what it is given and fails later, in words that do not name the option, or does not
fail at all: `verify=None` would go unnoticed. What it says of wrong values is clear enough.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from http.cookiejar import CookieJar
from typing import Any

import httpx

from asyncbatch._api._options import FetcherOptions
from asyncbatch._values._checks import check_params
from asyncbatch._values._redaction import shown
from asyncbatch._values._text import is_charset


def _is_iterable(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _is_hooks(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_iterable, value.values()))


def _is_transport(value: object) -> bool:
    return hasattr(value, "handle_async_request")


def _is_mounts(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(each is None or _is_transport(each) for each in value.values())


def _is(*types: Any) -> Callable[[object], bool]:
    return lambda value: isinstance(value, types)


def _is_auth(value: object) -> bool:
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair or isinstance(value, httpx.Auth) or callable(value)


_PROXY = re.compile(r"(?:https?|socks5h?)://", re.IGNORECASE)

_BOOL = (_is(bool), "True or False")

# By name: whether a value is of a type that httpx knows, and what to give. None is looked at apart.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "auth": (_is_auth, "a (user, password) tuple, a callable or an httpx.Auth"),
    "base_url": (_is(str, httpx.URL), "a str or an httpx.URL"),
    "cert": (
        _is(str, tuple, list, os.PathLike),
        "the path of a file, or a tuple of certificate, key and password",
    ),
    "cookies": (lambda value: _is_iterable(value) or isinstance(value, CookieJar), "a dict"),
    "default_encoding": (lambda value: isinstance(value, str) or callable(value), "a str"),
    "event_hooks": (_is_hooks, "a dict of lists, such as {'request': [function]}"),
    "headers": (_is_iterable, "a dict, or a list of pairs"),
    "http1": _BOOL,
    "http2": _BOOL,
    "limits": (_is(httpx.Limits), "an httpx.Limits, such as httpx.Limits(max_connections=100)"),
    "mounts": (_is_mounts, "a dict of transports, such as {'http://host': transport}"),
    "proxy": (_is(str, httpx.URL, httpx.Proxy), "a URL, or an httpx.Proxy"),
    "transport": (
        _is_transport,
        "an httpx.AsyncBaseTransport",
    ),
    "trust_env": _BOOL,
    "verify": (
        _is(bool, str, os.PathLike, ssl.SSLContext),
        "True, False, the path of a file or folder, or an ssl.SSLContext",
    ),
}

_NEVER_NONE = {"http1", "http2", "trust_env", "verify", "base_url", "default_encoding"}

# Their values are not shown, since they may be secrets.
_SECRET = {"auth", "cert", "cookies", "headers", "params", "proxy"}


def check_client_options(client_options: dict[str, Any]) -> None:
    """
    Refuse what neither we nor httpx take.

    Raises:
        TypeError: With the name, and what was probably meant.
        ValueError: For a proxy that is no URL of one, and an encoding that Python does not know.
    """
    _refuse_unknown(client_options)
    for name, value in client_options.items():
        if name not in _TYPES or (value is None and name not in _NEVER_NONE):
            continue
        is_right, wanted = _TYPES[name]
        if not is_right(value):
            given = f"a {type(value).__name__}" if name in _SECRET else shown(value)
            raise TypeError(f"{name} must be {wanted}, not {given}")
    check_params(client_options.get("params"))
    encoding = client_options.get("default_encoding")
    if isinstance(encoding, str) and not is_charset(encoding):
        raise ValueError(
            "default_encoding must be an encoding of text that Python knows, such as 'latin-1', "
            f"not {encoding!r}"
        )
    proxy = client_options.get("proxy")
    if isinstance(proxy, str):
        _check_proxy(proxy)


def _check_proxy(proxy: str) -> None:
    # httpx says what it was given, and that may have a password in it.
    if not _PROXY.match(proxy):
        raise ValueError("proxy must be a URL that begins with http://, https:// or socks5://")
    try:
        host = httpx.URL(proxy).raw_host
    except (httpx.InvalidURL, UnicodeError):
        host = b""
    if not host:
        raise ValueError(
            "proxy must be a URL such as http://user:password@host:3128, with whatever else than "
            "letters and digits stands in user and password percent-encoded"
        )


def _refuse_unknown(client_options: dict[str, Any]) -> None:
    known = set(inspect.signature(httpx.AsyncClient.__init__).parameters)
    known |= FetcherOptions.__optional_keys__
    known -= {"self"}
    for name in client_options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"unknown option {name!r}{hint}")
