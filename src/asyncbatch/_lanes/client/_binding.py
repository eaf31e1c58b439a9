"""
The one place that tells httpx and httpx2 apart.

httpx2 has httpx's API under another name, and neither accepts the other's objects. A `Binding` is
chosen by the client's module; every library type that the lanes use comes from it.
"""

from __future__ import annotations

import functools
import importlib
from enum import Enum
from types import ModuleType
from typing import Any, TypeVar

import httpx

from asyncbatch._lanes.request._ranges import ask_for_identity, names_codings
from asyncbatch._lanes.request._upload import Body, give_again
from asyncbatch._values._checks import check_params
from asyncbatch._values._pickling import variant_of
from asyncbatch._values._redaction import has_at
from asyncbatch._values._request import Request, native_of
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._tries import hold
from asyncbatch._values._urls import start_of_url, text_of, with_ascii_host

E = TypeVar("E", bound=Exception)

_MOST_TIMEOUTS = 100
"""How many are kept: one for each different timeout of a request."""


class Binding:
    """The types of one library, and conversions of our requests and errors to them."""

    def __init__(self, library: ModuleType) -> None:
        self.library: Any = library
        """The module, `httpx` or `httpx2`. Untyped, because it may be either."""
        self.no_auth = library.Auth()
        """An authentication that does nothing."""
        self._timeouts: dict[TimeLimits, Any] = {}

    def error(self, error_type: type[E]) -> type[E]:
        """
        Return the variant of `error_type` that is also an exception of this library.

        For httpx it is the class itself.
        """
        return variant_of(error_type, self.library.__name__)  # type: ignore[return-value]

    def auth(self, auth: Any) -> Any:
        """
        Return `auth`, in any form that httpx accepts, as an `Auth` of this library, or `None`.

        Raises:
            TypeError: If it has another form.
        """
        if auth is None or isinstance(auth, self.library.Auth):
            return auth
        if isinstance(auth, tuple) and len(auth) == 2:
            return self.library.BasicAuth(*auth)
        if callable(auth):
            return _callable_auth(self.library)(auth)
        raise TypeError(
            f"auth must be a (user, password) tuple, a callable or an {self.library.__name__}.Auth,"
            # Not the value, which may be a secret.
            f" not a {type(auth).__name__}"
        )

    def build(
        self, client: Any, request: Request, body: Body, limits: TimeLimits, **more: Any
    ) -> Any:
        """
        Return `request` as `client` builds it, but keep the query of its URL beside the parameters.

        Raises:
            Exception: If httpx refuses it.
        """
        url, timeout = self.url(request.url), self._timeout(limits)
        given = {"headers": request.headers, "cookies": request.cookies, **body.arguments}
        arguments = {name: self._native(each) for name, each in given.items() if each is not None}
        for name in ("cookies", "data"):
            if name in arguments:
                arguments[name] = by_value(arguments[name])
        if host := self._host_field(client, url, request):
            arguments["headers"] = host
        # Not if there are none: httpx would remove the URL's query for empty parameters.
        if self.query_of(request.params) or (client.params and request.params):
            arguments["params"] = by_value(request.params)
        try:
            native = client.build_request(request.method, url, timeout=timeout, **arguments, **more)
        except self.library.InvalidURL as error:
            raise self._without_password(error, url) from None
        base_query = getattr(client, "base_query", b"")
        if "params" in arguments or client.params or base_query:
            own = self.library.URL(url)
            added = native.url.query if "params" in arguments or client.params else b""
            parts = [base_query if own.is_relative_url else b"", own.query, added]
            native.url = native.url.copy_with(query=b"&".join(filter(None, parts)) or None)
        native.url = readable(native.url, self.library)
        if not names_codings(request.headers, self.library):
            ask_for_identity(native.headers, self.library)
        return native

    def build_plain(self, client: Any, url: str, limits: TimeLimits) -> Any:
        """
        Return a GET of `url` without options as `build` does; `None` if that takes more.

        Raises:
            Exception: If httpx refuses it.
        """
        text = self.url(url)
        if "xn--" in text.lower() or b"xn--" in client.base_url.raw_host:
            return None
        if client.params or getattr(client, "base_query", b""):
            return None
        try:
            native = client.build_request("GET", text, timeout=self._timeout(limits), extensions={})
        except self.library.InvalidURL as error:
            raise self._without_password(error, text) from None
        native.url = readable(native.url, self.library)
        ask_for_identity(native.headers, self.library)
        return native

    def _timeout(self, limits: TimeLimits) -> Any:
        """Return the limits as a `Timeout` of this library."""
        made = self._timeouts.get(limits)
        if made is None:
            if len(self._timeouts) >= _MOST_TIMEOUTS:
                self._timeouts.clear()
            made = self._timeouts[limits] = self.library.Timeout(**limits.by_phase())
        return made

    def _host_field(self, client: Any, url: Any, request: Request) -> Any:
        """Return the headers with a `Host`, if httpx could not make one; else `None`."""
        if b"xn--" not in client.base_url.raw_host and "xn--" not in str(url).lower():
            return None
        whole = self.library.URL(url)
        if whole.is_relative_url:
            whole = client.base_url
        headers = self.library.Headers(request.headers)
        if "host" in headers or "host" in client.headers:
            return None
        return with_host(headers.raw, whole, self.library)

    def located(self, client: Any, url: Any) -> Any:
        """
        Return `url` as `client` requests it, except for its query.

        It may be relative if the client has no `base_url`.

        Raises:
            InvalidURL: If it is not a URL.
        """
        url = self.url(url)
        try:
            headers = self._host_field(client, url, Request(url))
            return readable(client.build_request("GET", url, headers=headers).url, self.library)
        except self.library.InvalidURL as error:
            raise self._without_password(error, url) from None
        except ValueError:
            # For a URL without a scheme, urllib cannot tell which cookies belong to it.
            own = self.library.URL(url)
            if own.is_relative_url and client.base_url.is_relative_url:
                return own
            raise

    def _without_password(self, error: Exception, url: Any) -> Exception:
        """Return httpx's error about a URL, replaced if it may quote a password."""
        if not has_at(str(url)):
            return error
        refused: Exception = self.library.InvalidURL(f"not a URL: {start_of_url(url)!r}")
        return refused

    def query_of(self, params: Any) -> str:
        """
        Return parameters as a query.

        Raises:
            TypeError: If they cannot be a query.
        """
        if params is None:
            return ""
        params = by_value(params)
        check_params(params)
        return str(self.library.QueryParams(params))

    def added_query(self, client: Any, params: Any) -> str:
        """Return the query to add to a URL: the client's parameters and the request's."""
        query = self.query_of(params)
        if not client.params:
            return query
        # An empty list of values takes the place of the client's values of that name.
        return str(client.params.merge(by_value(params)) if params else client.params)

    def url(self, url: Any) -> Any:
        """Return `url` in a form that this library's clients accept."""
        if isinstance(url, self.library.URL):
            return url
        text = text_of(url)
        if text.isascii():
            return text
        try:
            self.library.URL(text)
        except self.library.InvalidURL:
            return with_ascii_host(text) or text
        return text

    def prepared(self, given: Request) -> Any:
        """
        Return a copy of the caller's native request, as a request of this library.

        Hooks and authentication write into what is sent, and the caller's object may be sent again,
        or twice at the same time.
        """
        library, request = self.library, native_of(given)
        assert request is not None
        extensions = dict(request.extensions)
        if not isinstance(request, library.Request):
            return library.Request(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                content=request.content,
                extensions=extensions,
            )
        stream = request.stream
        if type(stream).__name__ == "UnattachedStream":  # httpx does not pickle the stream
            stream = self._kept_body(request)
        copy = library.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=stream,
            extensions=extensions,
        )
        if isinstance(stream, library.ByteStream):
            copy.read()
        else:
            hold(given, give_again(copy, request, library))
        ask_for_identity(copy.headers, library)
        return copy

    def _kept_body(self, request: Any) -> Any:
        """Return the body of a caller's request that has been pickled."""
        if not hasattr(request, "_content"):
            raise TypeError(
                "the body of this httpx.Request did not pickle; give it again, in a new request"
            )
        return self.library.ByteStream(request.content)

    def invalid_location(self, response: Any) -> Exception:
        """Return the error of a redirect whose `Location` is not a URL, in httpx's words."""
        reason = ""
        try:
            self.library.URL(response.headers["location"])
        except self.library.InvalidURL as error:
            reason = f": {error}"
        invalid: Exception = self.library.RemoteProtocolError(
            f"Invalid URL in location header{reason}.", request=response.request
        )
        return invalid

    def _native(self, value: Any) -> Any:
        # httpx2 accepts httpx's headers and query, which are mappings, but not its cookies.
        if isinstance(value, httpx.Cookies) and not isinstance(value, self.library.Cookies):
            return self.library.Cookies(value.jar)
        return value


def readable(url: Any, library: Any) -> Any:
    """
    Return a URL of `library` whose `host` can be read without an error.

    httpx decodes the host, and raises if the name is not valid in IDNA 2008. Thousands of sites
    have such names, which the resolver accepts in ASCII.
    """
    if not url.raw_host.startswith(b"xn--"):
        return url
    try:
        url.host  # noqa: B018  # a property that may raise
    except UnicodeError:
        return _ascii_url(library)(url)
    return url


def with_host(fields: Any, url: Any, library: Any) -> Any:
    """
    Return header fields with a `Host` before them, if httpx cannot derive it from the URL.

    httpx decodes the host to see whether there is one.
    """
    if readable(url, library) is url:
        return fields
    return [(b"Host", url.netloc), *fields]


def by_value(given: Any) -> Any:
    """
    Return what a caller gave, with members of an Enum and subclasses of `str` as plain values.

    httpx calls `str()` on them, which returns the name of a member of an Enum.
    """
    kind = type(given)
    if kind is dict:
        return {by_value(name): by_value(value) for name, value in given.items()}
    if kind is list or kind is tuple:
        return kind(map(by_value, given))
    if kind is not str and isinstance(given, str):
        return str.__str__(given)
    if isinstance(given, Enum) and isinstance(given, int | float):
        return given.value
    return given


def binding_of(client: object) -> Binding:
    """
    Return the binding for `client`'s library.

    Raises:
        TypeError: If `client` is not an `AsyncClient` of httpx or httpx2.
    """
    for base in type(client).__mro__:
        root = base.__module__.partition(".")[0]
        if base.__name__ == "AsyncClient" and root in ("httpx", "httpx2"):
            return _binding(root)
    raise TypeError(f"client must be an httpx.AsyncClient or httpx2.AsyncClient, not {client!r}")


def check_transports(client: Any, binding: Binding) -> None:
    """
    Refuse a transport of ours that accepts only requests of the other library.

    Raises:
        TypeError: If `client` has one.
    """
    library: str = binding.library.__name__
    for transport in (client._transport, *client._mounts.values()):
        made_for: ModuleType | None = getattr(transport, "_library", None)
        if made_for is not None and made_for.__name__ != library:
            name = type(transport).__name__
            raise TypeError(
                f"the client is of {library}, and its transport of {made_for.__name__}: "
                f"for that client take {name}.for_library({library})"
            )


@functools.cache
def _binding(name: str) -> Binding:
    return Binding(importlib.import_module(name))


@functools.cache
def _ascii_url(library: Any) -> Any:
    """Return a class of URLs whose `host` is in ASCII."""

    class URL(library.URL):  # type: ignore[misc]  # the base is chosen at run time
        @property
        def host(self) -> str:
            host: str = self.raw_host.decode("ascii")
            return host

        def __reduce__(self) -> Any:
            return library.URL, (str(self),)

    return URL


@functools.cache
def _callable_auth(library: Any) -> Any:
    """Return a class of `Auth` that calls a function; httpx has one, but does not export it."""

    class CallableAuth(library.Auth):  # type: ignore[misc]  # the base is chosen at run time
        def __init__(self, authenticate: Any) -> None:
            self._authenticate = authenticate

        def auth_flow(self, request: Any) -> Any:
            yield self._authenticate(request)

    return CallableAuth
