"""
The engine in place of httpcore's connection pool.

`httpx.AsyncHTTPTransport` passes its requests to `self._pool`. The engine is put there, and nothing
above is overridden. So respx, pytest-httpx, vcrpy and OpenTelemetry keep working: they patch the
methods of the transport and the pool, and so bypass the engine.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from asyncbatch._engine._body_stream import BodyStream
from asyncbatch._engine._engine import Engine, take_error
from asyncbatch._engine._errors import ContextFailed, EngineClosed, TimedOut
from asyncbatch._engine._exchange import (
    Body,
    Exchange,
    ExchangeLimits,
    Observer,
    Origin,
    Upload,
)
from asyncbatch._engine.bridge._pristine import is_pristine
from asyncbatch._engine.bridge._trace import EventLog, ExchangeTrace, TracedStream
from asyncbatch._engine.connect._connector import unchecked
from asyncbatch._engine.http11 import (
    LAST_CHUNK,
    ExchangeError,
    InvalidRequest,
    RequestFields,
    ResponseHead,
    TruncatedResponse,
    encode_chunk,
    encode_fields,
    encode_request_line,
)
from asyncbatch._runtime._threads import NoThreads, Threads
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._urls import DEFAULT_PORTS

EXCHANGE_EXTENSION = "asyncbatch.exchange"
"""The response extension that holds the exchange, and so its timing."""

REPLAY_EXTENSION = "asyncbatch.replay"
"""The request extension that holds a finished exchange, which answers the request, once."""

MINIMUM_RATE_EXTENSION = "asyncbatch.minimum_rate"
"""The request extension for the least rate, in bytes per second, at which a head must arrive."""

PROXY_EXTENSION = "asyncbatch.proxy"
"""The request extension for the proxy of one request: a `Proxy`, or `None` for no proxy."""

_threads = Threads("asyncbatch-tls", 4)

_MAX_LIMITS = 64
_SECURE_SCHEMES = (b"https", b"wss")
DEFAULT_RAW_PORTS = {scheme.encode(): port for scheme, port in DEFAULT_PORTS.items()}

RawUrl: TypeAlias = tuple[bytes, bytes, int | None, bytes]
"""Scheme, host, port and target of a URL; no port is the default one."""


class EnginePoolMixin:
    """
    Makes an httpcore connection pool use the engine; combined with the class of either httpcore.

    It passes to `super()` what the engine does not do: CONNECT and upgrades, schemes other than
    http and https, and all requests if httpcore is patched.
    """

    core: ClassVar[Any]
    library: ClassVar[Any]
    _ssl_context: ssl.SSLContext | None
    _proxy: Any

    def __init__(
        self,
        engine: Engine,
        make_ssl_context: Callable[[], ssl.SSLContext],
        route: Proxy | None = None,
        **options: Any,
    ) -> None:
        self.engine = engine
        self.route = route
        """The proxy of all requests that do not name one."""
        self._make_ssl_context = make_ssl_context
        self._limits: dict[tuple[float | None, ...], ExchangeLimits] = {}
        super().__init__(**options)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request, and return the response when its head has arrived."""
        # Removed, because a redirected request inherits the extensions.
        replayed = request.extensions.pop(REPLAY_EXTENSION, None)
        if replayed is not None:
            return self._as_response(replayed, None)
        if not self._is_ours(request):
            return await self._leave_to_httpcore(request)
        try:
            fields = encode_fields(request.headers)
            if fields.upgrades:
                return await self._leave_to_httpcore(request)
            trace = request.extensions.get("trace")
            if not (trace is None or callable(trace)):
                raise TypeError(f"trace must be a callable, not {trace!r}")
            log = None if trace is None or watcher_in(trace) is not None else EventLog(request)
            url = request.url
            exchange = self.begin(
                request.method,
                (url.scheme, url.host, url.port, url.target),
                fields,
                self.body_of(request.stream, fields),
                request.extensions,
                None if log is None else log.observe,
            )
            try:
                if log is not None:
                    await log.report(exchange, trace)
                self.engine.in_clients.add(exchange)
                await exchange.future
            except BaseException:
                self.engine.abandon(exchange)
                raise
            finally:
                self.engine.in_clients.discard(exchange)
            if exchange.head is None:
                raise error_of(exchange)
        except ExchangeError as exc:
            raise self.as_core_error(exc) from exc
        return self._as_response(exchange, None if log is None else trace)

    async def _leave_to_httpcore(self, request: Any) -> Any:
        if request.extensions.get(PROXY_EXTENSION, self.route) != self.route:
            raise self.core.UnsupportedProtocol(
                "a request with a proxy of its own needs the engine: no CONNECT, no upgrade"
            )
        if self.route is not None:
            self._check_given(request.url, self.route)
        is_proxys = self.route is not None and self.route.is_tls and not self._proxy.ssl_context
        if self._ssl_context is None and (is_proxys or request.url.scheme in _SECURE_SCHEMES):
            # Reading the roots takes some 20 ms, and would block the event loop.
            try:
                self._ssl_context = await self._ssl_context_made()
            except (OSError, ValueError) as exc:
                error = ContextFailed(str(exc))
                error.__cause__ = exc
                raise self.as_core_error(error) from error
        if is_proxys:
            self._proxy.ssl_context = self._ssl_context
        return await super().handle_async_request(request)  # type: ignore[misc]  # the pool's

    def _check_given(self, url: Any, route: Proxy) -> None:
        """Check the address that httpcore gives to a proxy; it gives names to all of them."""
        connector = self.engine.connector
        try:
            if connector.has_policy and not route.resolves:
                raise InvalidRequest(
                    f"addresses cannot be checked behind {route.label} for this request: it must "
                    "be without CONNECT or an upgrade"
                )
            port = url.port or DEFAULT_RAW_PORTS.get(url.scheme, 80)
            connector.check_given(url.host.decode("ascii"), port, route)
        except ExchangeError as exc:
            raise self.as_core_error(exc) from exc

    async def _ssl_context_made(self) -> ssl.SSLContext:
        try:
            return await _threads.call(self._make_ssl_context)
        except NoThreads:
            return self._make_ssl_context()

    async def aclose(self) -> None:
        """Close the engine, and what httpcore may have opened."""
        await self.engine.aclose()
        await super().aclose()  # type: ignore[misc]  # the pool's

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.engine.counts().items())
        return f"<{type(self).__name__} [{counts or 'unused'}]>"

    def _is_ours(self, request: Any) -> bool:
        if not is_pristine(self.core):
            return False
        return request.url.scheme in DEFAULT_RAW_PORTS and request.method != b"CONNECT"

    def begin(
        self,
        method: bytes,
        url: RawUrl,
        fields: RequestFields,
        body: Body,
        extensions: Any,
        observer: Observer | None = None,
    ) -> Exchange:
        """
        Begin the exchange of a request.

        Raises:
            ExchangeError: It cannot be sent.
        """
        scheme, raw_host, port, target = url
        route = extensions.get(PROXY_EXTENSION, self.route)
        if route is not None and self.engine.connector.refuses(route):
            raise InvalidRequest(unchecked(route))
        origin = Origin(
            scheme == b"https",
            raw_host.decode("ascii"),
            port or DEFAULT_RAW_PORTS[scheme],
            extensions.get("sni_hostname"),
            route,
        )
        exchange = self.engine.begin(
            origin,
            method,
            encode_request_line(method, target) + fields.block,
            body,
            self._terms_of(extensions.get("timeout"), extensions.get(MINIMUM_RATE_EXTENSION)),
            closes=fields.closes,
            observer=observer,
        )
        watcher = watcher_in(extensions.get("trace"))
        if watcher is not None:
            watcher.watch_exchange(exchange)
        return exchange

    def body_of(self, stream: Any, fields: RequestFields) -> Body:
        """
        Return the body of a request as the engine takes it.

        Raises:
            InvalidRequest: It has another length than its fields say.
        """
        if type(stream) is not self.library.ByteStream:
            length = fields.length
            if length is None and not fields.is_chunked:
                length = 0
            return Upload(stream, length)
        content = b"".join(stream)
        if fields.is_chunked:
            return encode_chunk(content) + LAST_CHUNK
        if len(content) != (fields.length or 0):
            raise InvalidRequest(
                f"the request body has {len(content)} bytes, its Content-Length is {fields.length}"
            )
        return content or None

    def _terms_of(
        self, timeout: dict[str, float | None] | None, minimum_rate: float | None
    ) -> ExchangeLimits:
        timeout = timeout or {}
        key = (
            timeout.get("connect"),
            timeout.get("read"),
            timeout.get("write"),
            timeout.get("pool"),
            minimum_rate,
        )
        limits = self._limits.get(key)
        if limits is None:
            if len(self._limits) >= _MAX_LIMITS:
                self._limits.clear()
            if not all(limit is None or isinstance(limit, int | float) for limit in key):
                raise TypeError(f"time limits must be seconds or None, not {timeout!r}")
            connect, read, write, pool, _ = key
            limits = self._limits[key] = ExchangeLimits(
                connect_timeout=connect,
                read_timeout=read,
                write_timeout=write,
                pool_timeout=pool,
                minimum_rate=minimum_rate,
                streams=True,
            )
        return limits

    def _as_response(self, exchange: Exchange, trace: Any) -> Any:
        head = exchange.head
        assert head is not None
        stream: Any = _CoreStream(self, exchange)
        return self.core.Response(
            status=head.status,
            headers=head.fields,
            content=stream if trace is None else TracedStream(stream, trace, _protocol_of(head)),
            extensions=extensions_of(exchange, head),
        )

    def body_stream(self, exchange: Exchange) -> BodyStream:
        """Return the body of an exchange whose head has arrived, with httpcore's errors."""
        return _CoreStream(self, exchange)

    def as_core_error(self, error: ExchangeError) -> Exception:
        """Return the error that httpcore would raise for an error of the engine."""
        core = self.core
        name = _CORE_ERRORS.get(error.kind, "RemoteProtocolError")
        if isinstance(error, TimedOut):
            name = _CORE_TIMEOUTS[error.phase]
        elif isinstance(error, EngineClosed) or (
            isinstance(error, TruncatedResponse) and error.__cause__ is not None
        ):
            # Reset by the peer or closed by us. httpcore tells both from an early, orderly end.
            name = "ReadError"
        core_error: Exception = getattr(core, name)(str(error))
        return core_error


def error_of(exchange: Exchange) -> Exception:
    """Remove and return the error of an exchange without a response."""
    error = take_error(exchange)
    if isinstance(error, ExchangeError):
        error.dns, error.is_at_proxy = exchange.dns, exchange.is_at_proxy
    return error


def extensions_of(exchange: Exchange, head: ResponseHead) -> dict[str, Any]:
    """Return the extensions of a response."""
    return {
        "http_version": head.version,
        "reason_phrase": head.reason,
        "network_stream": NetworkStream(exchange.connection),
        EXCHANGE_EXTENSION: exchange,
    }


def _protocol_of(head: ResponseHead) -> str:
    """Return the first part of the names of events of a response."""
    return "http2" if head.version == b"HTTP/2" else "http11"


def watcher_in(trace: object) -> ExchangeTrace | None:
    """Return a request's trace if it reads the exchange, and is not called with events."""
    return trace if isinstance(trace, ExchangeTrace) and trace.wants_exchange else None


_CORE_ERRORS = {
    "dns": "ConnectError",
    "proxy": "ProxyError",
    "connect": "ConnectError",
    "tls": "ConnectError",
    "blocked": "ConnectError",
    "invalid_request": "LocalProtocolError",
}
_CORE_TIMEOUTS = {
    "pool": "PoolTimeout",
    "connect": "ConnectTimeout",
    "write": "WriteTimeout",
    "read": "ReadTimeout",
    "rate": "ReadTimeout",
    "total": "ReadTimeout",
}


class _CoreStream(BodyStream):
    """A response body that raises httpcore's errors."""

    __slots__ = ("_pool",)

    def __init__(self, pool: EnginePoolMixin, exchange: Exchange) -> None:
        super().__init__(pool.engine, exchange)
        self._pool = pool

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except ExchangeError as exc:
            raise self._pool.as_core_error(exc) from exc


class NetworkStream:
    """
    What httpx's `network_stream` extension offers about a connection, and no more.

    Args:
        connection: The connection; `None` if there is none any more.
    """

    __slots__ = ("_connection",)

    _NAMES: ClassVar[dict[str, str]] = {
        "client_addr": "sockname",
        "server_addr": "peername",
        "socket": "socket",
        "ssl_object": "ssl_object",
    }

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        """Return `ssl_object`, `client_addr`, `server_addr` or `socket`; `None` for others."""
        name = self._NAMES.get(info)
        if name is None or self._connection is None:
            return None
        return self._connection.get_extra_info(name)
