"""
The one place that knows httpx and httpx2 apart.

httpx2 has httpx's API under another name, and neither takes the other's objects. A `Binding` is
chosen by the client's module; every library type that the lanes use comes from it.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any, TypeVar

import httpx

from asyncbatch._lanes._upload import Body, give_again
from asyncbatch._portable import variant_of
from asyncbatch._request import Request, hold

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

    def arguments(self, request: Request, body: Body) -> dict[str, Any]:
        """Return what `request` sets, as arguments for `client.build_request`."""
        given = {
            "headers": request.headers,
            "params": request.params,
            "cookies": request.cookies,
            **body.arguments,
        }
        return {name: self._native(value) for name, value in given.items() if value is not None}

    def url(self, url: Any) -> Any:
        """Return `url` in a form that this library's clients take."""
        return url if isinstance(url, self.library.URL) else str(url)

    def prepared(self, given: Request) -> Any:
        """
        Return a copy of the caller's own request object, of this library.

        A copy, because hooks and authentication write into what is sent: the caller's may be sent
        again, or be under way a second time just now.
        """
        library, request = self.library, given.prepared
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
        return copy

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


def binding_of(client: object) -> Binding:
    """
    Return the binding for `client`'s library.

    Raises:
        TypeError: If `client` is no `AsyncClient` of httpx or httpx2.
    """
    for base in type(client).__mro__:
        root = base.__module__.partition(".")[0]
        if base.__name__ == "AsyncClient" and root in ("httpx", "httpx2"):
            return _binding(root)
    raise TypeError(f"client must be an httpx.AsyncClient or httpx2.AsyncClient, not {client!r}")


@functools.cache
def _binding(name: str) -> Binding:
    return Binding(importlib.import_module(name))


@functools.cache
def _callable_auth(library: Any) -> Any:
    """Make the `Auth` that calls a function; httpx has one, but does not export it."""

    class CallableAuth(library.Auth):  # type: ignore[misc]  # the base is chosen at run time
        def __init__(self, authenticate: Any) -> None:
            self._authenticate = authenticate

        def auth_flow(self, request: Any) -> Any:
            yield self._authenticate(request)

    return CallableAuth
