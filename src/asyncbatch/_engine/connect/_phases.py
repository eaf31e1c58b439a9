"""
The phases of opening a connection: how long each took, and who is told of them meanwhile.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Literal, TypeAlias

from asyncbatch._engine._exchange import Exchange, Observer

Phase: TypeAlias = Literal["dns", "connect", "tls"]


class ConnectPhases:
    """
    What the opening of one connection has taken so far.

    Attributes:
        dns, connect, tls: seconds each phase took, successful or not; None where it did not occur,
            or is under way for the first time. Through a proxy they add up: `dns` looks up whoever
            is connected to here, `connect` is the connection to the proxy and its reply, `tls` the
            handshakes with the proxy and, in its tunnel, with the origin.
        is_at_proxy: whether a proxy is being asked, and has not connected yet.
        observer: is told of each step; None where nobody wants to know.
    """

    __slots__ = ("_current", "_since", "connect", "dns", "is_at_proxy", "observer", "tls")

    def __init__(self, observer: Observer | None = None) -> None:
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.observer = observer
        self.is_at_proxy = False
        # The phase under way, and since when.
        self._current: Phase | None = None
        self._since = 0.0

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Begin a phase, now or at a time that has passed."""
        self._current = phase
        self._since = monotonic() if at is None else at

    def leave(self) -> None:
        """End the phase under way, if there is one."""
        if self._current is not None:
            setattr(self, self._current, self._so_far(self._current))
            self._current = None

    def tell(self, exchange: Exchange) -> None:
        """Tell an exchange that ends or is served how long each phase took, or has taken so far."""
        exchange.dns, exchange.connect, exchange.tls = self.dns, self.connect, self.tls
        exchange.is_at_proxy = self.is_at_proxy
        if self._current is not None:
            setattr(exchange, self._current, self._so_far(self._current))

    def begin_again(self) -> None:
        """Forget what an attempt that failed took."""
        self.dns = self.connect = self.tls = None
        self.is_at_proxy = False

    def _so_far(self, phase: Phase) -> float:
        earlier: float | None = getattr(self, phase)
        return (earlier or 0.0) + monotonic() - self._since

    def observe(self, name: str, **info: Any) -> None:
        """Report a step."""
        if self.observer is not None:
            self.observer(name, info)

    def take_out(self, seconds: float) -> None:
        """Take time in which the loop stood still out of the phase under way."""
        self._since += seconds
