"""
`HostConnector`: connects a socket to a host, by look-up, address policy and a race of addresses.

It connects to the same address that the policy has checked; nothing is resolved twice.
"""

from __future__ import annotations

import itertools
import socket
from time import monotonic

from asyncbatch._engine._errors import ConnectFailed, ResolveFailed
from asyncbatch._engine._event_loop import cancelled_class
from asyncbatch._engine._exchange import Origin
from asyncbatch._engine.connect._addresses import AddressPolicy, allowed_by
from asyncbatch._engine.connect._happy_eyeballs import HEAD_START, race
from asyncbatch._engine.connect._phases import ConnectPhases
from asyncbatch._engine.connect._resolver import (
    Address,
    Resolver,
    parse_literal,
    without_escape,
)
from asyncbatch._engine.connect._sockets import SocketOpener, StartedConnect


class HostConnector:
    """
    Connects sockets to hosts.

    Args:
        opener: Connects a socket to an address.
        resolver: Looks names up; it learns which addresses do not answer.
        policy: Decides which addresses may be connected to.
    """

    def __init__(
        self, opener: SocketOpener, resolver: Resolver, policy: AddressPolicy | None
    ) -> None:
        self._opener = opener
        self.resolver = resolver
        self._policy = policy

    @property
    def has_policy(self) -> bool:
        """Whether addresses are checked."""
        return self._policy is not None

    def begin_connect(
        self, origin: Origin, phases: ConnectPhases, *, is_checked: bool = True
    ) -> StartedConnect | None:
        """
        Begin to connect if nothing must be waited for: to the only address that there is.

        Args:
            origin: Its host and its port.
            phases: Records the durations.
            is_checked: Whether the policy decides about the address.

        Returns:
            The socket, connected or not, for `connect`; `None` if `connect` must begin.

        Raises:
            AddressRefused, ConnectFailed, ResolveFailed: That step failed.
        """
        addresses = self._known_addresses(origin, phases)
        if addresses is None or len(addresses) > 1:
            return None
        (address,) = self.check(origin.host, addresses) if is_checked else addresses
        started = monotonic()
        try:
            return self._opener.begin_connect(address)
        except (OSError, OverflowError) as exc:
            raise self._connect_failed(origin, exc) from exc
        finally:
            phases.connect = monotonic() - started

    async def connect(
        self,
        origin: Origin,
        phases: ConnectPhases,
        begun: StartedConnect | None,
        *,
        is_checked: bool = True,
    ) -> socket.socket:
        """
        Connect to a host, or wait until `begun` is connected.

        Args:
            origin: Its host and its port.
            phases: Records the durations, also while they last.
            begun: What `begin_connect` returned.
            is_checked: Whether the policy decides about the addresses.

        Raises:
            AddressRefused, ConnectFailed, ResolveFailed: That step failed.
        """
        if begun is not None:
            if begun.is_connected:
                return begun.sock
            return await self._finish_connect(origin, phases, begun)
        addresses = await self.addresses_of(origin, phases)
        if is_checked:
            addresses = self.check(origin.host, addresses)
        return await self._race(origin, phases, addresses)

    async def addresses_of(self, origin: Origin, phases: ConnectPhases) -> list[Address]:
        """
        Return the addresses of a host, unchecked.

        Raises:
            ConnectFailed, ResolveFailed: It has none.
        """
        addresses = self._known_addresses(origin, phases)
        if addresses is not None:
            return addresses
        phases.enter_phase("dns")
        try:
            return await self.resolver.resolve(origin.host, origin.port)
        finally:
            phases.leave_phase()

    def check(self, host: str, addresses: list[Address]) -> list[Address]:
        """
        Return the addresses that the policy allows.

        Raises:
            AddressRefused: It allows none, or it failed.
        """
        if self._policy is None:
            return addresses
        allowed = allowed_by(self._policy, host, [one.sockaddr[0] for one in addresses])
        return [*itertools.compress(addresses, allowed)]

    async def _finish_connect(
        self, origin: Origin, phases: ConnectPhases, begun: StartedConnect
    ) -> socket.socket:
        phases.connect = None  # `begin_connect` has recorded a part of it
        phases.enter_phase("connect", begun.started)
        try:
            return await self._opener.finish_connect(begun)
        except cancelled_class():
            if monotonic() - begun.started >= HEAD_START:
                self.resolver.forget(origin.host, origin.port)
            raise
        except OSError as exc:
            raise self._connect_failed(origin, exc) from exc
        finally:
            phases.leave_phase()

    async def _race(
        self, origin: Origin, phases: ConnectPhases, addresses: list[Address]
    ) -> socket.socket:
        host, port = origin.host, origin.port
        silent: list[Address] = []
        phases.enter_phase("connect")
        try:
            return await race(addresses, self._opener.connect, silent.extend)
        except cancelled_class():
            # Running out of time counts as a refusal: other addresses come first next time.
            if silent:
                self.resolver.forget(host, port)
            raise
        except (OSError, OverflowError) as exc:
            raise self._connect_failed(origin, exc) from exc
        finally:
            phases.leave_phase()
            self.resolver.note_silent(host, port, silent)

    def _connect_failed(self, origin: Origin, error: Exception) -> ConnectFailed:
        self.resolver.forget(origin.host, origin.port)
        return ConnectFailed(f"{origin.host!r} port {origin.port}: {error}")

    def _known_addresses(self, origin: Origin, phases: ConnectPhases) -> list[Address] | None:
        """Return the addresses of a host without a look-up: literal or cached; otherwise `None`."""
        host, port = origin.host, origin.port
        if not 0 < port < 65536:
            raise ConnectFailed(f"there is no port {port}")
        if not host or "\x00" in host:
            raise ResolveFailed(f"not a host name: {host!r}")
        literal = parse_literal(without_escape(host), port)
        if literal is not None:
            return literal
        started = monotonic()
        known = self.resolver.known(host, port)
        if known is not None:
            phases.dns = (phases.dns or 0.0) + monotonic() - started
        return known
