"""
The client that a `Fetcher` makes for itself: httpx's, on our transport.

It is a subclass for two reasons. `transport=` would switch off the proxies of the environment
(httpx 0.28); here `_init_transport` sets our transport, and the proxies are mounts, as in httpx.
And httpx copies the whole cookie jar for each request and each redirect that it builds; meanwhile
the client shows only the cookies of that host.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import getproxies

import httpx

from asyncbatch._engine import AddressPolicyTypes, Bounds, HTTPTransport
from asyncbatch._lanes.client._binding import binding_of, by_value, readable
from asyncbatch._lanes.client._cookies import adopt, narrowed
from asyncbatch._lanes.client._next_request import with_bytes_of_location
from asyncbatch._lanes.client._no_proxy import NoProxy
from asyncbatch._lanes.request._sendable import check_text, check_url
from asyncbatch._values._proxy import Proxy, proxy_of
from asyncbatch._values._redaction import shown
from asyncbatch._values._urls import ABSOLUTE, text_of


class OwnClient(httpx.AsyncClient):
    """
    An `httpx.AsyncClient` on an `HTTPTransport`.

    Args:
        addresses: Which addresses may be connected to.
        proxy_resolves: Whether proxies may resolve names in spite of `addresses`.
        proxies: Those of which each request is assigned one; those of the environment are ignored
            then.
        bounds: How many connections the transport may have, instead of `limits`.
        options: Those of httpx.
    """

    def __init__(
        self,
        *,
        addresses: AddressPolicyTypes = None,
        bounds: Bounds | None = None,
        proxy_resolves: bool = False,
        proxies: Sequence[Proxy] = (),
        **options: Any,
    ) -> None:
        self._addresses: AddressPolicyTypes = addresses
        self._bounds = bounds
        self._proxy_resolves = proxy_resolves
        self._proxies = proxies
        # Kept from httpx, which would ask for a package that only its own transport needs.
        self._http2 = options.get("transport") is None and options.pop("http2", False)
        self.own_transport: HTTPTransport | None = None
        self.proxied_transports: list[HTTPTransport] = []
        """The transports through the client's own proxies, or those of the environment."""
        # The value of `cookies` while a request is built; None at all other times.
        self._cookies_shown: httpx.Cookies | None = None
        # The `NO_PROXY` of the environment; read while the client is made.
        self._no_proxy = NoProxy("")
        self.base_query = b""
        """Sent with every URL that is relative to the base; httpx would append the path to it."""
        if base_url := text_of(options.get("base_url", "")):
            options["base_url"] = self._base(base_url)
        for name in ("params", "cookies"):
            if name in options:
                options[name] = by_value(options[name])
        super().__init__(**options)
        self._mount_no_proxy()
        self._adopt_cookies(options.get("cookies"))
        if addresses is not None:
            self._refuse_detours()

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookies that requests are sent with."""
        return self._cookies if self._cookies_shown is None else self._cookies_shown

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._cookies = httpx.Cookies(cookies)
        self._adopt_cookies(cookies)

    @contextmanager
    def showing_cookies_of(self, host: str) -> Generator[None]:
        """Make `cookies` return only those of `host`; do not await inside."""
        self._cookies_shown = narrowed(self._cookies, host)
        try:
            yield
        finally:
            self._cookies_shown = None

    def _build_redirect_request(self, request: httpx.Request, response: httpx.Response) -> Any:
        # A private method of httpx. If httpx stopped calling it, redirects would only cost more.
        url = self._redirect_url(request, response)
        with self.showing_cookies_of(url.raw_host.decode("ascii")):
            return super()._build_redirect_request(request, response)

    def _redirect_url(self, request: httpx.Request, response: httpx.Response) -> Any:
        headers = response.headers
        response.headers = with_bytes_of_location(headers, httpx)
        try:
            return self._readable_redirect_url(request, response)
        finally:
            response.headers = headers

    def _readable_redirect_url(self, request: httpx.Request, response: httpx.Response) -> Any:
        try:
            url = super()._redirect_url(request, response)
        except UnicodeError:
            # httpx has checked for a host: there is one, which it cannot decode.
            url = httpx.URL(response.headers["Location"])
            if request.url.fragment and not url.fragment:
                url = url.copy_with(fragment=request.url.fragment)
        return readable(url, httpx)

    def _adopt_cookies(self, given: object) -> None:
        # A jar of the caller's own keeps its rules.
        if not isinstance(given, CookieJar):
            adopt(self._cookies)

    def _init_transport(  # type: ignore[override]  # httpx passes all of it by keyword
        self, transport: Any = None, **options: Any
    ) -> Any:
        if transport is not None:
            return super()._init_transport(transport=transport, **options)
        if self._bounds is not None:
            options["limits"] = self._bounds
        options["http2"] = self._http2
        self.own_transport = HTTPTransport(
            addresses=self._addresses, proxy_resolves=self._proxy_resolves, **options
        )
        return self.own_transport

    def _init_proxy_transport(  # type: ignore[override]  # as above
        self, proxy: Any, **options: Any
    ) -> Any:
        # On the engine of `own_transport`, unless the caller has given another transport.
        if self.own_transport is None:
            transport = HTTPTransport(proxy=proxy, **options)
        else:
            transport = self.own_transport.through(proxy)
        self.proxied_transports.append(transport)
        return transport

    def _get_proxy_map(self, proxy: Any, allow_env_proxies: bool) -> dict[str, Any]:
        if self._proxies:
            return {}
        if proxy is not None:
            return {"all://": proxy_of(proxy)}
        if not allow_env_proxies:
            return {}
        # httpx's own parser of NO_PROXY fails at some values, and ignores others.
        environment = getproxies()
        self._no_proxy = NoProxy(environment.get("no", ""))
        urls = {scheme: environment.get(scheme) for scheme in ("http", "https", "all")}
        return {f"{scheme}://": _of_environment(scheme, url) for scheme, url in urls.items() if url}

    def _mount_no_proxy(self) -> None:
        """Mount NO_PROXY before the proxies, and after mounts for single hosts."""
        if not self._no_proxy:
            return
        exact = {pattern: way for pattern, way in self._mounts.items() if pattern.host}
        no_proxy: Any = self._no_proxy
        self._mounts = {**exact, no_proxy: None, **self._mounts}

    def _base(self, text: str) -> httpx.URL:
        """
        Return the base of relative URLs, and keep its query.

        Raises:
            ValueError: If it is not a URL that can be fetched.
        """
        binding = binding_of(self)
        try:
            if not ABSOLUTE.match(text):
                raise httpx.InvalidURL(f"it must begin with http:// or https://, not {shown(text)}")
            check_text(text, binding)
            url = httpx.URL(text)
            check_url(url, binding)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ValueError(f"base_url is no URL to fetch from: {error}") from None
        self.base_query = url.query
        return url.copy_with(query=None, fragment=None)

    def _refuse_detours(self) -> None:
        """
        Refuse proxies, mounts and transports that would connect without asking `addresses`.

        Raises:
            ValueError: If there is one.
        """
        detours = [
            str(pattern.pattern) for pattern, way in self._mounts.items() if self._skips(way)
        ]
        if self.own_transport is None:
            detours.append("transport=")
        elif any(map(self.own_transport.engine.connector.refuses, self._proxies)):
            detours.append("proxy=")
        if detours:
            raise ValueError(
                f"addresses={self._addresses!r} cannot be kept: {', '.join(detours)} would connect "
                "without it: a proxy resolves names itself, unless it is socks5://. Allow that by "
                "proxy_resolves=True; trust_env=False ignores the proxies of the environment"
            )

    def _skips(self, way: Any) -> bool:
        """Whether a transport would connect without asking `addresses`."""
        if way is None:
            return False
        # One by `through` has the policy of `own_transport`.
        if self.own_transport is None or way not in self.proxied_transports:
            return True
        refused: bool = self.own_transport.engine.connector.refuses(way.route)
        return refused


def _of_environment(scheme: str, url: str) -> Proxy:
    """
    Return the proxy that the environment names for a scheme.

    Raises:
        ValueError: It is not one, or its type is not known.
    """
    try:
        return proxy_of(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise ValueError(
            f"{scheme.upper()}_PROXY of the environment: {error}; trust_env=False ignores it"
        ) from None


def showing_cookies_of(client: object, url: Any) -> AbstractContextManager[None]:
    """
    Make a client of ours show only the cookies of one host while the request for `url` is built.

    Any other client is left alone, and copies all its cookies.
    """
    if not isinstance(client, OwnClient) or not client.cookies:
        return nullcontext()
    try:
        parsed = httpx.URL(text_of(url))
    except httpx.InvalidURL:
        return nullcontext()  # building the request will raise
    whole = client.base_url if parsed.is_relative_url else parsed
    return client.showing_cookies_of(whole.raw_host.decode("ascii"))
