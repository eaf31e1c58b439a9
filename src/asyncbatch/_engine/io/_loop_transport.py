"""
`LoopTransport`: the event loop's plain transports, with the interface of our own.

It is used where our own transports cannot watch their sockets. TLS over it is our own, since that
of the event loops does not tell whether a part of a record has arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from asyncbatch._engine._event_loop import EventLoop, ends_loop
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._readiness import Poll
from asyncbatch._engine.io._transport import SocketOwner


class LoopTransport(asyncio.BufferedProtocol):
    """
    A transport for a connection, and the protocol of an event loop's transport.

    It is a `BufferedProtocol`: asyncio allocates 256 KiB for each read of a plain `Protocol`, which
    alone doubles the cost of a small exchange.

    Args:
        calls: Told of the errors of callbacks, for which no task waits.
        buffer: The buffer to receive into. It may be shared: no code awaits between filling and
            emptying it.
        poll: Tells whether the socket can be read from.
        closing: Tracks this transport until the event loop has closed the socket.
    """

    __slots__ = (
        "_buffer",
        "_calls",
        "_closing",
        "_is_aborted",
        "_is_paused",
        "_owner",
        "_poll",
        "_transport",
    )

    def __init__(self, calls: EventLoop, buffer: memoryview, poll: Poll, closing: Closing) -> None:
        self._calls = calls
        self._owner: SocketOwner = _Early()
        self._buffer = buffer
        self._poll = poll
        self._closing = closing
        # Set by `connection_made`; `None` again after `abort`.
        self._transport: asyncio.Transport | None = None
        self._is_aborted = False
        self._is_paused = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the event loop's transport."""
        writer = cast("asyncio.Transport", transport)
        if self._is_aborted:  # aborted before the event loop had made it
            writer.abort()
            return
        self._transport = writer
        # Pause for every byte that is not sent at once, not only above 64 KiB: a connection with an
        # unsent request must not be reused.
        writer.set_write_buffer_limits(high=0, low=0)
        self._closing.transport_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer to receive into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was received into the buffer."""
        self._tell_owner(self._received, self._buffer[:nbytes])

    def _received(self, content: memoryview) -> None:
        try:
            self._owner.received(content)
        except MemoryError as exc:
            if self._is_aborted:
                raise  # the owner has closed it: whether it has lost an exchange is not known
            self._owner.connection_lost(exc)
            self.abort()

    def eof_received(self) -> None:
        """Pass on the end of the peer's bytes."""
        if self._transport is not None:
            self._tell_owner(self._owner.eof_received)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection, after an end of the bytes that was not reported."""
        if exc is None and self._transport is not None:
            self._tell_owner(self._owner.eof_received)
        self._tell_owner(self._owner.connection_lost, exc)
        self._closing.transport_lost(self)

    def pause_writing(self) -> None:
        """Tell the owner that bytes wait to be sent."""
        self._tell_owner(self._owner.pause_writing)

    def resume_writing(self) -> None:
        """Tell the owner that no bytes wait any more."""
        self._tell_owner(self._owner.resume_writing)

    def _tell_owner(self, callback: Callable[..., object], *args: Any) -> None:
        try:
            callback(*args)
        except BaseException as error:
            if ends_loop(error):
                raise
            text = "a connection could not take what has happened to it"
            self._calls.call_exception_handler({"message": text, "exception": error})

    # Called by the connection.

    @property
    def poll(self) -> Poll:
        """Tells whether the socket can be read from."""
        return self._poll

    @property
    def poll_after_look(self) -> Poll:
        """The same: only the event loop knows which sockets can be read from."""
        return self._poll

    def deliver_to(self, owner: SocketOwner) -> None:
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

    def refill(self, most: int) -> None:
        """Return nothing: the event loop may be receiving."""

    def abort(self) -> None:
        """Close at once."""
        self._is_aborted = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def get_extra_info(self, name: str) -> object:
        """Ask the event loop's transport."""
        return None if self._transport is None else self._transport.get_extra_info(name)


class _Early:
    """The owner before `deliver_to`: records the calls."""

    def __init__(self) -> None:
        self._told: list[tuple[Any, ...]] = []

    def tell(self, owner: SocketOwner) -> None:
        """Repeat all recorded calls on `owner`."""
        for name, *arguments in self._told:
            getattr(owner, name)(*arguments)

    def received(self, content: bytes | memoryview) -> None:
        self._told.append(("received", bytes(content)))

    def eof_received(self) -> None:
        self._told.append(("eof_received",))

    def connection_lost(self, exc: Exception | None) -> None:
        self._told.append(("connection_lost", exc))

    def pause_writing(self) -> None:
        self._told.append(("pause_writing",))

    def resume_writing(self) -> None:
        self._told.append(("resume_writing",))
