"""
From an origin to an open connection: look-up, address policy, sockets, TLS.

The address that was checked is the one that is connected to; nothing is resolved twice.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from asyncbatch._transport._addresses import AddressPolicy, allowed_by
from asyncbatch._transport._connecting import CAN_WATCH, begin, connect, finish
from asyncbatch._transport._connection import Connection
from asyncbatch._transport._errors import ConnectFailed, HandshakeFailed, ResolveFailed
from asyncbatch._transport._exchange import Origin
from asyncbatch._transport._eyeballs import race
from asyncbatch._transport._loop_transport import LoopTransport
from asyncbatch._transport._resolver import Address, Resolver, Threads, parse_literal
from asyncbatch._transport._socket import SocketTransport
from asyncbatch._transport._tls import TLSTransport, report_cuts

if TYPE_CHECKING:
    from asyncbatch._transport._dial import Dial
    from asyncbatch._transport._pool import Pool

SocketOption: TypeAlias = tuple[Any, ...]

_ENCRYPTED = 256 * 1024


class Begun(NamedTuple):
    """A socket that is connected, or on its way."""

    sock: socket.socket
    address: Address
    started: float
    is_connected: bool


class Connector:
    """
    Opens connections for one engine.

    Args:
        make_ssl_context: called once, in a thread, when TLS is first needed: reading the roots
            takes some 20 ms.
        policy: says of each address whether it may be connected to.
        local_address: to connect from.
        socket_options: for `setsockopt`, each.
        uds: the path of a Unix domain socket to connect to instead of any address.
        retries: how many times a failed connect is tried again.
    """

    def __init__(
        self,
        make_ssl_context: Callable[[], ssl.SSLContext],
        *,
        policy: AddressPolicy | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] = (),
        uds: str | None = None,
        retries: int = 0,
        resolver: Resolver | None = None,
    ) -> None:
        self._make_ssl_context = make_ssl_context
        self._ssl_context: ssl.SSLContext | None = None
        self._ssl_future: asyncio.Future[ssl.SSLContext] | None = None
        # What every TLS connection receives into, before it is decrypted.
        self._encrypted = memoryview(b"")
        self._policy = policy
        self._local_address = local_address
        self._socket_options = tuple(socket_options)
        self._uds = uds
        self._threads = Threads()
        self.resolver = Resolver(threads=self._threads) if resolver is None else resolver
        self.retries = retries

    def begin(self, origin: Origin, dial: Dial) -> Begun | None:
        """
        Begin to connect where nothing has to be waited for first: to the one address that there is.

        Returns:
            What to go on with in `connect`; None: `connect` has to begin.

        Raises:
            AddressRefused, ConnectFailed: that step failed.
        """
        if self._uds is not None or not CAN_WATCH:
            return None
        addresses = self._known_addresses(origin, dial)
        if addresses is None or len(addresses) > 1:
            return None
        (address,) = self.check(origin.host, addresses)
        started = monotonic()
        try:
            sock = self._new_socket(address)
            try:
                is_connected = begin(sock, address.sockaddr)
            except BaseException:
                sock.close()
                raise
        except (OSError, OverflowError) as exc:
            raise self._connect_failed(origin, exc) from exc
        dial.connect = monotonic() - started
        return Begun(sock, address, started, is_connected)

    async def connect(
        self, pool: Pool, origin: Origin, dial: Dial, begun: Begun | None = None
    ) -> Connection:
        """
        Open a connection, reporting the phases to `dial`.

        Raises:
            ResolveFailed, AddressRefused, ConnectFailed, HandshakeFailed: that step failed.
        """
        name = "connect_tcp" if self._uds is None else "connect_unix_socket"
        dial.observe(f"connection.{name}.started", host=origin.host, port=origin.port)
        try:
            sock = await self._open_socket(origin, dial, begun)
        except Exception as exc:
            dial.observe(f"connection.{name}.failed", exception=exc)
            raise
        dial.observe(f"connection.{name}.complete", return_value=None)
        if not origin.is_tls:
            return self.attach_nowait(pool, sock) or await self.attach(pool, sock)
        connection = Connection(pool, sock)
        dial.observe("connection.start_tls.started", server_hostname=origin.host)
        try:
            await self._handshake(pool, connection, sock, origin, dial)
        except Exception as exc:
            dial.observe("connection.start_tls.failed", exception=exc)
            raise
        dial.observe("connection.start_tls.complete", return_value=None)
        return connection

    def check(self, host: str, addresses: list[Address]) -> list[Address]:
        """
        Keep the addresses that the policy allows.

        Raises:
            AddressRefused: none is left, or the policy failed.
        """
        if self._policy is None:
            return addresses
        verdicts = allowed_by(self._policy, host, [one.sockaddr[0] for one in addresses])
        return [*itertools.compress(addresses, verdicts)]

    async def ssl_context(self) -> ssl.SSLContext:
        """Make the TLS context, once, without holding the loop up."""
        if self._ssl_context is None:
            if self._ssl_future is None:
                self._ssl_future = self._threads.call(self._make_ssl_context)
            try:
                context = await asyncio.shield(self._ssl_future)
            except Exception:
                self._ssl_future = None
                raise
            # Offering anything else would have servers speak it.
            context.set_alpn_protocols(["http/1.1"])
            report_cuts(context)
            self._ssl_context = context
            self._encrypted = memoryview(bytearray(_ENCRYPTED))
        return self._ssl_context

    async def _open_socket(self, origin: Origin, dial: Dial, begun: Begun | None) -> socket.socket:
        if begun is not None and begun.is_connected:
            return begun.sock
        if self._uds is not None:
            started = monotonic()
            sock = await self._connect_unix(self._uds)
            dial.connect = monotonic() - started
            return sock
        try:
            if begun is not None:
                started = begun.started
                sock = await self._finish(begun)
            else:
                addresses = self._known_addresses(origin, dial)
                if addresses is None:
                    addresses = await self._look_up(origin, dial)
                started = monotonic()
                sock = await race(self.check(origin.host, addresses), self._connect_tcp)
        except (OSError, OverflowError) as exc:
            raise self._connect_failed(origin, exc) from exc
        dial.connect = monotonic() - started
        return sock

    def _connect_failed(self, origin: Origin, error: Exception) -> ConnectFailed:
        self.resolver.forget(origin.host, origin.port)
        return ConnectFailed(f"{origin.host!r} port {origin.port}: {error}")

    def _known_addresses(self, origin: Origin, dial: Dial) -> list[Address] | None:
        """Return the addresses of a host where nobody has to be asked for them."""
        host, port = origin.host, origin.port
        if not 0 < port < 65536:
            raise ConnectFailed(f"there is no port {port}")
        if not host or "\x00" in host:
            raise ResolveFailed(f"not a host name: {host!r}")
        literal = parse_literal(host, port)
        if literal is not None:
            return literal
        started = monotonic()
        known = self.resolver.known(host, port)
        if known is not None:
            dial.dns = monotonic() - started
        return known

    async def _look_up(self, origin: Origin, dial: Dial) -> list[Address]:
        started = monotonic()
        addresses = await self.resolver.resolve(origin.host, origin.port)
        dial.dns = monotonic() - started
        return addresses

    async def _connect_tcp(self, address: Address) -> socket.socket:
        sock = self._new_socket(address)
        try:
            await connect(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _finish(self, begun: Begun) -> socket.socket:
        try:
            await finish(begun.sock, begun.address.sockaddr)
        except BaseException:
            begun.sock.close()
            raise
        return begun.sock

    def _new_socket(self, address: Address) -> socket.socket:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in self._socket_options:
                sock.setsockopt(*option)
            if self._local_address is not None:
                sock.bind((self._local_address, 0))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _connect_unix(self, path: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, path)
        except OSError as exc:
            sock.close()
            raise ConnectFailed(f"{path!r}: {exc}") from exc
        except BaseException:
            sock.close()
            raise
        return sock

    def attach_nowait(self, pool: Pool, sock: socket.socket) -> Connection | None:
        """
        Put a connection on a plain socket, or return None where the event loop has to.

        Raises:
            ConnectFailed: It cannot be watched, for want of a descriptor; the socket is closed.
        """
        if not _can_have_sockets(pool):
            return None
        connection = Connection(pool, sock)
        try:
            transport = SocketTransport(pool.loop, pool.watch, sock, connection, pool.buffer)
            connection.use(transport)
        except OSError as exc:
            sock.close()
            connection.close()
            raise ConnectFailed(f"the connection cannot be watched: {exc}") from exc
        return connection

    async def attach(self, pool: Pool, sock: socket.socket) -> Connection:
        """Have the event loop put a connection on a plain socket."""
        connection = Connection(pool, sock)
        await self._attach(pool, connection, sock)
        return connection

    async def _attach(
        self,
        pool: Pool,
        connection: Connection,
        sock: socket.socket,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        loop = pool.loop
        transport = LoopTransport(connection, pool.buffer)
        inode = _inode(sock)
        try:
            await loop.create_connection(
                lambda: transport, sock=sock, ssl=context, server_hostname=server_name
            )
        except BaseException:
            # The event loop closes the socket of a connection that it could not make. uvloop's does
            # not say that it is gone if it was given up in here; asyncio's does in two turns.
            connection.close()
            loop.call_soon(loop.call_soon, connection.connection_lost, None)
            raise
        finally:
            # uvloop 0.23 leaves the number of what it has closed in the socket object, where the
            # peer was quick to reset. Its end would close whoever has been given that number since.
            if sock.fileno() >= 0 and _inode(sock) != inode:
                sock.detach()

    async def _handshake(
        self, pool: Pool, connection: Connection, sock: socket.socket, origin: Origin, dial: Dial
    ) -> None:
        server_name = origin.server_name or origin.host
        try:
            try:
                context = await self.ssl_context()
            except BaseException:
                sock.close()
                raise
            started = monotonic()
            if _can_have_sockets(pool):
                await self._shake_hands(pool, connection, sock, context, server_name)
            else:
                await self._attach(pool, connection, sock, context, server_name)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError, CertificateError both
            raise HandshakeFailed(f"{server_name!r}: {exc}") from exc
        dial.tls = monotonic() - started

    async def _shake_hands(
        self,
        pool: Pool,
        connection: Connection,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_name: str,
    ) -> None:
        try:
            tls = TLSTransport(pool.loop, context, server_name, connection, pool.buffer)
            transport = SocketTransport(pool.loop, pool.watch, sock, tls, self._encrypted)
        except BaseException:
            sock.close()
            raise
        tls.begin(transport)
        await tls.wait_until_used()


def _can_have_sockets(pool: Pool) -> bool:
    """Say whether sockets of our own can be watched."""
    # uvloop's `add_reader` does not call for a reset that comes behind bytes that have been read,
    # an epoll does; the loop of Windows has no `add_reader`.
    return pool.watch.can_look or isinstance(pool.loop, asyncio.SelectorEventLoop)


def _inode(sock: socket.socket) -> int:
    """Return what tells an open socket from another one with the same number; 0 for none."""
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return 0
