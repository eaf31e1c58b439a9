"""
A response that comes in pieces: what has to be seen to until the last of them is there.

Most responses are whole at the first read, and have none of this.
"""

from __future__ import annotations

from asyncbatch._engine._exchange import NEVER, ExchangeLimits
from asyncbatch._engine._minimum_rate import Pace
from asyncbatch._engine.http11 import ResponseProtocol, ResponseTooLarge
from asyncbatch._engine.io._transport import Transport

HIGH_WATER = 256 * 1024
"""Bytes of a streamed body that wait for their reader before the socket is left unread."""


class PartialResponse:
    """
    Watches over one response between its first piece and its last.

    It holds the transport back, and tells it where to receive; the connection keeps the time.

    Args:
        limits: the exchange's.
        protocol: what reads the response.
        transport: what it comes from.
        shared: where the transport receives what has no place of its own.
    """

    __slots__ = (
        "_is_paused",
        "_is_placing",
        "_limits",
        "_pace",
        "_protocol",
        "_shared",
        "_transport",
    )

    def __init__(
        self,
        limits: ExchangeLimits,
        protocol: ResponseProtocol,
        transport: Transport,
        shared: memoryview,
    ) -> None:
        self._limits = limits
        self._protocol = protocol
        self._transport = transport
        self._shared = shared
        # Only with `ExchangeLimits.minimum_rate`, while something has to come at that rate.
        self._pace: Pace | None = None
        # Whether the transport leaves what comes with the kernel, for want of a reader.
        self._is_paused = False
        # Whether the transport receives into the place of the body instead of the shared buffer.
        self._is_placing = False

    @property
    def too_slow_at(self) -> float:
        """When it will have come too slowly if nothing more comes."""
        return NEVER if self._pace is None else self._pace.too_slow_at

    def take_out(self, seconds: float) -> None:
        """Let the time in which the loop stood still be nobody's."""
        if self._pace is not None:
            self._pace.take_out(seconds)

    def add(self, nbytes: int, now: float) -> ResponseTooLarge | None:
        """
        Count what has come, which was not the end, and prepare for what comes next.

        Returns:
            Why the rest is not worth reading, if it is not.
        """
        limits = self._limits
        if limits.minimum_rate is not None:
            self._keep_pace(limits.minimum_rate, nbytes, now)
        if limits.streams:
            self._hold_back()
            return None
        limit = limits.max_redirect_body
        if limit is not None and self._is_long_redirect(limit):
            return ResponseTooLarge(
                f"the redirect's body is larger than {limit} bytes", limit=limit
            )
        self._receive_into(self._protocol.place_body())
        return None

    def take(self) -> bytes:
        """Hand over what has come of a streamed body, and read on."""
        content = self._protocol.take_body()
        self.read_on()
        return content

    def read_on(self) -> None:
        """Hold the transport back no longer."""
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def leave_place(self) -> None:
        """Let the transport hold on to the shared buffer only."""
        self._receive_into(None)

    def _keep_pace(self, rate: float, nbytes: int, now: float) -> None:
        protocol = self._protocol
        if not protocol.is_under_way or (self._limits.streams and protocol.head is not None):
            # Behind a 1xx the server thinks on, and of a streamed body the reader sets the pace.
            self._pace = None
            return
        if self._pace is None:
            self._pace = Pace(rate, now)
        self._pace.add(nbytes, now)

    def _hold_back(self) -> None:
        if self._protocol.untaken >= HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _is_long_redirect(self, limit: int) -> bool:
        """Whether a new connection is cheaper than the rest of a redirect."""
        head = self._protocol.head
        if head is None or not head.is_redirect:
            return False
        return head.length > limit or self._protocol.untaken > limit

    def _receive_into(self, place: memoryview | None) -> None:
        """Receive next where the body stays, or into the shared buffer again."""
        if place is None and not self._is_placing:
            return
        self._is_placing = place is not None
        self._transport.receive_into(self._shared if place is None else place)
