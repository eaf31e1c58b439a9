"""
`ConnectPhases`: how long each phase of opening a connection took, reported while it lasts.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Literal, TypeAlias

from asyncbatch._engine._exchange import Exchange, Observer

Phase: TypeAlias = Literal["dns", "connect", "tls"]


class ConnectPhases:
    """
    The durations of the phases of opening one connection.

    Attributes:
        dns, connect, tls: Seconds of each phase, successful or not; `None` if it did not occur, or
            is in progress for the first time. Through a proxy they add up: `dns` is the look-up of
            the host that is connected to here, `connect` the connection to the proxy and its reply,
            `tls` the handshakes with the proxy and, in its tunnel, with the origin.
        is_at_proxy: Whether a proxy was asked, and has not connected yet.
        observer: Called for each step, if set.
    """

    __slots__ = (
        "_counts_from",
        "_current",
        "_since",
        "connect",
        "dns",
        "is_at_proxy",
        "observer",
        "tls",
    )

    def __init__(self, observer: Observer | None = None) -> None:
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.observer = observer
        self.is_at_proxy = False
        # The phase in progress, and when it began.
        self._current: Phase | None = None
        self._since = 0.0
        # When the exchange that waits for the connection took it over; nothing before it counts.
        self._counts_from = 0.0

    def enter_phase(self, phase: Phase, at: float | None = None) -> None:
        """Begin a phase, now or at a past time."""
        self._current = phase
        self._since = monotonic() if at is None else max(at, self._counts_from)

    def leave_phase(self) -> None:
        """End the phase in progress, if there is one."""
        if self._current is not None:
            setattr(self, self._current, self._so_far(self._current))
            self._current = None

    def tell(self, exchange: Exchange) -> None:
        """Copy the duration of each phase so far to an exchange that was served or has ended."""
        exchange.dns, exchange.connect, exchange.tls = self.dns, self.connect, self.tls
        exchange.is_at_proxy = self.is_at_proxy
        if self._current is not None:
            setattr(exchange, self._current, self._so_far(self._current))

    def begin_again(self) -> None:
        """Forget the durations of a failed attempt."""
        self.dns = self.connect = self.tls = None
        self.is_at_proxy = False

    def count_from_now(self) -> None:
        """Forget the time so far: it was that of another exchange than waits now."""
        self.dns = self.connect = self.tls = None
        self._since = self._counts_from = monotonic()

    def _so_far(self, phase: Phase) -> float:
        earlier: float | None = getattr(self, phase)
        return (earlier or 0.0) + monotonic() - self._since

    def observe(self, name: str, **info: Any) -> None:
        """Report a step to the observer."""
        if self.observer is not None:
            self.observer(name, info)

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of the phase in progress, which may be shorter."""
        self._since = min(self._since + seconds, monotonic())
