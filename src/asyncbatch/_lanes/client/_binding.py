"""
The one place that knows httpx and httpx2 apart.

httpx2 has httpx's API under another name, and neither takes the other's objects. A `Binding` is
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
from asyncbatch._values._redaction import has_at, start_of_url
from asyncbatch._values._request import Request, hold, native_of
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._urls import text_of, with_ascii_host

E = TypeVar("E", bound=Exception)


class Binding:
    """The types of one library, and our requests and errors in its terms."""

    def __init__(self, library: ModuleType) -> None:
        self.library: Any = library
        """The module, `httpx` or `httpx2`. Untyped, because it may be either."""
        self.no_auth = library.Auth()
        """An authentication that does nothing."""

    def error(self, error_type: type[E]) -> type[E]:
        """
        Return `error_type` so that it is an exception of this library as well.

        For httpx that is the class itself.
        """
        return variant_of(error_type, self.library.__name__)  # type: ignore[return-value]

    def auth(self, auth: Any) -> Any:
        """
        Return `auth`, in any form that httpx takes, as an `Auth` of this library, or `None`.

        Raises:
            TypeError: If it is none of those.
        """
        if auth is None or isinstance(auth, self.library.Auth):
            return auth
        if isinstance(auth, tuple) and len(auth) == 2:
            return self.library.BasicAuth(*auth)
        if callable(auth):
            return _callable_auth(self.library)(auth)
        raise TypeError(
            f"auth must be a (user, password) tuple, a callable or an {self.library.__name__}.Auth,"
            # Neither the value, which may be a secret.
            f" not a {type(auth).__name__}"
        )

    def build(
        self, client: Any, request: Request, body: Body, limits: TimeLimits, **more: Any
    ) -> Any:
        """
        Return `request` as `client` builds it, but with the query of its URL and all parameters.

        Raises:
            Exception: What httpx has against it.
        """
        url, timeout = self.url(request.url), self.library.Timeout(**limits.by_phase())
        given = {
            "headers": request.headers,
            "cookies": by_value(request.cookies),
            **body.arguments,
            "data": by_value(body.arguments.get("data")),
        }
        arguments = {name: self._native(each) for name, each in given.items() if each is not None}
        if host := self._host_field(client, url, request):
            arguments["headers"] = host
        # None at all leave a URL as it is, which httpx would take its query from.
        if self.query_of(request.params):
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

    def _host_field(self, client: Any, url: Any, request: Request) -> Any:
        """Return the headers with a `Host`, if httpx needs to be given one."""
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
        Return `url` as `client` asks for it, but for its query.

        It may be relative, where the client has no `base_url`.

        Raises:
            InvalidURL: If it is none.
        """
        url = self.url(url)
        try:
            headers = self._host_field(client, url, Request(url))
            return readable(client.build_request("GET", url, headers=headers).url, self.library)
        except self.library.InvalidURL as error:
            raise self._without_password(error, url) from None
        except ValueError:
            # Without a scheme urllib cannot say which cookies belong to it.
            own = self.library.URL(url)
            if own.is_relative_url and client.base_url.is_relative_url:
                return own
            raise

    def _without_password(self, error: Exception, url: Any) -> Exception:
        """Return an error of httpx's about a URL, which quotes the part that it cannot read."""
        if not has_at(str(url)):
            return error
        refused: Exception = self.library.InvalidURL(f"not a URL: {start_of_url(url)!r}")
        return refused

    def query_of(self, params: Any) -> str:
        """
        Return parameters as a query.

        Raises:
            TypeError: If they have none.
        """
        if params is None:
            return ""
        params = by_value(params)
        check_params(params)
        return str(self.library.QueryParams(params))

    def added_query(self, client: Any, params: Any) -> str:
        """Return what is added to the query of a URL: the client's parameters and a request's."""
        query = self.query_of(params)
        if not client.params:
            return query
        return str(client.params.merge(by_value(params)) if query else client.params)

    def url(self, url: Any) -> Any:
        """Return `url` in a form that this library's clients take."""
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
        Return a copy of the caller's own request object, of this library.

        A copy, because hooks and authentication write into what is sent: the caller's may be sent
        again, or be under way a second time just now.
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
        if type(stream).__name__ == "UnattachedStream":  # httpx pickles requests without
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
        """Return the body of a request of the caller's that has been pickled."""
        if not hasattr(request, "_content"):
            raise TypeError(
                "the body of this httpx.Request did not pickle; give it again, in a new request"
            )
        return self.library.ByteStream(request.content)

    def invalid_location(self, response: Any) -> Exception:
        """Return the error, in httpx's words, of a redirect whose `Location` is no URL."""
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
        # httpx2 takes httpx's headers and query, being mappings, but not its cookies.
        if isinstance(value, httpx.Cookies) and not isinstance(value, self.library.Cookies):
            return self.library.Cookies(value.jar)
        return value


def readable(url: Any, library: Any) -> Any:
    """
    Return a URL of `library` so that its `host` can be read.

    httpx decodes a host for that, and raises where the name is none by IDNA 2008: the names of
    thousands of sites, which the resolver takes in ASCII.
    """
    if not url.raw_host.startswith(b"xn--"):
        return url
    try:
        url.host  # noqa: B018  # a property, which may raise
    except UnicodeError:
        return _ascii_url(library)(url)
    return url


def with_host(fields: Any, url: Any, library: Any) -> Any:
    """
    Return header fields with a `Host` before them, if httpx could not tell that from the URL.

    It decodes the host to see whether there is one.
    """
    if readable(url, library) is url:
        return fields
    return [(b"Host", url.netloc), *fields]


def by_value(given: Any) -> Any:
    """
    Return what a caller gave, with the values of those texts and numbers that are more than that.

    httpx calls `str()` on them, which of a member of an Enum is its name.
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
        TypeError: `client` is no `AsyncClient` of httpx or httpx2.
    """
    for base in type(client).__mro__:
        root = base.__module__.partition(".")[0]
        if base.__name__ == "AsyncClient" and root in ("httpx", "httpx2"):
            return _binding(root)
    raise TypeError(f"client must be an httpx.AsyncClient or httpx2.AsyncClient, not {client!r}")


def check_transports(client: Any, binding: Binding) -> None:
    """
    Refuse a transport of ours that takes the requests of the other library only.

    Raises:
        TypeError: `client` has one.
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
    """Make the class of URLs whose host has no other form than the ASCII one."""

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
    """Make the `Auth` that calls a function; httpx has one, but does not export it."""

    class CallableAuth(library.Auth):  # type: ignore[misc]  # the base is chosen at run time
        def __init__(self, authenticate: Any) -> None:
            self._authenticate = authenticate

        def auth_flow(self, request: Any) -> Any:
            yield self._authenticate(request)

    return CallableAuth
