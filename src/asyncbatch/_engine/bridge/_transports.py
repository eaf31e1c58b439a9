"""
`HTTPTransport`: the engine as a transport for httpx, and for its continuation httpx2.
"""

from __future__ import annotations

import functools
import importlib
import os
import ssl
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, ClassVar, Self

import httpx

from asyncbatch._engine._bounds import MAX_IN_USE, Bounds, bounds_for, bounds_of
from asyncbatch._engine._engine import Engine
from asyncbatch._engine.bridge._backend import CheckedBackend, TidyBackend
from asyncbatch._engine.bridge._pool_bridge import EnginePoolMixin
from asyncbatch._engine.bridge._short_way import is_short, send_shortly
from asyncbatch._engine.bridge._socks import SocksBackend
from asyncbatch._engine.connect._addresses import (
    AddressPolicy,
    AddressPolicyTypes,
    as_policy,
    check_proxy_resolves,
)
from asyncbatch._engine.connect._connector import Connector, unchecked
from asyncbatch._engine.connect._tls_roots import new_context
from asyncbatch._engine.http2 import check_installed
from asyncbatch._values._proxy import Proxy, proxy_of

# The limits of httpcore's own pools by default; httpx's default.
_CORE_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


def _core_of(library: ModuleType) -> Any:
    """Return the httpcore of a library, by name, since its classes may have been replaced."""
    return importlib.import_module(library.__name__.replace("httpx", "httpcore"))


@functools.cache
def pool_class(library: ModuleType) -> type[Any]:
    """
    Return the class of pools that puts the engine in place of `library`'s httpcore.

    It is made with the first transport: importing httpcore takes long, and loads trio if that is
    installed.
    """
    core = _core_of(library)
    members = {"core": core, "library": library, "__module__": __name__}
    return type("EnginePool", (EnginePoolMixin, core.AsyncConnectionPool), members)


class ForAsyncClients(TypeError, AttributeError):
    """An `HTTPTransport` was given to a plain client."""

    def __init__(self, library: str) -> None:
        super().__init__(
            f"HTTPTransport is for {library}.AsyncClient, not for {library}.Client: "
            "in plain code use asyncbatch.SyncFetcher or fetch_many_sync"
        )


class TransportMixin:
    """Makes an httpx transport use the engine; combined with the class of either httpx."""

    _library: ClassVar[ModuleType]

    def __init__(
        self,
        verify: ssl.SSLContext | str | os.PathLike[str] | bool = True,
        cert: Any = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Any = None,
        proxy: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: int = 0,
        socket_options: Iterable[Any] | None = None,
        *,
        addresses: AddressPolicyTypes = None,
        proxy_resolves: bool = False,
    ) -> None:
        if not (http1 or http2):
            raise ValueError("http1=False leaves no protocol: give http2=True too")
        if http2:
            check_installed()
        policy = as_policy(addresses)
        check_proxy_resolves(proxy_resolves, addresses)
        if policy is not None and uds is not None:
            raise ValueError(
                "addresses cannot be checked behind a Unix domain socket: drop either addresses or "
                "uds"
            )
        socket_options = None if socket_options is None else list(socket_options)
        route = None if proxy is None else proxy_of(proxy)
        make = functools.partial(new_context, self._library, verify, cert, trust_env)
        if not isinstance(verify, bool) or cert is not None:
            # A wrong path must fail here, not at the first request. The default context is made
            # when TLS is first needed: it takes 20 ms.
            context = make()
            make = functools.partial(_same, context)
        connector = Connector(
            make,
            policy=policy,
            proxy_resolves=proxy_resolves,
            local_address=local_address,
            socket_options=socket_options or (),
            uds=uds,
            retries=retries,
            http1=http1,
            http2=http2,
        )
        bounds = _bounds(limits)
        # The `Engine`. Untyped, since what is inside is private.
        self.engine: Any = Engine(
            connector,
            max_connections=bounds.total,
            max_in_use=bounds.in_use,
            max_idle=bounds.idle,
            idle_expiry=bounds.idle_expiry,
        )
        core_limits = _core_limits(limits)
        self._new_pool = functools.partial(
            _new_pool,
            self._library,
            self.engine,
            make,
            policy,
            max_connections=core_limits.max_connections,
            max_keepalive_connections=core_limits.max_keepalive_connections,
            keepalive_expiry=core_limits.keepalive_expiry,
            retries=retries,
            local_address=local_address,
            uds=uds,
            socket_options=socket_options,
        )
        if connector.refuses(route):
            assert route is not None
            raise ValueError(unchecked(route))
        self._pool = self._new_pool(route)

    def handle_async_request(self, request: Any) -> Any:
        """
        Send a request as the base class does, even if that is patched.

        Raises:
            TypeError: The request is of another library.
        """
        library = self._library
        if not isinstance(request, library.Request):
            other = type(request).__module__.partition(".")[0]
            raise TypeError(
                f"this transport is for {library.__name__}.AsyncClient, and got a request of "
                f"{other}: for its clients take {_made_by(other)}"
            )
        send: Any = super().handle_async_request  # type: ignore[misc]  # of a base to come
        # Not a coroutine, which each wait of a request would have to pass through.
        if is_short(self._pool, request, send):
            return send_shortly(self._pool, request, send)
        return send(request)

    def __getattr__(self, name: str) -> Any:
        # Not a method: OpenTelemetry takes a transport that has it for one of plain clients.
        if name == "handle_request":
            raise ForAsyncClients(self._library.__name__)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __enter__(self) -> Any:
        raise ForAsyncClients(self._library.__name__)

    def __exit__(self, *_: object) -> None:
        """Do nothing; never called."""

    def close(self) -> None:
        """Do nothing; a plain client closes its transport even if that has refused to serve it."""

    @property
    def route(self) -> Proxy | None:
        """The proxy of its requests, except those that name another one; `None` for no proxy."""
        route: Proxy | None = self._pool.route
        return route

    def through(self, proxy: Any) -> Self:
        """Return another transport on the same engine, whose requests go through a proxy."""
        other = type(self).__new__(type(self))
        other.engine = self.engine
        other._new_pool = self._new_pool
        other._pool = self._new_pool(proxy_of(proxy))
        return other


class HTTPTransport(TransportMixin, httpx.AsyncHTTPTransport):
    """
    An `httpx.AsyncHTTPTransport` on asyncbatch's own engine for HTTP/1.1 and HTTP/2.

    Give it to any `httpx.AsyncClient(transport=HTTPTransport())`: everything else stays httpx's. It
    takes the arguments of `httpx.AsyncHTTPTransport`, `addresses` and `proxy_resolves`. httpx's own
    code does what the engine does not: CONNECT and upgrades, both over HTTP/1.1.

    Args:
        verify: Whether and how certificates are verified, as in httpx.
        cert: A client certificate, as in httpx.
        trust_env: Whether `SSL_CERT_FILE` and `SSL_CERT_DIR` are used.
        http1: Whether HTTP/1.1 may be used. Without it, and with `http2`, every connection speaks
            HTTP/2, with any server, and without TLS too.
        http2: Whether HTTP/2 may be used, with servers that take it by ALPN. It needs the extra
            `http2`.
        limits: An `httpx.Limits` for the connections. `None` allows 100 in use at a time, and
            beside them as many idle ones as descriptors allow (a quarter of `ulimit -n`, 2,048 at
            most), each for 60 seconds or as long as the server's `Keep-Alive` says. Idle ones
            beyond the limit are closed soon, not at once, so that a busy pool does not open a new
            connection for each request; without free descriptors the oldest one is closed at once.
        proxy: A proxy for all requests: a URL that begins with `http://`, `https://`, `socks5://`
            or `socks5h://`, or an `httpx.Proxy`.
        uds: Path of a Unix domain socket to connect to.
        local_address: The local address of each connection.
        retries: How often a failed connect is tried again.
        socket_options: Arguments of `setsockopt` for each socket.
        addresses: Which addresses may be connected to: `"public"` (see `is_public`), a callable
            that takes an `ipaddress` address and returns True or False, or `None` for all.
        proxy_resolves: Whether proxies other than `socks5://`, which resolve names themselves, are
            allowed together with `addresses`. Only addresses in URLs are checked then.

    Raises:
        ImportError: `http2` without the extra.
        ValueError: Neither `http1` nor `http2`; `addresses` together with `uds`, or with a `proxy`
            that may not resolve names; a `proxy` that is not valid; `proxy_resolves` without
            `addresses`.
    """

    _library: ClassVar[ModuleType] = httpx

    @classmethod
    def for_library(cls, library: ModuleType) -> type[Any]:
        """
        Return this class for the clients of `library`, which is `httpx` or `httpx2`.

        `httpx2.AsyncClient(transport=HTTPTransport.for_library(httpx2)())` is a client of httpx2 on
        our engine. It can be used wherever such a client is accepted, as SDKs do with
        `http_client`.

        Raises:
            TypeError: `library` is neither of the two.
        """
        return transport_class(library)


def transport_class(library: ModuleType) -> type[Any]:
    """
    Return `HTTPTransport` for httpx, or the same class for its continuation httpx2.

    Raises:
        TypeError: `library` is neither of the two.
    """
    if getattr(library, "__name__", None) not in ("httpx", "httpx2"):
        raise TypeError(f"library must be the module httpx or httpx2, not {library!r}")
    return _transport_class(library)


@functools.cache
def _transport_class(library: ModuleType) -> type[Any]:
    if library is httpx:
        return HTTPTransport
    return type(
        "HTTPTransport",
        (TransportMixin, library.AsyncHTTPTransport),
        {"_library": library, "__doc__": HTTPTransport.__doc__, "__module__": "asyncbatch"},
    )


def _made_by(library: str) -> str:
    """Return the expression for the transport class of a library."""
    if library == "httpx":
        return "asyncbatch.HTTPTransport"
    return f"asyncbatch.HTTPTransport.for_library({library})"


def _new_pool(
    library: ModuleType,
    engine: Engine,
    make_context: Callable[[], ssl.SSLContext],
    policy: AddressPolicy | None,
    route: Proxy | None,
    **options: Any,
) -> Any:
    """Return a pool whose requests go through `route`, in the engine or by httpcore."""
    if route is not None:
        options["proxy"] = _core_proxy(_core_of(library), route)
    pool = pool_class(library)(engine, make_context, route, **options)
    # Used for what httpcore does instead of the engine.
    pool._network_backend = TidyBackend(pool._network_backend)
    if policy is not None and route is None:
        pool._network_backend = CheckedBackend(pool._network_backend, policy, pool.core)
    if route is not None and route.is_socks:
        pool._network_backend = SocksBackend(pool._network_backend, pool.core)
    return pool


def _core_proxy(core: Any, route: Proxy) -> Any:
    url = core.URL(scheme=route.scheme, host=route.host, port=route.port, target="/")
    return core.Proxy(
        url,
        auth=route.credentials,
        headers=None if route.is_socks else list(route.headers),
        ssl_context=route.ssl_context,
    )


def _bounds(limits: Any) -> Bounds:
    if limits is None:
        return bounds_for(MAX_IN_USE)
    return limits if isinstance(limits, Bounds) else bounds_of(limits)


def _core_limits(limits: Any) -> Any:
    """Return the limits of httpcore's own pool, which looks at each connection it keeps."""
    if limits is None:
        return _CORE_LIMITS
    if isinstance(limits, Bounds):
        return httpx.Limits(max_connections=limits.in_use, max_keepalive_connections=limits.in_use)
    return limits


def _same(context: ssl.SSLContext) -> ssl.SSLContext:
    return context
