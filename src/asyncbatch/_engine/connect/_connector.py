"""
`Connector`: opens a transport to an origin, by a socket, proxies and TLS.

How a socket is connected to a host is up to `HostConnector`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable

from asyncbatch._engine._errors import (
    ConnectFailed,
    ContextFailed,
    HandshakeFailed,
    ProxyFailed,
    ResolveFailed,
)
from asyncbatch._engine._exchange import Origin
from asyncbatch._engine.connect._addresses import AddressPolicy
from asyncbatch._engine.connect._host_connector import HostConnector
from asyncbatch._engine.connect._phases import ConnectPhases
from asyncbatch._engine.connect._protocols import HTTP11, Protocols
from asyncbatch._engine.connect._resolver import (
    ConnectThreads,
    Resolver,
    parse_literal,
    without_escape,
)
from asyncbatch._engine.connect._sockets import (
    CAN_WATCH,
    SocketOpener,
    SocketOption,
    StartedConnect,
    connect_unix,
)
from asyncbatch._engine.connect._tls_context import TLSContext
from asyncbatch._engine.connect._tunnel import SocksRefused, open_tunnel
from asyncbatch._engine.http11 import InvalidRequest, TruncatedResponse
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._transport import Transport
from asyncbatch._values._proxy import Proxy

MOST_ADDRESSES = 4
"""Most addresses of an origin that a SOCKS proxy is asked for, each on its own connection."""


class Connector:
    """
    Opens transports for one engine.

    Args:
        make_ssl_context: Called once, in a thread, when TLS is first needed: reading the roots
            takes some 20 ms.
        policy: Decides which addresses may be connected to. The addresses of proxies are the
            caller's, and not checked.
        proxy_resolves: Whether proxies may resolve names in spite of `policy`.
        local_address: The local address of each connection.
        socket_options: Arguments of `setsockopt` for each socket.
        uds: Path of a Unix domain socket to connect to instead of any address.
        retries: How often a failed connect is tried again.
        http1: As for `Protocols`.
        http2: As for `Protocols`.
    """

    def __init__(
        self,
        make_ssl_context: Callable[[], ssl.SSLContext],
        *,
        policy: AddressPolicy | None = None,
        proxy_resolves: bool = False,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] = (),
        uds: str | None = None,
        retries: int = 0,
        resolver: Resolver | None = None,
        http1: bool = True,
        http2: bool = False,
    ) -> None:
        threads = ConnectThreads()
        self._tls = TLSContext(make_ssl_context, threads)
        self._proxy_resolves = proxy_resolves
        self._hosts = HostConnector(
            SocketOpener(local_address, socket_options),
            Resolver(threads=threads) if resolver is None else resolver,
            policy,
        )
        self._uds = uds
        self.retries = retries
        self.protocols = Protocols(http1=http1, http2=http2)

    @property
    def has_policy(self) -> bool:
        """Whether addresses are checked."""
        return self._hosts.has_policy

    def refuses(self, route: Proxy | None) -> bool:
        """Whether addresses are checked, and a proxy would connect to others without a check."""
        if route is None or not self.has_policy:
            return False
        return route.resolves and not self._proxy_resolves

    def check_given(self, host: str, port: int, route: Proxy) -> None:
        """
        Check the host that a proxy is given: an address as the policy says, a name not at all.

        Raises:
            InvalidRequest: The proxy would resolve names, which was not allowed.
            AddressRefused: The host is an address that the policy does not allow.
        """
        if not self.has_policy:
            return
        if self.refuses(route):
            raise InvalidRequest(unchecked(route))
        # In any spelling that the proxy may take for an address, also with a dot at its end.
        literal = parse_literal(without_escape(host).removesuffix("."), port)
        if literal is not None:
            self._hosts.check(host, literal)

    def begin_connect(
        self, origin: Origin, phases: ConnectPhases, attacher: Attacher
    ) -> Transport | StartedConnect | None:
        """
        Begin to connect if nothing must be waited for: to the only address that there is.

        Through a proxy, that is the proxy's.

        Args:
            origin: The origin to connect to.
            phases: Records the durations.
            attacher: Makes the transport.

        Returns:
            The transport, if it is open already; otherwise the argument `begun` for `connect`.
            `None` if `connect` must begin.

        Raises:
            AddressRefused, ConnectFailed, InvalidRequest, ProxyFailed: That step failed.
        """
        if self._uds is not None or not CAN_WATCH:
            return None
        route = origin.route
        if route is None:
            begun = self._hosts.begin_connect(origin, phases)
        else:
            self.check_given(origin.host, origin.port, route)
            phases.is_at_proxy = True
            try:
                begun = self._hosts.begin_connect(_place_of(route), phases, is_checked=False)
            except (ConnectFailed, ResolveFailed) as exc:
                raise ProxyFailed(route.label, str(exc)) from exc
        if begun is None or not begun.is_connected:
            return begun
        if origin.is_tls if route is None else route.is_tls or not origin.is_forwarded:
            return begun
        phases.is_at_proxy = False
        return attacher.attach_nowait(begun.sock) or begun

    async def connect(
        self,
        origin: Origin,
        phases: ConnectPhases,
        attacher: Attacher,
        begun: StartedConnect | None = None,
    ) -> Transport:
        """
        Open a transport to an origin.

        Args:
            origin: The origin to connect to.
            phases: Records the durations, also while they last.
            attacher: Makes the transport.
            begun: What `begin_connect` returned.

        Raises:
            ExchangeError: A step failed: `ResolveFailed`, `AddressRefused`, `ConnectFailed`,
                `HandshakeFailed`, `InvalidRequest` or `ProxyFailed`.
        """
        route = origin.route
        if route is None:
            return await self._connect(origin, phases, attacher, begun)
        if self._uds is not None:
            raise ProxyFailed(route.label, "it cannot be reached by a Unix domain socket")
        if begun is None:  # otherwise `begin_connect` has checked
            self.check_given(origin.host, origin.port, route)
        phases.is_at_proxy = True
        phases.observe("proxy.connect.started", proxy=route.label)
        if origin.is_forwarded:
            transport = await self._connect_to_proxy(route, phases, attacher, begun)
            _leave_proxy(phases)
            return transport
        return await self._connect_through(route, origin, phases, attacher, begun)

    async def _connect(
        self,
        origin: Origin,
        phases: ConnectPhases,
        attacher: Attacher,
        begun: StartedConnect | None,
        proxy: Proxy | None = None,
    ) -> Transport:
        """Connect to an origin, or to `proxy`, whose place it is."""
        name = "connect_tcp" if self._uds is None else "connect_unix_socket"
        phases.observe(f"connection.{name}.started", host=origin.host, port=origin.port)
        try:
            sock = await self._open_socket(origin, phases, begun, is_checked=proxy is None)
        except BaseException as exc:  # also cancelled by the time limit
            phases.observe(f"connection.{name}.failed", exception=exc)
            raise
        phases.observe(f"connection.{name}.complete", return_value=None)
        if not origin.is_tls:
            return await attacher.attach(sock)

        async def shake_hands() -> Transport:
            try:
                own_context = None if proxy is None else proxy.ssl_context
                context = await self._context() if own_context is None else own_context
                protocols = self.protocols.offered_to(origin) if proxy is None else HTTP11
                encrypted, server_name = self._tls.encrypted, _server_name(origin)
                phases.enter_phase("tls")
            except BaseException:
                sock.close()
                raise
            return await attacher.attach_tls(sock, context, server_name, encrypted, protocols)

        return await self._shake_hands(origin, phases, shake_hands)

    async def _open_socket(
        self,
        origin: Origin,
        phases: ConnectPhases,
        begun: StartedConnect | None,
        *,
        is_checked: bool,
    ) -> socket.socket:
        if self._uds is None:
            return await self._hosts.connect(origin, phases, begun, is_checked=is_checked)
        phases.enter_phase("connect")
        try:
            return await connect_unix(self._uds)
        except OSError as exc:
            raise ConnectFailed(f"{self._uds!r}: {exc}") from exc
        finally:
            phases.leave_phase()

    async def _connect_to_proxy(
        self,
        proxy: Proxy,
        phases: ConnectPhases,
        attacher: Attacher,
        begun: StartedConnect | None,
    ) -> Transport:
        try:
            return await self._connect(_place_of(proxy), phases, attacher, begun, proxy)
        except ContextFailed:  # not a fault of the proxy
            raise
        except (ConnectFailed, HandshakeFailed, ResolveFailed) as exc:
            raise ProxyFailed(proxy.label, str(exc)) from exc

    async def _connect_through(
        self,
        proxy: Proxy,
        origin: Origin,
        phases: ConnectPhases,
        attacher: Attacher,
        begun: StartedConnect | None,
    ) -> Transport:
        """Open a tunnel through a proxy and, for https, TLS to the origin in it."""
        try:
            # Before the tunnel is open: bytes that arrived in it during these waits would be taken
            # for the origin's.
            context = await self._context() if origin.is_tls else None
            hosts = await self._hosts_for(proxy, origin, phases)
        except BaseException:
            if begun is not None:
                begun.sock.close()
            raise
        transport = await self._open_tunnel(proxy, origin, hosts, phases, attacher, begun)
        _leave_proxy(phases)
        if transport is None and context is not None:
            raise HandshakeFailed(f"{_server_name(origin)!r}: the connection ended before it")
        if transport is None:
            raise TruncatedResponse("the server closed at once", received=False)
        if context is None:
            return transport

        async def shake_hands() -> Transport:
            phases.enter_phase("tls")
            return await attacher.attach_tls_over(
                transport, context, _server_name(origin), self.protocols.offered_to(origin)
            )

        return await self._shake_hands(origin, phases, shake_hands)

    async def _open_tunnel(
        self,
        proxy: Proxy,
        origin: Origin,
        hosts: list[str],
        phases: ConnectPhases,
        attacher: Attacher,
        begun: StartedConnect | None,
    ) -> Transport | None:
        while True:
            transport = await self._connect_to_proxy(proxy, phases, attacher, begun)
            begun = None
            phases.enter_phase("connect")
            phases.observe("proxy.tunnel.started", host=origin.host, port=origin.port)
            try:
                is_open = await open_tunnel(
                    transport, attacher.listen_to, proxy, hosts.pop(0), origin.port
                )
            except BaseException as exc:
                phases.observe("proxy.tunnel.failed", exception=exc)
                if not (isinstance(exc, SocksRefused) and hosts):
                    raise
            else:
                phases.observe("proxy.tunnel.complete", return_value=None)
                return transport if is_open else None
            finally:
                phases.leave_phase()

    async def _hosts_for(self, proxy: Proxy, origin: Origin, phases: ConnectPhases) -> list[str]:
        """Return what a proxy is asked to connect to, in turn: a name, or its addresses."""
        if proxy.resolves:
            return [without_escape(origin.host)]
        phases.is_at_proxy = False
        addresses = await self._hosts.addresses_of(origin, phases)
        addresses = self._hosts.check(origin.host, addresses)
        phases.is_at_proxy = True
        return [str(address.sockaddr[0]) for address in addresses[:MOST_ADDRESSES]]

    async def _context(self) -> ssl.SSLContext:
        try:
            return await self._tls.get()
        except Exception as exc:
            raise ContextFailed(str(exc)) from exc

    async def _shake_hands(
        self, origin: Origin, phases: ConnectPhases, shake: Callable[[], Awaitable[Transport]]
    ) -> Transport:
        """Do a TLS handshake by `shake`, which enters the phase; report and name its failure."""
        phases.observe("connection.start_tls.started", server_hostname=_name_of(origin))
        try:
            transport = await self._shaken(origin, phases, shake)
        except BaseException as exc:
            phases.observe("connection.start_tls.failed", exception=exc)
            raise
        phases.observe("connection.start_tls.complete", return_value=None)
        return transport

    async def _shaken(
        self, origin: Origin, phases: ConnectPhases, shake: Callable[[], Awaitable[Transport]]
    ) -> Transport:
        try:
            return await shake()
        except ContextFailed:
            raise
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError, CertificateError both
            raise HandshakeFailed(f"{_server_name(origin)!r}: {exc}") from exc
        finally:
            phases.leave_phase()


def unchecked(proxy: Proxy) -> str:
    """Return why a request may not go through a proxy, and the cure."""
    return (
        f"addresses cannot be checked behind the proxy {proxy.label}, which resolves names itself: "
        "allow that by proxy_resolves=True, or take a socks5:// proxy, which is given addresses"
    )


def _leave_proxy(phases: ConnectPhases) -> None:
    """Note that the proxy is done, and the origin is waited for."""
    phases.is_at_proxy = False
    phases.observe("proxy.connect.complete", return_value=None)


def _place_of(proxy: Proxy) -> Origin:
    """Return the place of a proxy, as an origin that is connected to directly."""
    return Origin(proxy.is_tls, proxy.host, proxy.port)


def _server_name(origin: Origin) -> str:
    return origin.server_name or _name_of(origin)


def _name_of(origin: Origin) -> str:
    """
    Return the name of the server, without the dot at the end of a fully qualified name.

    That dot is for the resolver. It is no part of the name in SNI (RFC 6066 §3) or in a certificate
    (RFC 5280 §4.2.1.6).
    """
    return origin.host.removesuffix(".")
