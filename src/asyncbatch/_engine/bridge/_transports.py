"""
`HTTPTransport`: the engine as an httpx transport, and the same for httpx's continuation.
"""

from __future__ import annotations

import functools
import importlib
import os
import ssl
from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar

import httpx

from asyncbatch._engine._bounds import MAX_IN_USE, Bounds, bounds_for, bounds_of
from asyncbatch._engine._engine import Engine
from asyncbatch._engine.bridge._backend import CheckedBackend, TidyBackend
from asyncbatch._engine.bridge._pool_bridge import EnginePoolMixin
from asyncbatch._engine.bridge._socks import SocksBackend
from asyncbatch._engine.connect._addresses import AddressPolicyTypes, as_policy
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.connect._tls_roots import new_context

# Of httpcore's own pools, where the caller says nothing: httpx's default.
_CORE_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


def _core_of(library: ModuleType) -> Any:
    origin = library.AsyncHTTPTransport.__module__.partition(".")[0]
    return importlib.import_module(origin.replace("httpx", "httpcore"))


@functools.cache
def pool_class(library: ModuleType) -> type[Any]:
    """
    Return the engine in the place of the pool of `library`'s httpcore.

    Made when the first transport is: importing httpcore takes long, and loads trio where it is
    installed.
    """
    core = _core_of(library)
    members = {"core": core, "byte_stream": library.ByteStream, "__module__": __name__}
    return type("EnginePool", (EnginePoolMixin, core.AsyncConnectionPool), members)


class TransportMixin:
    """What makes an httpx transport run on the engine; combined with either httpx's class."""

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
    ) -> None:
        policy = as_policy(addresses)
        if policy is not None and (proxy is not None or uds is not None):
            raise ValueError(
                "addresses cannot be checked behind a proxy or a Unix domain socket: "
                "drop either addresses or proxy/uds"
            )
        socket_options = None if socket_options is None else list(socket_options)
        # The `Engine`; None behind a proxy. Untyped, since what is inside is nobody's to rely on.
        self.engine: Any = None
        make = functools.partial(new_context, self._library, verify, cert, trust_env)
        if proxy is not None:
            stock: dict[str, Any] = {
                "verify": make(),
                "trust_env": trust_env,
                "http1": http1,
                "http2": http2,
                "limits": _core_limits(limits),
                "proxy": proxy,
                "uds": uds,
                "local_address": local_address,
                "retries": retries,
                "socket_options": socket_options,
            }
            super().__init__(**stock)
            self._mend_proxy_pool()
            return
        if not isinstance(verify, bool) or cert is not None:
            # A wrong path must be told here, not at the first request. The default is made when
            # TLS is first needed: it takes 20 ms.
            context = make()
            make = functools.partial(_same, context)
        connector = Connector(
            make,
            policy=policy,
            local_address=local_address,
            socket_options=socket_options or (),
            uds=uds,
            retries=retries,
        )
        bounds = _bounds(limits)
        self.engine = Engine(
            connector,
            max_connections=bounds.total,
            max_in_use=bounds.in_use,
            max_idle=bounds.idle,
            idle_expiry=bounds.idle_expiry,
        )
        core_limits = _core_limits(limits)
        self._pool = pool_class(self._library)(
            self.engine,
            make,
            max_connections=core_limits.max_connections,
            max_keepalive_connections=core_limits.max_keepalive_connections,
            keepalive_expiry=core_limits.keepalive_expiry,
            http1=http1,
            http2=http2,
            retries=retries,
            local_address=local_address,
            uds=uds,
            socket_options=socket_options,
        )
        pool = self._pool
        pool._network_backend = TidyBackend(pool._network_backend)
        if policy is not None:
            pool._network_backend = CheckedBackend(pool._network_backend, policy, pool.core)

    def _mend_proxy_pool(self) -> None:
        """Have httpcore's pool close what it leaves open, and read all of a SOCKS proxy's reply."""
        pool = self._pool
        core = _core_of(self._library)
        pool._network_backend = TidyBackend(pool._network_backend)
        if isinstance(pool, core.AsyncSOCKSProxy):
            pool._network_backend = SocksBackend(pool._network_backend, core)


class HTTPTransport(TransportMixin, httpx.AsyncHTTPTransport):
    """
    An `httpx.AsyncHTTPTransport` on asyncbatch's own HTTP/1.1 engine.

    Give it to any `httpx.AsyncClient(transport=HTTPTransport())`: everything else stays httpx's.
    It takes the arguments of `httpx.AsyncHTTPTransport`, and `addresses`. httpx's own code does
    what the engine does not: HTTP/2, proxies, CONNECT, upgrades, trio.

    Args:
        verify: whether and how certificates are verified, as in httpx.
        cert: a client certificate, as in httpx.
        trust_env: whether `SSL_CERT_FILE` and `SSL_CERT_DIR` count.
        http1: whether HTTP/1.1 may be used.
        http2: whether HTTP/2 may be used; then httpcore does everything.
        limits: of the connections, an `httpx.Limits`. None: 100 in use at a time, and beside them
            as many idle ones as descriptors allow (a quarter of `ulimit -n`, 2,048 at most), each
            for 60 seconds or as long as the server's `Keep-Alive` says. Idle ones beyond the limit
            are closed soon, not at once, so that a busy pool does not open a new connection for
            each request; without free descriptors the oldest one is closed at once.
        proxy: a proxy; then httpcore does everything.
        uds: the path of a Unix domain socket to connect to.
        local_address: the address to connect from.
        retries: how many times a failed connect is tried again.
        socket_options: for `setsockopt`, each.
        addresses: which addresses may be connected to: `"public"` (see `is_public`), a callable
            that is given an `ipaddress` address and returns True or False, or None for all.

    Raises:
        ValueError: `addresses` together with `proxy` or `uds`.
    """

    _library: ClassVar[ModuleType] = httpx


@functools.cache
def transport_class(library: ModuleType) -> type[Any]:
    """Return `HTTPTransport` for httpx, or the same class made for its continuation httpx2."""
    if library is httpx:
        return HTTPTransport
    return type(
        "HTTPTransport",
        (TransportMixin, library.AsyncHTTPTransport),
        {"_library": library, "__doc__": HTTPTransport.__doc__, "__module__": __name__},
    )


def _bounds(limits: Any) -> Bounds:
    if limits is None:
        return bounds_for(MAX_IN_USE)
    return limits if isinstance(limits, Bounds) else bounds_of(limits)


def _core_limits(limits: Any) -> Any:
    """Return the limits for a pool of httpcore's, which looks at each connection it keeps."""
    if limits is None:
        return _CORE_LIMITS
    if isinstance(limits, Bounds):
        return httpx.Limits(max_connections=limits.in_use, max_keepalive_connections=limits.in_use)
    return limits


def _same(context: ssl.SSLContext) -> ssl.SSLContext:
    return context
