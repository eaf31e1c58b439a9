"""
Checks of the options that are passed to `httpx.AsyncClient`: their names and types.

httpx does not check them: it fails later, with an error that does not name the option, or not at
all, as for `verify=None`. Its errors for wrong values of the right type are clear enough.
"""

from __future__ import annotations

import difflib
import inspect
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from http.cookiejar import CookieJar
from typing import Any

import httpx

from asyncbatch._api._options import FetcherOptions
from asyncbatch._policies._proxy_pool import ProxyPool
from asyncbatch._values._checks import check_params
from asyncbatch._values._proxy import proxy_of
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


_BOOL = (_is(bool), "True or False")

# By name: a check of the type, and what to give instead. None is checked separately.
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
    "proxy": (
        _is(str, httpx.URL, httpx.Proxy, list, tuple, ProxyPool),
        "a URL, an httpx.Proxy, a list of these or an asyncbatch.ProxyPool",
    ),
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

# Values that messages must not show, since they may be secrets.
_SECRET = {"auth", "cert", "cookies", "headers", "params", "proxy"}


def check_client_options(client_options: dict[str, Any]) -> None:
    """
    Raise for options that neither this package nor httpx accepts.

    Raises:
        TypeError: For an unknown name or a wrong type; the message names the option.
        ValueError: For a proxy that is not a proxy URL, or an encoding that Python does not know.
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
    _check_proxy(client_options)


def pool_in(client_options: Mapping[str, Any]) -> ProxyPool | None:
    """
    Return the pool that the option `proxy` names, if it names more than one.

    Raises:
        TypeError, ValueError: If one of a list is no proxy, or there is none.
    """
    proxy = client_options.get("proxy")
    if isinstance(proxy, list | tuple):
        if not proxy:
            raise ValueError("proxy must be a list of at least one proxy, or be left out, not []")
        return ProxyPool(proxy)
    return proxy if isinstance(proxy, ProxyPool) else None


def _check_proxy(client_options: Mapping[str, Any]) -> None:
    proxy = client_options.get("proxy")
    if pool_in(client_options) is None:
        if proxy is not None:
            proxy_of(proxy)
        return
    if client_options.get("transport"):
        raise ValueError(
            "proxy= with several proxies needs the engine of asyncbatch: drop transport, or give "
            "one proxy"
        )


def _refuse_unknown(client_options: dict[str, Any]) -> None:
    known = set(inspect.signature(httpx.AsyncClient.__init__).parameters)
    known |= FetcherOptions.__optional_keys__
    known -= {"self"}
    for name in client_options:
        if name == "report":
            raise TypeError(
                "unknown option 'report': the results of a list need none for their "
                "results.report(path); a stream needs stream(requests, report=True)"
            )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"unknown option {name!r}{hint}")
