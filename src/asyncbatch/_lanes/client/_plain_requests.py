"""
Plain requests: the GETs without options that a client's `build_request` returns, made at once.

httpx merges URL, headers, cookies and parameters for each request, and copies the headers five
times: a tenth of what a request costs over httpx's own transport. For a plain URL the result
differs in its URL alone. The first request to an origin is built by the client and compared with
the one that is made here. The others are made here as long as the client has not changed.
"""

from __future__ import annotations

import operator
from typing import Any

from asyncbatch._engine import is_untouched
from asyncbatch._lanes.client._cookies import UserAgentJar
from asyncbatch._lanes.request._native import is_laid_out_as, plain_request
from asyncbatch._lanes.request._ranges import ask_for_identity
from asyncbatch._values._plain_urls import split_plain
from asyncbatch._values._timeouts import TimeLimits

# Every step of `build_request` for such a request, and what it reads. A replaced one must be used.
_STEPS = (
    "build_request",
    "_merge_url",
    "_merge_headers",
    "_merge_cookies",
    "_merge_queryparams",
)
_NAMES = frozenset(_STEPS)
_OF_CLIENT = (*_STEPS, "headers", "cookies", "params")
_of_client = operator.attrgetter(*_OF_CLIENT)
_of_library = operator.attrgetter(
    "Request.__init__",
    "Request._prepare",
    "Request.read",
    "URL.__init__",
    "Headers.__init__",
    "Headers.update",
    "Timeout.__init__",
    "Timeout.as_dict",
    "URL.netloc.fget",
    "_models.encode_request",
    # Last, since they are classes.
    "_client.Request",
    "_client.Headers",
    "_client.URL",
)

# The modules of known jars: that of Python, that of httpx2 and our own.
_JARS = frozenset(("http.cookiejar", "httpx2._cookies", UserAgentJar.__module__))

_MAX_ORIGINS = 10_000
"""Origins that are remembered; beyond that all are dropped."""


class PlainRequests:
    """
    Makes the plain requests of one client.

    Args:
        client: The client, of `library`.
        library: `httpx` or `httpx2`.
    """

    __slots__ = ("_client", "_examined", "_fields", "_headers", "_library", "_may_skip", "_origins")

    def __init__(self, client: Any, library: Any) -> None:
        self._client = client
        self._library = library
        # What a request passes, as it was examined last: not examined again while the same.
        self._examined: tuple[Any, ...] | None = None
        # Whether all of that was httpx's own.
        self._may_skip = False
        # A copy of the client's headers, which its user may change at any time.
        self._headers: list[Any] | None = None
        # The fields after `Host` of each request, as `Headers` keeps them; `None` if the client
        # must build all requests as long as it has these headers.
        self._fields: list[Any] | None = None
        # Those with a request that was built by the client, and was the same.
        self._origins: set[str] = set()

    def make(self, url: str, limits: TimeLimits) -> Any:
        """Return the client's request for `url`; `None` if the client must build it."""
        if not self._is_ready():
            return None
        parts = split_plain(url)
        if parts is None or parts[0] not in self._origins:
            return None
        assert self._fields is not None
        return plain_request(self._library, url, self._fields, limits.by_phase())

    def learn(self, native: Any, url: str, limits: TimeLimits) -> None:
        """Remember the origin of `native`, which the client has built, if others can be made."""
        if not self._is_ready() or (parts := split_plain(url)) is None:
            return
        assert self._fields is not None
        made = plain_request(self._library, url, self._fields, limits.by_phase())
        if made is None:  # its URL has no path
            return
        if not is_laid_out_as(made, native):
            self._fields = None
            return
        if len(self._origins) >= _MAX_ORIGINS:
            self._origins.clear()
        self._origins.add(parts[0])

    def _is_ready(self) -> bool:
        """Whether requests may be made here; if the client has changed, origins are forgotten."""
        client, library = self._client, self._library
        try:
            used = (*_of_client(type(client)), *_of_library(library))
            if self._examined is None or not all(map(operator.is_, used, self._examined)):
                self._examined = used
                self._may_skip = _are_untouched(used, library)
                self._headers = None
            if not self._may_skip or not client.__dict__.keys().isdisjoint(_NAMES):
                return False
            if client.headers._list != self._headers:
                self._take_headers()
            return self._fields is not None and not client.params and _is_empty(client.cookies.jar)
        except AttributeError:
            return False

    def _take_headers(self) -> None:
        library, headers = self._library, self._client.headers
        self._origins.clear()
        self._headers = list(headers._list)
        self._fields = None
        if type(headers) is library.Headers and "host" not in headers:
            merged = library.Headers(headers)
            ask_for_identity(merged, library)
            self._fields = merged._list


def _are_untouched(used: tuple[Any, ...], library: Any) -> bool:
    """Whether what `_of_client` and `_of_library` return is httpx's own."""
    package = library.__name__
    count = len(_STEPS)
    properties, (*others, request, headers, url) = (
        used[count : len(_OF_CLIENT)],
        used[len(_OF_CLIENT) :],
    )
    # Those of `OwnClient` show the cookies of one host while a request is built.
    return (
        request is library.Request
        and headers is library.Headers
        and url is library.URL
        and all(is_untouched(each, package) for each in (*used[:count], *others))
        and all(
            is_untouched(each.fget, package) or is_untouched(each.fget, "asyncbatch")
            for each in properties
        )
    )


def _is_empty(jar: Any) -> bool:
    """Whether a jar has no cookies; one of another kind may make them at any time."""
    return type(jar).__module__ in _JARS and not jar._cookies
