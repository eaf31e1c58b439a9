"""
The event loop's transports, made to be used as ours are.

They serve where sockets of our own cannot be watched. What they do not tell is found out here.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

from asyncbatch._engine._exchange import Upload
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._readiness import Poll
from asyncbatch._engine.io._transport import TransportOwner

_HIDDEN = 64 * 1024  # what a plain transport below TLS may hold without telling


class LoopTransport(asyncio.BufferedProtocol):
    """
    A transport for a connection, and the protocol of the event loop's.

    A `BufferedProtocol`, since asyncio's plain one allocates 256 KiB for each read: that alone
    doubles the cost of a small exchange.

    Args:
        buffer: for what is received. It may be shared: nothing awaits between its filling and its
            emptying.
        poll: says whether the socket has something to read.
        closing: has to know of it until the event loop has let go of the socket.
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

    # Of what is ready, the event loop alone knows.
    is_watched = False

    def __init__(self, buffer: memoryview, poll: Poll, closing: Closing) -> None:
        self._owner: TransportOwner = _Early()
        self._buffer = buffer
        self._poll = poll
        self._closing = closing
        # Set when the event loop has made it, None again once it was aborted.
        self._transport: asyncio.Transport | None = None
        self._is_aborted = False
        self._is_paused = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the event loop's transport over."""
        writer = cast("asyncio.Transport", transport)
        if self._is_aborted:  # given up while the event loop made it
            writer.abort()
            return
        self._transport = writer
        # Told about every byte that does not go out at once, not only beyond 64 KiB: a
        # connection with an unsent request must not be used again. Not 0: the TLS transports of
        # asyncio and uvloop pause at `high`, and so would on an empty buffer.
        writer.set_write_buffer_limits(high=1, low=0)
        self._closing.transport_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the event loop the buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was received into the buffer."""
        try:
            self._owner.received(self._buffer[:nbytes])
        except MemoryError as exc:
            # Else the event loop would tell its exception handler, and the owner of no reason.
            self._owner.connection_lost(exc)
            self.abort()

    def eof_received(self) -> None:
        """Pass on the end of the peer's bytes, for what it is."""
        if self._transport is not None:
            self._pass_end_on(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection, and before it an end that nobody has told of."""
        if exc is None and self._transport is not None:
            self._pass_end_on(self._transport)
        self._owner.connection_lost(exc)
        self._closing.transport_lost(self)

    def pause_writing(self) -> None:
        """Pass on that bytes wait for the peer."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that they have gone."""
        self._owner.resume_writing()

    # What the connection calls.

    @property
    def poll(self) -> Poll:
        """Says whether the socket has something to read."""
        return self._poll

    def deliver_to(self, owner: TransportOwner) -> None:
        """Call `owner` back from now on, and at once for what has come already."""
        early, self._owner = self._owner, owner
        if isinstance(early, _Early):
            early.tell(owner)
        if self._is_paused:  # by an owner before, to leave to this one what comes
            self.resume_reading()

    def write(self, content: bytes) -> None:
        """Send, keeping what the kernel does not take at once."""
        if self._transport is not None:
            self._transport.write(content)

    def is_out(self, body: bytes | Upload) -> bool:
        """
        Say whether a request that was written, and not held up, has gone to the kernel.

        Over TLS that is not known from pauses: the plain transport below takes all at once and
        tells nobody above it. asyncio lets look at that one; uvloop does not, and a large body,
        or one of a length that nobody knows beforehand, counts as not sent.
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
        """Leave what arrives with the kernel."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take again what arrives."""
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
    """The owner until there is one: remembers what it is told."""

    def __init__(self) -> None:
        self._told: list[tuple[Any, ...]] = []

    def tell(self, owner: TransportOwner) -> None:
        """Tell it all to somebody else."""
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
    Say whether the end came from the peer itself: over TLS, with its closing alert.

    Without the alert anybody in between could have cut the body (RFC 9112 §9.8). The event loops
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
