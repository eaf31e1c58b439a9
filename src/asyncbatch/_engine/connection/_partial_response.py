"""
State of a response of which only a part has arrived.

Most responses are complete at the first read, and need none.
"""

from __future__ import annotations

from asyncbatch._engine._exchange import NEVER, ExchangeLimits
from asyncbatch._engine._minimum_rate import ReceivedRate
from asyncbatch._engine.http11 import ResponseProtocol, ResponseTooLarge
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.io._transport import Transport

HIGH_WATER = 256 * 1024
"""Bytes of a streamed body that wait for their reader before reading from the socket is paused."""


LEAST_WINDOW = 128 * 1024
MOST_WINDOW = 1024 * 1024
"""Bytes of a body that are received at once. 10 MB take two thirds of the CPU with the larger one,
as the kernel tells the server less often that there is room."""

TOGETHER = 4 * 1024 * 1024
"""Bytes that all connections receive in one turn of the event loop, which takes some 2 ms, unless
there are so many that the least window of each exceeds it."""

REFILLED = 64 * 1024 * 1024
"""Most bytes that are received elsewhere at once. They are not counted before."""

_FULL = 256 * 1024
"""Bytes of a piece that show that a server is fast."""

_REST = 128 * 1024
"""Last bytes of a body, which this connection receives: it has to see what follows."""


class PartialResponse:
    """
    Handles one response between its first and its last piece.

    It pauses the transport, and sets the memory to receive into. The connection keeps the time.

    Args:
        limits: the limits of the exchange.
        protocol: parses the response.
        transport: the transport of the connection.
        shared: the buffer to receive into by default.
    """

    __slots__ = (
        "_is_lending",
        "_is_paused",
        "_is_placing",
        "_limits",
        "_protocol",
        "_rate",
        "_refill",
        "_shared",
        "_taken",
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
        # Set with `ExchangeLimits.minimum_rate`, while bytes must come at that rate.
        self._rate: ReceivedRate | None = None
        # Whether reading is paused, since the reader of the body is slow.
        self._is_paused = False
        # Whether the transport receives into the memory of the body, not into the shared buffer.
        self._is_placing = False
        # Whether the reader of the body writes each piece away before it takes the next one.
        self._is_lending = False
        # Bytes that `take_body` has returned last.
        self._taken = 0
        # The object that receives the next bytes elsewhere, until `take_body` is called.
        self._refill: Refill | None = None

    @property
    def too_slow_at(self) -> float:
        """When the response will be too slow, if no more bytes come."""
        return NEVER if self._rate is None else self._rate.too_slow_at

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of the rate."""
        if self._rate is not None:
            self._rate.take_out(seconds)

    def add(self, nbytes: int, now: float, in_use: int = 1) -> ResponseTooLarge | None:
        """
        Count received bytes, which did not complete the response, and prepare for the next ones.

        Args:
            nbytes: How many bytes were received.
            now: The current time.
            in_use: How many connections may be receiving.

        Returns:
            The error if the rest is not worth reading.
        """
        limits = self._limits
        if limits.minimum_rate is not None:
            self._count_towards_rate(limits.minimum_rate, nbytes, now)
        if limits.streams:
            self._hold_back()
            return None
        limit = limits.max_redirect_body
        if limit is not None and self._is_long_redirect(limit):
            return ResponseTooLarge(
                f"the redirect's body is larger than {limit} bytes", limit=limit
            )
        place = self._protocol.place_body()
        if place is not None:
            place = place[: min(MOST_WINDOW, max(LEAST_WINDOW, TOGETHER // in_use))]
        self._receive_into(place)
        return None

    def lend(self) -> None:
        """Let what `take_body` returns be memory that is used again after the next call."""
        self._is_lending = True

    def take_body(self) -> bytes | memoryview:
        """Return the received bytes of a streamed body, and resume reading."""
        protocol = self._protocol
        if self._refill is not None:
            protocol.skip_body(self._end_refill(self._refill))
        content = protocol.take_body()
        if self._is_lending:
            self._taken = len(content)
            self._receive_into(protocol.lend_body())
        self.read_on()
        return content

    def refill(self) -> Refill | None:
        """
        Return what receives the bytes after the piece taken last, until the next `take_body`.

        `None` unless they may be on this machine already, and only one reader gets them.
        """
        protocol = self._protocol
        most = min(protocol.announced - _REST, REFILLED)
        if self._taken < _FULL or most < _FULL or protocol.untaken:
            return None
        self._refill = self._transport.refill(most)
        if self._refill is not None:
            self._is_paused = True
        return self._refill

    def _end_refill(self, refill: Refill) -> int:
        self._refill = None
        refill.stop_receiving()
        return refill.received

    def read_on(self) -> None:
        """Resume reading, if it is paused."""
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def leave_place(self) -> None:
        """Make the transport receive into the shared buffer again."""
        self._receive_into(None)

    def _count_towards_rate(self, rate: float, nbytes: int, now: float) -> None:
        protocol = self._protocol
        if not protocol.is_under_way or (self._limits.streams and protocol.head is not None):
            # After a 1xx, the server is computing; for a streamed body, the reader sets the pace.
            self._rate = None
            return
        if self._rate is None:
            self._rate = ReceivedRate(rate, now)
        self._rate.add(nbytes, now)

    def _hold_back(self) -> None:
        if self._is_placing:
            place = self._protocol.lend_body()
            self._receive_into(place)
            is_full = place is None
        else:
            is_full = self._protocol.untaken >= HIGH_WATER
        if is_full and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _is_long_redirect(self, limit: int) -> bool:
        """Whether the body of a redirect is so long that a new connection is cheaper."""
        head = self._protocol.head
        if head is None or not head.is_redirect:
            return False
        return head.length > limit or self._protocol.untaken > limit

    def _receive_into(self, place: memoryview | None) -> None:
        """Set the memory to receive into: `place`, or the shared buffer."""
        if place is None and not self._is_placing:
            return
        self._is_placing = place is not None
        self._transport.receive_into(self._shared if place is None else place)
