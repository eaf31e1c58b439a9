"""
`LoopTransport`: the event loop's transports, with the interface of our own.

It is used where our own transports cannot watch their sockets. It also finds out what the event
loop does not report.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

from asyncbatch._engine._exchange import Upload
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._readiness import Poll
from asyncbatch._engine.io._transport import TransportOwner

_HIDDEN = 64 * 1024  # most bytes that a plain transport below TLS holds without a pause


class LoopTransport(asyncio.BufferedProtocol):
    """
    A transport for a connection, and the protocol of an event loop's transport.

    It is a `BufferedProtocol`: asyncio allocates 256 KiB for each read of a plain `Protocol`, which
    alone doubles the cost of a small exchange.

    Args:
        buffer: The buffer to receive into. It may be shared: no code awaits between filling and
            emptying it.
        poll: Tells whether the socket can be read from.
        closing: Tracks this transport until the event loop has closed the socket.
    """

    __slots__ = (
        "_buffer",
        "_closing",
        "_is_aborted",
        "_is_paused",
        "_owner",
        "_poll",
        "_transport",
    )

    # Only the event loop knows which sockets can be read from.
    is_watched = False

    def __init__(self, buffer: memoryview, poll: Poll, closing: Closing) -> None:
        self._owner: TransportOwner = _Early()
        self._buffer = buffer
        self._poll = poll
        self._closing = closing
        # Set by `connection_made`; `None` again after `abort`.
        self._transport: asyncio.Transport | None = None
        self._is_aborted = False
        self._is_paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the event loop's transport."""
        writer = cast("asyncio.Transport", transport)
        if self._is_aborted:  # aborted before the event loop had made it
            writer.abort()
            return
        self._transport = writer
        # Pause for every byte that is not sent at once, not only above 64 KiB: a connection with an
        # unsent request must not be reused. Not 0: the TLS transports of asyncio and uvloop pause
        # at `high`, so 0 would pause them on an empty buffer.
        writer.set_write_buffer_limits(high=1, low=0)
        self._closing.transport_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer to receive into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was received into the buffer."""
        try:
            self._owner.received(self._buffer[:nbytes])
        except MemoryError as exc:
            # The event loop would call its exception handler, and not tell the owner why.
            self._owner.connection_lost(exc)
            self.abort()

    def eof_received(self) -> None:
        """Pass on the end of the peer's bytes, as authentic or not."""
        if self._transport is not None:
            self._pass_end_on(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection, after an end of the bytes that was not reported."""
        if exc is None and self._transport is not None:
            self._pass_end_on(self._transport)
        self._owner.connection_lost(exc)
        self._closing.transport_lost(self)

    def pause_writing(self) -> None:
        """Tell the owner that bytes wait to be sent."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell the owner that no bytes wait any more."""
        self._owner.resume_writing()

    # What the connection calls.

    @property
    def poll(self) -> Poll:
        """Tells whether the socket can be read from."""
        return self._poll

    def deliver_to(self, owner: TransportOwner) -> None:
        """Call `owner` from now on, and pass on at once what has already arrived."""
        early, self._owner = self._owner, owner
        if isinstance(early, _Early):
            early.tell(owner)
        if self._is_paused:  # by the previous owner, which left the rest to this one
            self.resume_reading()

    def write(self, content: bytes) -> None:
        """Send; keep what the kernel does not take at once."""
        if self._transport is not None:
            self._transport.write(content)

    def is_out(self, body: bytes | Upload) -> bool:
        """
        Tell whether the kernel has taken all of a request that caused no pause.

        Over TLS, pauses do not tell: the plain transport below takes all bytes at once and reports
        nothing. asyncio gives access to that transport. uvloop does not, so there a body that is
        large or of unknown length counts as not sent.
        """
        transport = self._transport
        if transport is None:
            return False
        if transport.get_extra_info("ssl_object") is None:
            return not transport.get_write_buffer_size()
        below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
        if below is not None:
            return bool(below.get_write_buffer_size() == 0)
        return isinstance(body, bytes) and len(body) <= _HIDDEN

    def receive_into(self, buffer: memoryview) -> None:
        """Receive into another buffer from now on."""
        self._buffer = buffer

    def pause_reading(self) -> None:
        """Stop reading; the kernel keeps what arrives."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading."""
        self._is_paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        self._is_aborted = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def get_extra_info(self, name: str) -> object:
        """Ask the event loop's transport."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    # Private.

    def _pass_end_on(self, transport: asyncio.Transport) -> None:
        if _is_end_authentic(transport.get_extra_info("ssl_object")):
            self._owner.eof_received()
        else:
            self._owner.cut_off(None)


class _Early:
    """The owner before `deliver_to`: records the calls."""

    def __init__(self) -> None:
        self._told: list[tuple[Any, ...]] = []

    def tell(self, owner: TransportOwner) -> None:
        """Repeat all recorded calls on `owner`."""
        for name, *arguments in self._told:
            getattr(owner, name)(*arguments)

    def received(self, content: bytes | memoryview) -> None:
        self._told.append(("received", bytes(content)))

    def eof_received(self) -> None:
        self._told.append(("eof_received",))

    def cut_off(self, error: Exception | None) -> None:
        self._told.append(("cut_off", error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._told.append(("connection_lost", exc))

    def pause_writing(self) -> None:
        self._told.append(("pause_writing",))

    def resume_writing(self) -> None:
        self._told.append(("resume_writing",))


def _is_end_authentic(ssl_object: ssl.SSLObject | None) -> bool:
    """
    Tell whether the end came from the peer itself: over TLS, with its closing alert.

    Without the alert, anyone on the path could have cut the body (RFC 9112 §9.8). The event loops
    report both in the same way; OpenSSL knows.
    """
    if ssl_object is None:
        return True
    try:
        return not ssl_object.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except (OSError, ValueError):
        return False
